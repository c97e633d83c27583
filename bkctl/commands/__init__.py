"""One module a verb: options to order, and which view shows its result."""
