"""What a set's repository keeps for its life: settings that may change until there is one, and no more then. Pure."""

from __future__ import annotations

from backupd.errors import ConflictError
from backupd.model.sets import SetText
from backupd.sizes import MIB, parse_size

_DEFAULTS = {"cipher": "aes-256-gcm", "block_size": "32M"}
_HINTS = {
    "encryption": "keys are changed by `bkctl key rotate {set}`, what is stored is sealed anew by `bkctl backup {set} "
    "--migrate`; for another kind of encryption make a new set",
    "block_size": "all blocks of a repository have one size; for another one make a new set",
}
_HINTS["cipher"] = _HINTS["encryption"].replace("kind of encryption", "cipher")


def refuse_fixed(old: SetText, new: SetText) -> None:
    """Refuse a new text of a set that is stored somewhere already, where it says what its repository can't follow.

    Raises ConflictError, with the field in `context["at"]`.
    """
    for name, hint in _HINTS.items():
        before, after = _meant(old, name), _meant(new, name)
        if before != after:
            raise ConflictError(
                f"{old.name}: {name} is {before} since its repository was made, not {after}",
                hint=hint.format(set=old.name),
                context={"at": [name], "field": name, "from": before, "to": after},
            )


def _meant(text: SetText, name: str) -> str:
    value: str = getattr(text, name) or _DEFAULTS[name]
    return f"{parse_size(value) // MIB}M" if name == "block_size" else value
