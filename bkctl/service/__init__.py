"""The daemon as a service of its machine: its units, and the manager that runs them."""
