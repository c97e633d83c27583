"""What a source of a set may be: an absolute path, or a shortcut."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from backupd.errors import ConfigError
from backupd.model.shortcuts import HOME, REMOVABLE, SHORTCUTS, is_shortcut, shortcut_of


def check_source(name: str, word: str, at: int) -> str:
    """A source in its one spelling. Raises ConfigError. name: of the set; at: its place among the sources."""
    context = {"at": ["sources", at]}
    try:
        word.encode()
    except UnicodeEncodeError as error:
        hint = "name the directory above it"
        raise ConfigError(f"{name}: a source is not UTF-8", hint=hint, context=context) from error
    if is_shortcut(word):
        return word
    if not os.path.isabs(word) or "\0" in word:
        near = difflib.get_close_matches(word.partition("@")[0], SHORTCUTS, 1, 0.6)
        message = f"{name}: the source '{word}' is no absolute path"
        hint = f"did you mean {near[0]}? A path begins with /" if near else "begin it with /"
        raise ConfigError(message, hint=hint, context=context)
    return os.path.normpath(word)


def check_without(name: str, without: Sequence[str], sources: Sequence[str]) -> None:
    """Raises ConfigError for what `home` does not take in anyway."""
    for at, one in enumerate(without):
        if one not in REMOVABLE:
            hint = f"one of {', '.join(REMOVABLE)}"
            raise ConfigError(f"{name}: without: '{one}'", hint=hint, context={"at": ["without", at]})
    if without and not any(found is not None and found.name == HOME for found in map(shortcut_of, sources)):
        raise ConfigError(
            f"{name}: without: {', '.join(without)}, and {HOME} is no source",
            hint=f"it is taken out of the shortcut {HOME}; leave it out, or take {HOME} as a source",
            context={"at": ["without"]},
        )
