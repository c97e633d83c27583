"""One verb a file: what a job does, from an order to its result."""
