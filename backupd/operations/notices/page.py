"""A notice as HTML mail: whole in itself, nothing is loaded from anywhere; styles stand at each element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from backupd.model.notices import DigestLine, NoticeContent, NoticeDestination, needs_look
from backupd.operations.notices.wording import counts_of, facts_of, verdict_of

_GREEN, _AMBER, _RED, _BLUE, _GREY = "#1a7f37", "#9a6700", "#c62828", "#0b57a4", "#57606a"
_COLOURS = {
    "success": _GREEN,
    "warning": _AMBER,
    "overdue": _AMBER,
    "failure": _RED,
    "missed": _RED,
    "start": _BLUE,
    "key": _AMBER,
    "quota": _AMBER,
    "expiry": _AMBER,
    "digest": _BLUE,
    "test": _BLUE,
}
_WORDS = {
    "success": "Backup is done",
    "warning": "Done, but look",
    "overdue": "Overdue",
    "failure": "Failed",
    "missed": "Missed",
    "start": "Begun",
    "key": "Keys",
    "quota": "Quota",
    "expiry": "Certificate",
    "digest": "The last day",
    "test": "Test",
}
_VERDICTS = {"good": _GREEN, "overdue": _AMBER, "lagging": _AMBER, "skipped": _GREY, "unchecked": _GREY, "off": _GREY}
_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_CELL = "padding:6px 12px 6px 0;vertical-align:top;font-size:14px;line-height:20px"
_MONO = "font-family:ui-monospace,Consolas,Menlo,monospace;font-size:13px;line-height:19px"


def html_of(content: NoticeContent) -> str:
    """The page."""
    body = "".join(_parts(content))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(content.title)}</title></head>"
        f'<body style="margin:0;padding:0;background:#f4f5f7;{_FONT};color:#1f2328">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:#f4f5f7">'
        '<tr><td align="center" style="padding:24px 12px">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:640px;'
        "table-layout:fixed;background:#ffffff;border:1px solid #d8dee4;border-radius:8px;"
        f'border-top:6px solid {_colour(content)}">'
        f'<tr><td style="padding:20px 24px 24px">{body}</td></tr></table>'
        f'<p style="margin:12px 0 0;font-size:12px;color:{_GREY}">Sent by backupd on {escape(content.host)}, '
        f"{escape(content.time)}</p></td></tr></table></body></html>"
    )


def _parts(content: NoticeContent) -> Iterator[str]:
    yield (
        f'<div style="font-size:13px;font-weight:600;color:{_colour(content)}">'
        f"{escape(_word(content))}</div>"
        f'<h1 style="margin:4px 0 12px;font-size:20px;line-height:26px">{escape(content.title)}</h1>'
        f'<p style="margin:0 0 12px;font-size:15px;line-height:22px">{escape(content.summary)}</p>'
    )
    if content.error is not None and content.error.hint:
        yield (
            f'<p style="margin:0 0 12px;padding:10px 12px;background:#fff8e5;border-left:4px solid {_AMBER};'
            f'font-size:14px;line-height:20px"><b>What helps:</b> {escape(content.error.hint)}</p>'
        )
    facts = facts_of(content)
    if facts:
        head = f"{_CELL};white-space:nowrap;color:{_GREY}"
        yield _table(f'<td style="{head}">{escape(name)}</td>{_cell(escape(value))}' for name, value in facts)
    if content.destinations:
        yield _heading("Destinations")
        yield _table(_destination(one, is_digest=False) for one in content.destinations)
    if content.digest:
        yield _heading("Sets")
        yield _table(row for line in content.digest for row in _digest_rows(line))
    if content.warnings:
        yield _heading("Warnings")
        style = "margin:0 0 6px;overflow-wrap:anywhere"
        items = "".join(f'<li style="{style}">{escape(one)}</li>' for one in content.warnings)
        yield f'<ul style="margin:0;padding-left:20px;font-size:14px;line-height:20px">{items}</ul>'
    if content.commands:
        yield _heading("What to do next")
        yield "".join(
            f'<p style="margin:0 0 4px;font-size:14px">{escape(one.purpose)}</p>'
            f'<pre style="margin:0 0 12px;padding:8px 12px;background:#f4f5f7;border-radius:6px;{_MONO};'
            f'white-space:pre-wrap">{escape(one.command)}</pre>'
            for one in content.commands
        )


def _digest_rows(line: DigestLine) -> Iterator[str]:
    colour = _RED if line.failed or line.missed else _AMBER if line.warned else _GREEN if line.good else _GREY
    yield (
        f'<td colspan="3" style="{_CELL};border-top:1px solid #d8dee4;font-weight:600">{escape(line.set)} '
        f'<span style="padding-left:12px;color:{colour}">{escape(counts_of(line))}</span></td>'
    )
    for one in line.destinations:
        yield _destination(one, is_digest=True)


def _destination(one: NoticeDestination, *, is_digest: bool) -> str:
    word, colour = verdict_of(one), _VERDICTS.get(one.verdict, _RED)
    indent = "padding-left:16px;" if is_digest else ""
    return (
        f'<td style="{_CELL};{indent}white-space:nowrap">{escape(one.name)}</td>'
        f'<td style="{_CELL};color:{colour};font-weight:600;white-space:nowrap">{escape(word)}</td>'
        f"{_cell(escape(one.detail))}"
    )


def _table(rows: Iterable[str]) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%">{body}</table>'


def _cell(html: str) -> str:
    return f'<td style="{_CELL};width:99%;overflow-wrap:anywhere">{html}</td>'


def _heading(text: str) -> str:
    return f'<h2 style="margin:18px 0 6px;font-size:15px;line-height:20px">{escape(text)}</h2>'


def _colour(content: NoticeContent) -> str:
    if content.event == "digest" and any(needs_look(line) for line in content.digest):
        return _AMBER
    return _COLOURS.get(content.event, _GREY)


def _word(content: NoticeContent) -> str:
    return _WORDS.get(content.event, content.event)
