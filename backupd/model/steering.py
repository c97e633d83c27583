"""What a client says to a job that is under way."""

from __future__ import annotations

from typing import Literal

from backupd.model.structs import Number, Struct


class Answer(Struct, frozen=True, kw_only=True, tag="answer"):
    """The client's reply to an `Ask`."""

    ask: Number
    text: str
    """`yes`, `no`, `all`, or what was typed; empty: no answer."""


class CancelRequest(Struct, frozen=True, kw_only=True, tag="cancel"):
    """The client wants the job to end."""

    signal: Literal["int", "term", "hangup"]


class StateRequest(Struct, frozen=True, kw_only=True, tag="state"):
    """The client wants one `Progress` at once (SIGUSR1)."""


class PauseRequest(Struct, frozen=True, kw_only=True, tag="pause"):
    """The client wants the job to wait, or to go on."""

    paused: bool
