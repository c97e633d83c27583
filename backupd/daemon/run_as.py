"""Whether there is the user with whose rights a set's sources are to be read: asked on threads, for it may hang."""

from __future__ import annotations

from functools import partial

from backupd.command_errors import RunAsError
from backupd.daemon.hanging import Asking
from backupd.errors import ConfigError
from backupd.model.sets import SetText
from backupd.settings.accounts import reader_of

_SECONDS = 5.0
_asking = Asking()


async def refuse_user(text: SetText, old: SetText | None = None) -> None:
    """Raises ConfigError for a user whom this daemon's runs can't be. old: of what was there, nothing is said."""
    if text.run_as is None or (old is not None and text.run_as == old.run_as):
        return
    try:
        await _asking.answered(text.run_as, partial(reader_of, text.run_as), _SECONDS)
    except TimeoutError:
        return
    except RunAsError as error:
        raise ConfigError(f"{text.name}: {error.message}", hint=error.hint, context={"at": ["run_as"]}) from error
