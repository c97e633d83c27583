"""Documents of settings that a command names: files, directories of them, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from backupd.errors import BackupError, NotFoundError, UsageError
from backupd.model.sets import ConfigDocument
from bkctl.places import absolute_text
from bkctl.text import escape

_ENDING = ".yaml"
_SETTINGS = "backupd.yaml"
_DEFINITIONS = "conf.d"
_MOST_BYTES = 3 << 20
"""All together: a request takes 4 MiB, and escaped text is longer."""


def read_definitions(words: Sequence[str]) -> list[ConfigDocument]:
    """Documents of sets and destinations: of a file, of a directory each `*.yaml` in it, of `-` standard input.

    Raises NotFoundError, UsageError.
    """
    return _bounded(document for word in words for document in _below(word))


def read_settings(words: Sequence[str]) -> list[ConfigDocument]:
    """The same for checking: backupd.yaml may be among them, and a settings directory is that with its conf.d."""
    found: list[ConfigDocument] = []
    for word in words:
        inside = os.path.join(word, _DEFINITIONS)
        settings = os.path.join(word, _SETTINGS)
        if os.path.isdir(inside) or os.path.isfile(settings):
            found += [_settings(settings)] if os.path.exists(settings) else []
            found += _below(inside) if os.path.isdir(inside) else []
        elif os.path.basename(word) == _SETTINGS:
            found.append(_settings(word))
        else:
            found += _below(word)
    return _bounded(found)


def _below(word: str) -> list[ConfigDocument]:
    if word == "-":
        return [ConfigDocument(name="standard input", text=_decoded(sys.stdin.buffer.read(_MOST_BYTES + 1), word))]
    path = absolute_text(word)
    if not os.path.isdir(path):
        return [ConfigDocument(name=path, text=_read(path))]
    names = sorted(name for name in os.listdir(path) if name.endswith(_ENDING) and not name.startswith("."))
    if not names:
        raise NotFoundError(f"{escape(path)} holds no file whose name ends in {_ENDING}", hint="name the file")
    return [ConfigDocument(name=one, text=_read(one)) for one in (os.path.join(path, name) for name in names)]


def _settings(word: str) -> ConfigDocument:
    path = absolute_text(word)
    return ConfigDocument(name=path, text=_read(path), holds="settings")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(_MOST_BYTES + 1), path)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {escape(path)}", hint="name a file, a directory, or - for input") from error
    except OSError as error:
        raise BackupError(f"can't read {escape(path)}: {error.strerror}", hint="is it yours to read?") from error


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{escape(name)}, line {line}: is not UTF-8", hint="store it as UTF-8") from error


def _bounded(documents: Iterable[ConfigDocument]) -> list[ConfigDocument]:
    found = list(documents)
    if sum(len(one.text) for one in found) > _MOST_BYTES:
        raise UsageError(f"the documents are over {_MOST_BYTES >> 20} MiB", hint="apply them one after the other")
    return found
