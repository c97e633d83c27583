"""Text that does harm where it is run, pasted, printed or parsed; and whether any of it did."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from bkctl.main import read_environment, run
from tests.support.daemon import Daemon

TRAP = "pwned"
"""A program that leaves a mark when something runs it; it lies in PATH."""

STRINGS: dict[str, str] = {
    "command substitution": "$(pwned)",
    "substitution in words": "a $(pwned) b",
    "backticks": "`pwned`",
    "semicolon": "a;pwned;",
    "pipe": "a|pwned",
    "and": "a&&pwned",
    "or": "a||pwned",
    "background": "a&pwned&",
    "newline": "a\npwned\n",
    "carriage return": "a\rpwned",
    "CRLF": "a\r\npwned\r\n",
    "single quote": "'; pwned; '",
    "double quote": '"; pwned; "',
    "both quotes": "'\"; pwned; '\"",
    "backslash": "\\\\'; pwned #",
    "redirection": "a>pwned-file",
    "process substitution": "<(pwned)",
    "variable": "${PATH}$HOME",
    "arithmetic": "$((1+1))$[1+1]",
    "glob": "*?[a-z]{a,b}",
    "brace": "{}{0}{0.__class__}",
    "option": "-rf",
    "long option": "--yes",
    "option with a value": "--output=pwned-file",
    "double dash": "--",
    "dash": "-",
    "tilde": "~root",
    "percent s": "%s%s%s%n%n",
    "percent d": "%(message)s %d %x",
    "f string": "{os.system('pwned')}",
    "template": "{{7*7}}${7*7}<%= 7*7 %>",
    "log4j": "${jndi:ldap://localhost/a}",
    "escape": "a\x1b[2Jb",
    "title": "\x1b]0;owned\x07",
    "answer back": "\x1b[6n\x1b[c",
    "hyperlink": "\x1b]8;;file:///etc/passwd\x1b\\x\x1b]8;;\x1b\\",
    "C1 control": "a\x9b2Jb\x9d0;x\x9c",
    "backspace": "safe\b\b\b\bevil",
    "bell and delete": "\a\x7f\x0b\x0c",
    "tab": "a\tb",
    "bidi override": "a\u202egnp.exe",
    "bidi isolate": "\u2066a\u2067b\u2068c\u2069",
    "marks of direction": "\u200ea\u200fb\u061c",
    "zero width": "a\u200bb\u200db\ufeff",
    "line separators": "a\u2028b\u2029c\x85d",
    "no UTF-8": "caf\udce9\udcff\udcfe",
    "overlong UTF-8": "\udcc0\udcaf\udce0\udc80\udcaf",
    "half a character": "a\udce2\udc82",
    "NUL": "a\0b",
    "parents": "../../../../etc/passwd",
    "dots": "..",
    "absolute": "/etc/passwd",
    "file URL": "file:///etc/passwd",
    "rclone": "rclone:remote:path",
    "login in a URL": "sftp://user:password@host/path",
    "YAML": "!!python/object/apply:os.system ['pwned']",
    "YAML specials": "&a *a [x: {y] - ? | > @ ` # %",
    "JSON": '"}, {"x": null, "y": [1, "',
    "HTTP": "x HTTP/1.1\r\nHost: y\r\n\r\nDELETE /v1/sets/home HTTP/1.1",
    "SQL": "'; DROP TABLE jobs; --",
    "empty": "",
    "white space": " \u00a0\u2003 ",
    "very long": "A" * 131_000,
    "long and hostile": "$(pwned)\x1b[2J" * 9_000,
}

_MARKUP = re.compile(r"\x1b\[(J|1A|0m|1;31m|33m|36m|\?25[hl])|\r")
"""What bkctl itself writes to a terminal."""


def file_names() -> dict[str, bytes]:
    """The strings as names of files, cut and without what no name has."""
    found: dict[str, bytes] = {}
    for number, (name, text) in enumerate(STRINGS.items()):
        raw = os.fsencode(text.replace("/", "_").replace("\0", "_"))[:200]
        found[name] = raw if raw not in (b"", b".", b"..", *found.values()) else b"%d_" % number + raw
    return found


def faults_of(shown: bytes, *, is_terminal: bool = False) -> str:
    """What of an output moves cursors, is no UTF-8 or is not to be seen; empty: nothing."""
    try:
        text = shown.decode()
    except UnicodeDecodeError as error:
        return f"{error}: {shown[max(0, error.start - 80) : error.end + 80]!r}"
    if is_terminal:
        text = _MARKUP.sub("", text.replace("\r\n", "\n"))
    wrong = next((at for at, one in enumerate(text) if one != "\n" and not one.isprintable()), None)
    return "" if wrong is None else repr(text[max(0, wrong - 80) : wrong + 80])


@dataclass
class Said:
    """What one call of bkctl said."""

    words: tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        assert self.out.count(b"\n") == 1
        assert found["exit"] == self.code
        return found


class Client:
    """bkctl in this process, its jobs processes of their own; every word that it says is looked at."""

    def __init__(self, daemon: Daemon) -> None:
        self._environment = read_environment({"BACKUPD_SOCKET": str(daemon.socket)})
        self.calls = 0

    def __call__(self, *words: str | Path) -> Said:
        """Run it; fails where what it says could do harm or is no JSON that was asked for."""
        self.calls += 1
        texts = tuple(map(str, words))
        with ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile()) for _ in range(2)]
            kept = [os.dup(number) for number in (1, 2)]
            sys.stdout.flush()
            sys.stderr.flush()
            for number, file in zip((1, 2), files, strict=True):
                os.dup2(file.fileno(), number)
            try:
                code = run(texts, self._environment)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                for number, former in zip((1, 2), kept, strict=True):
                    os.dup2(former, number)
                    os.close(former)
            out, err = map(_all_of, files)
        said = Said(texts, code, out, err)
        short = [text[:100] for text in texts]
        assert not (fault := faults_of(err)), (short, fault)
        if "--json" in texts:
            said.document()
        elif "--jsonl" in texts:
            for line in out.splitlines():
                json.loads(line)
        else:
            assert not (fault := faults_of(out)), (short, fault)
        assert b"Traceback" not in err, (short, err)
        assert b"defect of the program" not in err + out, (short, err, out[:2000])
        return said

    def refused(self, *words: str | Path) -> dict[str, Any]:
        """The same, with `--json`, where it is refused; its error, which has a code and a hint."""
        said = self(*words, "--json")
        document = said.document()
        error: dict[str, Any] = document["error"]
        assert said.code != 0, document
        assert error, document
        assert error["code"] != "internal.failed", document
        return error


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


class Trap:
    """The program that must never run."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._mark = directory / "mark"
        program = directory / TRAP
        program.write_text(f'#!/bin/sh\necho "$0 $*" >> {self._mark}\n')
        program.chmod(0o755)
        self.path = f"{directory}:{os.environ['PATH']}"

    def was_run(self) -> bool:
        """Whether it ran."""
        return self._mark.exists()

    def try_out(self, words: Sequence[str]) -> None:
        """Show that it would be noticed."""
        subprocess.run(words, env={"PATH": self.path}, check=False, capture_output=True)
        assert self.was_run()
        self._mark.unlink()
