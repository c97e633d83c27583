"""Results as text, one module a command: dictionaries of docs/cli.md in, lines out. No terminal, no colour here."""
