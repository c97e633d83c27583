"""Commands around a run: each a process of its own, with rights, time and output bounded."""
