"""backupd: deduplicating, encrypted backup; see docs/ARCHITECTURE.md for the map."""

__version__ = "0.1.0"
