"""Snapshots of file systems around a run (docs/fs-snapshots.md): one class for each kind, behind one contract."""
