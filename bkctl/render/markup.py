"""Text of others in HTML and SVG: it stays text, whatever stands in it."""

from __future__ import annotations

from bkctl import text

# The library's own escaping loads the names of all characters of HTML, which every start of bkctl would wait for.
_MEANT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
_TABLE = str.maketrans(_MEANT)


def word(text_of_others: str) -> str:
    """The text for an element or a quoted attribute, on one line; what moves cursors is shown as escapes."""
    return text.escape(text_of_others).translate(_TABLE)
