"""bkctl: the command line of backupd; see CLI reference in docs/cli.md."""
