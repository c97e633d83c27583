"""What the schedules of a set must be like."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.errors import ConfigError, UsageError
from backupd.model.schedules import ScheduleText
from backupd.rules.schedules.reading import schedule_of

MOST_SCHEDULES = 32


def check_schedules(name: str, texts: Sequence[ScheduleText]) -> list[ScheduleText]:
    """The schedules in their one spelling. name: of their set. Raises ConfigError with `at`."""
    if len(texts) > MOST_SCHEDULES:
        hint = f"{MOST_SCHEDULES} at most; cron text and weekdays join several"
        raise ConfigError(f"{name} has {len(texts)} schedules", hint=hint, context={"at": ["schedules"]})
    spelled: list[ScheduleText] = []
    for at, one in enumerate(texts):
        try:
            spelled.append(schedule_of(one).text)
        except UsageError as error:
            where = ["schedules", at, error.context.get("at", "name")]
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": where}) from error
        if any(other.name.casefold() == spelled[-1].name.casefold() for other in spelled[:-1]):
            context = {"at": ["schedules", at, "name"]}
            hint = "give each a name of its own"
            raise ConfigError(f"{name} has two schedules called {one.name}", hint=hint, context=context)
    return spelled
