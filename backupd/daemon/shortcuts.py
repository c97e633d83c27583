"""What the shortcuts of sets mean, for clients: looked up on threads, for name services and homes may hang."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from backupd.daemon.hanging import Asking
from backupd.errors import ConfigError
from backupd.model.sets import SetText
from backupd.model.shortcuts import ShortcutView, is_shortcut, paths_among, shortcut_of, shortcuts_among
from backupd.settings.user_directories import meanings, unknown

_SECONDS = 5.0
_asking = Asking()


async def views_of(text: SetText, environ: Mapping[str, str]) -> list[ShortcutView]:
    """What each shortcut among a set's sources means now."""
    words = shortcuts_among(text.sources, text.without)
    if not words.words:
        return []
    try:
        found = await _asking.answered((*words.words, "", *words.without), partial(meanings, words, environ), _SECONDS)
    except TimeoutError:
        message = "the system does not tell in time where that is"
        return [ShortcutView(word=word, paths=[], message=message) for word in words.words]
    return [one.view for one in found]


async def refuse_unknown(text: SetText, old: SetText | None = None) -> None:
    """Raises ConfigError for a shortcut that names no user of this machine. old: of what was there, nothing is said."""
    for at, word in enumerate(text.sources):
        if not is_shortcut(word) or (old is not None and word in old.sources):
            continue
        try:
            trouble = await _asking.answered(word, partial(unknown, word), _SECONDS)
        except TimeoutError:
            continue
        if trouble:
            found = shortcut_of(word)
            is_nameless = found is not None and found.user is None
            hint = "name the user" if is_nameless else "check the spelling: getent passwd"
            raise ConfigError(
                f"{text.name}: {word}: {trouble}",
                hint=f"{hint}; a directory of that name is ./{word}",
                context={"at": ["sources", at]},
            )


def with_paths(text: SetText, views: list[ShortcutView]) -> SetText:
    """The text with what its shortcuts mean now."""
    meant = [path for one in views for path in one.paths]
    return msgspec.structs.replace(text, sources=list(dict.fromkeys([*paths_among(text.sources), *meant])))
