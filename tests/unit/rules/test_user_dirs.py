"""Lines of user-dirs.dirs: what desktops write, and what somebody may write who means harm."""

from __future__ import annotations

import pytest

from backupd.rules.user_dirs import parse_user_dirs


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b'XDG_MUSIC_DIR="$HOME/Musik"', b"/home/a/Musik"),
        (b' XDG_MUSIC_DIR = "$HOME/a\\"b\\$c\\\\"  # mine', b'/home/a/a"b$c\\'),
        (b'XDG_MUSIC_DIR="/srv//music/"', b"/srv/music"),
        (b'XDG_MUSIC_DIR="$HOME/../../etc"', b"/etc"),
        (b'XDG_MUSIC_DIR="$HOME/"', b"/home/a"),
        (b'XDG_MUSIC_DIR="$HOME"', b"/home/a"),
        (b'XDG_MUSIC_DIR="$HOME/$(reboot)`id`"', b"/home/a/$(reboot)`id`"),
        (b'XDG_MUSIC_DIR="$HOMESTEAD/x"', None),
        (b'XDG_MUSIC_DIR="music"', None),
        (b'XDG_MUSIC_DIR="$HOME/open', None),
        (b"XDG_MUSIC_DIR=$HOME/bare", None),
        (b'#XDG_MUSIC_DIR="$HOME/x"', None),
        (b'XDG_MUSIC_DIR="$HOME/a\0b"', None),
        (b'XDG_MUSIC_DIR="$HOME/\xff"', b"/home/a/\xff"),
        (b'XDG_MUSIC_DIR="' + b"\\" * 60_000, None),
    ],
)
def test_a_line_says_a_path_or_nothing(line: bytes, path: bytes | None) -> None:
    """A shell would carry out what stands in there."""
    assert parse_user_dirs(b'XDG_OTHER_DIR="/x"\n' + line + b"\n", b"/home/a").get("music") == path
