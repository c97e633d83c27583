"""What `--json` prints, command by command, as types; docs/output.schema.json is made of them."""
