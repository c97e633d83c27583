"""What the tolerance rules of a set's text must be like, and its threshold of a sudden drop."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.errors import ConfigError, UsageError
from backupd.model.tolerance import DROP_WARNING, ToleranceText
from backupd.rules.tolerance import rule_of
from backupd.sizes import parse_share

_MOST_RULES = 100
_MOST_PATTERNS = 1000
_OFF = "off"


def check_tolerance(set_name: str, texts: Sequence[ToleranceText]) -> None:
    """Raises ConfigError with the way to what is wrong."""
    count = 0
    for at, one in enumerate(texts):
        try:
            count += len(rule_of(one).patterns)
            if at >= _MOST_RULES or count > _MOST_PATTERNS:
                raise UsageError(
                    "too many rules", hint=f"{_MOST_RULES} rules with {_MOST_PATTERNS} patterns in all are the most"
                )
        except UsageError as error:
            called = f" '{one.name}'" if one.name is not None else ""
            raise ConfigError(
                f"{set_name}: tolerate {at + 1}{called}: {error.message}",
                hint=error.hint,
                context={**error.context, "at": ["tolerate", at]},
            ) from error


def drop_permille(word: str | bool) -> int:
    """Thousandths of the files that have to be gone for a warning; 0: off. Raises UsageError.

    word: a plain `off` is a truth value in YAML.
    """
    text = (DROP_WARNING if word else _OFF) if isinstance(word, bool) else word.strip()
    return 0 if text == _OFF else parse_share(text)
