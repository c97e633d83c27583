"""The daemon's catalog: sets, destinations, jobs, their logs and results, in one SQLite file."""
