"""What the conditions of a set must be like. Errors carry in `at` which part of the text is to blame."""

from __future__ import annotations

import os

from backupd.errors import ConfigError
from backupd.model.conditions import ConditionsText

_MOST, _MOST_CHARACTERS = 64, 256
"""Of a list, and of the name of a network: a Wi-Fi has 32 bytes, a connection what its owner likes."""


def check_conditions(name: str, text: ConditionsText | None) -> None:
    """Raises ConfigError. name: of the set."""
    if text is None:
        return
    for field, words in (("networks", text.networks), ("present", text.present), ("mounted", text.mounted)):
        if len(words) > _MOST:
            raise ConfigError(
                f"{name}: {len(words)} of {field}", hint=f"{_MOST} at most", context={"at": ["conditions", field]}
            )
        for number, word in enumerate(words):
            fault = _fault_of_network(word) if field == "networks" else _fault_of_path(word)
            if fault:
                shown = "".join(c if c.isprintable() else "?" for c in word[:_MOST_CHARACTERS])
                hint = "write its name, as nmcli shows it" if field == "networks" else "begin it with /"
                at = ["conditions", field, number]
                raise ConfigError(f"{name}: {field}: '{shown}' {fault}", hint=hint, context={"at": at})


def _fault_of_network(word: str) -> str:
    is_name = word.strip() and len(word) <= _MOST_CHARACTERS and word.isprintable()
    return "" if is_name else "is no name of a network"


def _fault_of_path(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return "" if os.path.isabs(word) and "\0" not in word else "is no absolute path"
