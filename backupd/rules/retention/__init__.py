"""Which snapshots of a set stay, and why (docs/retention.md): decided here alone, without a clock and without I/O."""
