"""The reference says what the program does: every command has a purpose and an example that parses."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from click.exceptions import NoSuchCommand

from bkctl.grammar import Verb
from bkctl.reference import commands, reference
from bkctl.session import Environment, Session
from bkctl.verbs import root

COMMANDS = dict(commands())
EXAMPLES = [example for command in COMMANDS.values() for example in command.examples]


def test_the_reference_is_in_step() -> None:
    """`python -m bkctl.reference > docs/cli.md` writes it anew."""
    assert (Path(__file__).parents[3] / "docs" / "cli.md").read_text() == reference()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.get_short_help_str()
    assert command.examples
    for param in command.get_params(click.Context(command)):
        if isinstance(param, click.Option):
            assert param.help, param.name


def test_the_tree_calls_commands_by_their_names() -> None:
    context = click.Context(root, info_name="bkctl")
    found = {name: root.get_command(context, name) for name in root.list_commands(context)}
    assert [command.name for command in found.values() if command is not None] == list(found)
    assert root.get_command(context, "raport") is None
    with pytest.raises(NoSuchCommand) as caught:
        root.resolve_command(context, ["raport"])
    assert "Did you mean 'report'?" in caught.value.format_message()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses(example: str) -> None:
    """People copy them."""
    words = shlex.split(example, comments=True)
    assert words[0] == "bkctl"
    for sign in ("|", ">"):
        words = words[: words.index(sign)] if sign in words else words
    session = Session(Environment())
    context = root.make_context("bkctl", words[1:], obj=session)
    _parse(root, context)
    assert session.command in COMMANDS


def _parse(group: click.Group, context: click.Context) -> None:
    name, command, words = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    below = command.make_context(name, list(words), parent=context)
    if isinstance(command, click.Group):
        _parse(command, below)
    else:
        assert isinstance(command, Verb)
