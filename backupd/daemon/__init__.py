"""The daemon: API, queue, job processes; it never does a job's work itself."""
