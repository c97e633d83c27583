"""What an FTP server's replies and a lost connection mean to the user."""

from __future__ import annotations

import ftplib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from backupd.destination.connection_errors import AGAIN_HINT, connection_error
from backupd.destination.object_names import without_secrets
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
)
from backupd.store_errors import NameTooLongError, StoreAnswerError, StoreBusyError, StoreLoginError

_FULL = re.compile(r"no space left|quota|disk (is )?full|insufficient (disk )?(storage|space)", re.IGNORECASE)
_LONG = re.compile(r"(name|path) (is )?too long", re.IGNORECASE)
_DENIED = re.compile(r"permission|denied|privilege|not allowed|forbidden|read-only|not permitted", re.IGNORECASE)
_LOGIN = (StoreLoginError, "look at user and password in the file that --credentials-file names")
_FULL_KIND = (
    DestinationFullError,
    "make space or raise the quota; what is stored stays, and the next run goes on from it",
)
_KINDS: dict[str, tuple[type[DestinationError], str]] = {
    "421": (StoreBusyError, "the server takes no more connections for now; try again later"),
    "425": (DestinationUnreachableError, AGAIN_HINT),
    "426": (DestinationUnreachableError, AGAIN_HINT),
    "430": _LOGIN,
    "522": (DestinationRefusedError, "the server wants another kind of TLS on its data connections"),
    "530": _LOGIN,
    "532": _LOGIN,
}
_TLS_HINT = "does the server speak TLS at that port? tls=implicit is for those that begin with it (port 990)"


class Spoken(msgspec.Struct, frozen=True):
    """How a place is named in messages."""

    shown: str
    secrets: tuple[str, ...] = ()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Everything that FTP, TLS and sockets raise becomes an error of the DestinationError family."""
        try:
            yield
        except ftplib.Error as error:
            raise self.of_reply(error) from error
        except (OSError, EOFError) as error:
            raise connection_error(error, self.shown, _TLS_HINT) from error
        except ValueError as error:
            raise StoreAnswerError(
                f"{self.shown}: the server's answer is not understood", hint="is it an FTP server?"
            ) from error

    def of_reply(self, error: ftplib.Error) -> DestinationError:
        """By the code of a reply that refuses."""
        code, words = code_of(error), without_secrets(str(error), self.secrets)
        text = f"{self.shown}: the server says: {words}"
        kind: type[DestinationError]
        if not isinstance(error, ftplib.error_temp | ftplib.error_perm):
            # What no refusal is has no words that count.
            kind, hint = StoreAnswerError, "is it an FTP server?"
        elif is_full(error):
            kind, hint = _FULL_KIND
        elif _LONG.search(words):
            kind, hint = NameTooLongError, "choose a shorter path for the place"
        elif code in _KINDS:
            kind, hint = _KINDS[code]
        elif isinstance(error, ftplib.error_temp):
            kind, hint = DestinationError, "the server could not do it for the moment"
        else:
            kind, hint = DestinationRefusedError, "look at the rights of the user in that folder"
        return kind(text, hint=hint)


def code_of(error: ftplib.Error) -> str:
    """The three digits of a reply."""
    return str(error)[:3]


def is_full(error: ftplib.Error) -> bool:
    """Whether space or quota is used up: servers say it by code, or with 4xx and 550 by words."""
    return code_of(error) in ("452", "552") or _FULL.search(str(error)) is not None


def is_denied(error: ftplib.Error) -> bool:
    """Whether a 550 speaks of rights; the same code says that nothing is there."""
    return _DENIED.search(str(error)) is not None
