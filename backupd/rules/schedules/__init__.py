"""When a set runs by itself, and what becomes of a run that could not begin in time; pure (docs/schedules.md)."""
