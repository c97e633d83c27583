"""A remote and all that it stands upon, as rclone's configuration says: `crypt` upon `union` upon FTP, and so on."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from backupd.errors import UsageError

_MOST = 64
_VALUE = r""""(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:"']*"""
_PARAMETER = re.compile(rf",([\w.]+)(?:=({_VALUE}))?")
_REFERENCE = re.compile(rf"(:?)([\w.+@][\w.+@ -]*)((?:,[\w.]+(?:=(?:{_VALUE}))?)*):")
"""`NAME:`, `NAME,option=value:` and `:TYPE,option=value:`."""

Ask = Callable[[str], dict[str, Any]]
"""Gives the configuration of a remote."""


class Layer(msgspec.Struct, frozen=True):
    """One remote."""

    name: str
    options: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its type, empty where rclone doesn't tell."""
        return str(self.options.get("type", ""))


def layers(name: str, ask: Ask) -> list[Layer]:
    """The remote itself first. Raises UsageError for what can't be followed."""
    found = [Layer(name, ask(name))]
    seen = {name}
    for layer in found:
        for reference in _references(layer.options):
            match = _REFERENCE.match(reference)
            if match is None:
                if ":" in reference.partition("/")[0]:
                    raise UsageError(
                        f"what the remote {layer.name} stands upon can't be followed",
                        hint="name it plainly, as NAME:PATH",
                    )
                continue  # A directory of this machine.
            is_nameless, word, parameters = match.groups()
            if not parameters and not is_nameless:
                if word in seen:
                    continue
                seen.add(word)
            if len(found) == _MOST:
                raise UsageError(f"the remote {name} stands upon over {_MOST} others", hint="choose a simpler one")
            options = {"type": word} if is_nameless else ask(word)
            found.append(Layer(word, options | _parameters(parameters)))
    return found


def is_true(value: object) -> bool:
    """As rclone reads a switch."""
    return str(value).lower() in ("true", "t", "1")


def _references(options: dict[str, Any]) -> Iterator[str]:
    yield str(options.get("remote", ""))
    for several in ("upstreams", "remotes"):
        for word in next(csv.reader([str(options.get(several, ""))], delimiter=" "), []):
            # combine writes FOLDER=NAME:PATH.
            yield word.partition("=")[2] if options.get("type") == "combine" else word


def _parameters(text: str) -> dict[str, str]:
    found = {}
    for match in _PARAMETER.finditer(text):
        value = match[2] if match[2] is not None else "true"
        if value[:1] in ('"', "'"):
            value = value[1:-1].replace(value[0] * 2, value[0])
        found[match[1].lower()] = value
    return found
