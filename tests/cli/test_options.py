"""Every option of every command does something: its value is read by the program, and a test uses it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from copy import copy
from functools import cache
from pathlib import Path

import click
import pytest

from bkctl import options as shared
from bkctl import set_options
from bkctl.grammar import GLOBAL_OPTIONS, Verb
from bkctl.reference import commands
from tests.house.house import House
from tests.support.machine import TOP

COMMANDS = dict(commands())
_BY_FILTERS = {"exclude", "include", "filter_file"}
"""Their order counts, so that the parser keeps them by itself."""
_SECRETS = ("password", "new-password", "credentials")
_STORE = ("--host-key", "--known-hosts", "--ca-file", "--allow-plaintext", "--retry-for")
_LIMITS = ("--limit-upload", "--limit-download")
_PROXY = ("--proxy", "--proxy-login-file")
_PUT_TOGETHER = {
    f"{name}_{way}"
    for name in ("password", "new_password", "credentials")
    for way in ("file", "command", "fd", "env")
}
"""Names of parameters that are made of a prefix and a way."""
_SECRET_WAYS = {f"--{name}-{way}" for name in _SECRETS for way in ("file", "command", "fd")}
_SHARED = {"--host", "--jobs", *_LIMITS, *_PROXY, *_STORE, *_SECRET_WAYS}
"""Of one function for all commands that have them: a test of one of these commands is enough."""


def own(command: Verb) -> list[click.Parameter]:
    """Parameters of the command alone."""
    ctx = click.Context(command)
    return [one for one in command.get_params(ctx) if one not in GLOBAL_OPTIONS and "--help" not in one.opts]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_read(name: str) -> None:
    """An option that is parsed and then forgotten promises what nobody does."""
    command = COMMANDS[name]
    callback = inspect.unwrap(command.callback) if command.callback is not None else None
    assert callback is not None
    read = _names_read(inspect.getsource(callback)) | set(set_options._SET_FIELDS) | _PUT_TOGETHER
    ours = (shared.__name__, set_options.__name__)
    used = ["passwords", "applying", "policies", "destination_options", "purging", "schedule_options"]
    used += ["filter_options", "condition_options"]
    for module in (callback.__module__, *ours, *(f"bkctl.{name}" for name in used)):
        read |= _names_read_in(module)
    unread = {one.name for one in own(command)} - read - (_BY_FILTERS if "filters" in read else set())
    assert unread == set()


@pytest.mark.parametrize("option", GLOBAL_OPTIONS, ids=lambda one: one.opts[0])
def test_every_global_option_is_read(option: click.Option) -> None:
    """The same for those that all commands have."""
    closure = inspect.getclosurevars(option.callback).nonlocals if option.callback else {}
    attribute = closure["attribute"]
    readers = [
        module.file
        for module in _house().of("bkctl")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Load)
    ]
    assert readers, attribute


def test_every_option_is_used_by_a_test() -> None:
    """What no test ever gave can have stopped to work long ago."""
    used = [words for path in sorted((TOP / "tests").rglob("*.py")) for words in _words_of_functions(path)]
    missing = []
    given_anywhere = set().union(*used)
    for name, command in COMMANDS.items():
        verb = set(name.split())
        for option in own(command):
            if isinstance(option, click.Option):
                given = set(option.opts) | set(option.secondary_opts)
                is_shared = bool(given & _SHARED & given_anywhere)
                if not is_shared and not any(verb <= words and given & words for words in used):
                    missing.append(f"{name} {option.opts[0]}")
    assert missing == []


def _names_read(source: str) -> set[str]:
    """Names and text that stand where something is read."""
    found = set()
    for node in ast.walk(ast.parse(inspect.cleandoc(source) if source.startswith(" ") else source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
    return found


@cache
def _house() -> House:
    return House(TOP)


@cache
def _names_read_in(module: str) -> frozenset[str]:
    """By its functions, which the options of a command are handed to; decorators left away."""
    found: set[str] = set()
    for function in _house().modules[module].functions() if module in _house().modules else ():
        bare = copy(function)
        bare.decorator_list = []
        found |= _names_read(ast.unparse(bare))
    return frozenset(found)


def _words_of_functions(path: Path) -> Iterator[set[str]]:
    """For each function of a test file the words in it, with those of the file's constants."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outer = {word for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) for word in _words(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield _words(node) | outer


def _words(node: ast.AST) -> set[str]:
    text = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return {word.partition("=")[0] if word.startswith("--") else word for line in text for word in line.split()}
