"""Changing one value of a YAML document and leaving all other text, comments too, as it is."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from backupd.errors import ConfigError, UsageError
from backupd.settings.yaml_text import check_size

_NO_YAML = (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError)
"""The last two: what the safe loader raises at `!!bool x` and `!!timestamp x`."""
_MOST_CHARACTERS = 64 << 10
"""Marks need the slow loader; a text that a person wrote is a few thousand characters."""


def with_value(text: str, key: str, value: str, name: str) -> str:
    """The document with another value for a key of dotted names.

    value: YAML on one line, as `3` or `[root, anna]`. name: of the file, for messages.
    Raises UsageError for what is no value, ConfigError where the text is written in a way that only a person can edit.
    """
    steps = key.split(".")
    if not all(steps):
        raise UsageError(f"'{key}' is no setting", hint="bkctl config show lists them, as queue.jobs_at_once")
    wanted = _parsed(value)
    if len(text) > _MOST_CHARACTERS:
        raise _by_hand(key, name)
    try:
        check_size(text.encode(errors="surrogatepass"), name)
        before = yaml.safe_load(text) or {}
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except _NO_YAML as error:
        raise ConfigError(f"{name} is no YAML: {error}", hint="mend it by hand first") from error
    if root is not None and (not isinstance(root, yaml.MappingNode) or root.flow_style):
        raise _by_hand(key, name)
    made = _inserted(text, root, steps, value.strip())
    # The proof that nothing else changed: the text is read again.
    if made is None or _read(made) != _with(before, steps, wanted):
        raise _by_hand(key, name)
    return made


def _inserted(text: str, root: yaml.MappingNode | None, steps: list[str], value: str) -> str | None:
    """The new text; None where it can't be told how it should look."""
    parent, found = root, 0
    while parent is not None and found < len(steps):
        pair = next((pair for pair in parent.value if pair[0].value == steps[found]), None)
        if pair is None:
            break
        key_node, node = pair
        found += 1
        if isinstance(node, yaml.MappingNode) and not node.flow_style and found < len(steps):
            parent = node
            continue
        return _replaced(text, key_node, node, steps[found:], value)
    if parent is None or found == 0:
        head = text if not text or text.endswith("\n") else text + "\n"
        return head + "\n".join(_block(steps, value, 0)) + "\n"
    first = parent.value[0][0].start_mark
    at = text.rfind("\n", 0, first.index) + 1
    return text[:at] + "".join(f"{line}\n" for line in _block(steps[found:], value, first.column)) + text[at:]


def _replaced(text: str, key: yaml.Node, node: yaml.Node, rest: list[str], value: str) -> str | None:
    """rest: names that lead on from this node to the value."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        return None
    start, end = node.start_mark, node.end_mark
    if start.index == end.index:
        # A key without a value: the mark may lie on a later line.
        at = text.index(":", key.end_mark.index) + 1
        return f"{text[:at]} {_flow(None, rest, value)}{text[at:]}"
    if start.line != end.line:
        return None
    return text[: start.index] + _flow(text[start.index : end.index], rest, value) + text[end.index :]


def _block(steps: list[str], value: str, column: int) -> list[str]:
    last = len(steps) - 1
    return [
        " " * (column + 2 * depth) + f"{step}:" + f" {value}" * (depth == last) for depth, step in enumerate(steps)
    ]


def _flow(old: str | None, rest: list[str], value: str) -> str:
    """The value, or the maps that lead to it with what stood in them, on one line."""
    if not rest:
        return value
    whole = _with(yaml.safe_load(old) if old else {}, rest, yaml.safe_load(value))
    return yaml.safe_dump(whole, default_flow_style=True, width=1 << 20, sort_keys=False).strip()


def _with(before: Any, steps: list[str], value: Any) -> Any:
    made = copy.deepcopy(before) if isinstance(before, dict) else {}
    above = made
    for step in steps[:-1]:
        if not isinstance(above.get(step), dict):
            above[step] = {}
        above = above[step]
    above[steps[-1]] = value
    return made


def _parsed(value: str) -> Any:
    try:
        if "\n" not in value and len(value) <= _MOST_CHARACTERS:
            check_size(value.encode(errors="surrogatepass"), "the value")
            return yaml.safe_load(value)
    except _NO_YAML as error:
        raise UsageError(f"'{value}' is no value", hint="quote text with signs in it: '\"a: b\"'") from error
    raise UsageError("a value stands on one line and is short", hint="write a list as [root, anna]")


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except _NO_YAML:
        return None


def _by_hand(key: str, name: str) -> ConfigError:
    return ConfigError(
        f"{key} stands in {name} in a way that is best edited by hand",
        hint=f"edit {name}, then: bkctl config reload",
        context={"file": name},
    )
