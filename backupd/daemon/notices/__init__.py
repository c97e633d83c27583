"""Notices: who is told what of jobs that end and sets that are overdue, and that it gets there (docs/notices.md)."""
