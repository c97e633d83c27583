"""Sending notices: mail, webhooks, healthchecks, Apprise; each in a process of its own (docs/notices.md)."""
