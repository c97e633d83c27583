"""The shape of all commands: global options in any position, filters in their order, examples in every help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from backupd.errors import UnquotedPatternError, UsageError
from backupd.sizes import parse_duration, parse_parity, parse_rate, parse_size
from bkctl.completing import complete_names
from bkctl.session import Session
from bkctl.text import escape


class Duration(click.ParamType[int]):
    """Seconds of `90s`, `15m`, `4h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds. Raises UsageError."""
        return value if isinstance(value, int) else parse_duration(value)


class Size(click.ParamType[int]):
    """Bytes of `32M`, `64MiB`, `1GB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes. Raises UsageError."""
        return value if isinstance(value, int) else parse_size(value)


class Parity(click.ParamType[int]):
    """Percent of `5%`."""

    name = "parity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Percent. Raises UsageError."""
        return value if isinstance(value, int) else parse_parity(value)


class Rate(click.ParamType[int]):
    """Bytes a second of `20 Mbit/s`, `2 MiB/s`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes a second. Raises UsageError."""
        return value if isinstance(value, int) else parse_rate(value)


def _note(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        given = ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        session = ctx.find_object(Session)
        if given and session is not None:
            if attribute == "verbosity":
                value += session.verbosity
            setattr(session, attribute, value)

    return note


def _global(*names: str, attribute: str, **settings: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_note(attribute), **settings)


GLOBAL_OPTIONS: list[click.Parameter] = [
    _global("--json", attribute="is_json", is_flag=True, help="The result as one JSON document."),
    _global("--jsonl", attribute="is_jsonl", is_flag=True, help="Events or items as JSON lines, the document last."),
    _global("-q", "--quiet", attribute="is_quiet", is_flag=True, help="Errors only."),
    _global("-v", "--verbose", attribute="verbosity", count=True, help="More messages; -vv still more."),
    _global("--yes", attribute="assume_yes", is_flag=True, help="Answer ordinary questions with yes."),
    _global("--confirm", attribute="confirmed", metavar="NAME", help="Confirm what loses data: the name asked for."),
    _global("--timeout", attribute="timeout_seconds", type=Duration(), metavar="D", help="Wait no longer; exit 124."),
    _global("--output", attribute="output_path", type=click.Path(), metavar="FILE", help="The result into a file."),
    _global("--socket", attribute="socket_path", type=click.Path(), metavar="PATH", help="Socket of the daemon."),
    _global("--user", attribute="is_user", is_flag=True, help="Your own daemon."),
    _global("--system", attribute="is_system", is_flag=True, help="The machine's daemon."),
    _global("--no-daemon", attribute="has_no_daemon", is_flag=True, help="Do it without a daemon."),
    _global("--no-progress", attribute="has_progress", flag_value=False, is_flag=True, help="No bars, no progress."),
]


class Verb(click.Command):
    """A command that does something."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        for param in self.params:
            complete_names(param)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Own options, `--help`, and the global ones."""
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; remembers the command's name for JSON, the words for completion."""
        _name_command(ctx)
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options apart from those that all commands have."""
        _write_options(formatter, "Options", super().get_params(ctx), ctx)
        _write_options(formatter, "Global options", GLOBAL_OPTIONS, ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")


class Noun(click.Group):
    """A group of commands."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Own options, `--help`, and the global ones."""
        return [*super().get_params(ctx), *GLOBAL_OPTIONS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; remembers the group's name for JSON."""
        _name_command(ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands first: they are what one looks for."""
        self.format_commands(ctx, formatter)
        _write_options(formatter, "Options", super().get_params(ctx), ctx)
        _write_options(formatter, "Global options", GLOBAL_OPTIONS, ctx)


class FilteringVerb(Verb):
    """A command with filters: click forgets the order between different options, here it decides."""

    FILTERS = ("exclude", "include", "filter-file")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; `ctx.meta["filters"]` then holds (option without dashes, value) as they stood.

        Raises UnquotedPatternError where a PATH follows the value of a pattern option.
        """
        words = list(args)
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            ctx.meta["filters"] = self._filters(words, ctx)
        return rest

    def _filters(self, words: list[str], ctx: click.Context) -> list[tuple[str, str]]:
        valued = {
            name
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and not param.is_flag and not param.count
            for name in param.opts
        }
        found: list[tuple[str, str]] = []
        after_pattern = ""
        position = 0
        while position < len(words):
            word = words[position]
            name, equals, value = word.partition("=")
            position += 1
            if word == "--":
                break
            if not word.startswith("-") or word == "-":
                if after_pattern:
                    raise _unquoted(after_pattern, word)
                continue
            after_pattern = ""
            if name in valued and not equals:
                value = words[position]
                position += 1
            if name[2:] in self.FILTERS:
                found.append((name[2:], value))
                after_pattern = name if name != "--filter-file" else ""
        return found


def _unquoted(option: str, path: str) -> UsageError:
    return UnquotedPatternError(
        f"'{escape(path)}' stands right after the value of {option}: the shell may have expanded a pattern",
        hint=f"quote the pattern, PATHs first: bkctl once PATH... {option} '*.tmp' --to DEST",
    )


def _name_command(ctx: click.Context) -> None:
    session = ctx.find_object(Session)
    if session is not None:
        session.command = ctx.command_path.partition(" ")[2]


def _write_options(
    formatter: click.HelpFormatter, title: str, params: Sequence[click.Parameter], ctx: click.Context
) -> None:
    records = [p.get_help_record(ctx) for p in params if isinstance(p, click.Option)]
    known = [record for record in records if record is not None]
    if known:
        with formatter.section(title):
            formatter.write_dl(known)
