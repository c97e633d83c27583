"""Types of files by the ends of their names, for sets that take in only some types or leave some out (FEATURES 2.5)."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

from backupd.errors import UsageError

TYPES: dict[str, tuple[str, ...]] = {
    "documents": (
        "abw", "csv", "djvu", "doc", "docm", "docx", "dot", "dotx", "epub", "fodp", "fods", "fodt", "key", "md",
        "mobi", "numbers", "odf", "odg", "odm", "odp", "ods", "odt", "ott", "pages", "pdf", "pot", "potx", "pps",
        "ppsx", "ppt", "pptm", "pptx", "ps", "pub", "rst", "rtf", "tex", "tsv", "txt", "vsd", "vsdx", "wpd", "wps",
        "xls", "xlsb", "xlsm", "xlsx", "xlt", "xltx", "xps",
    ),
    "images": (
        "ai", "arw", "avif", "bmp", "cr2", "cr3", "crw", "dcr", "dng", "eps", "gif", "heic", "heif", "ico", "indd",
        "jp2", "jpe", "jpeg", "jpg", "jxl", "kra", "mrw", "nef", "nrw", "orf", "pef", "png", "psb", "psd", "raf",
        "raw", "rw2", "rwl", "sr2", "srw", "svg", "svgz", "tga", "tif", "tiff", "webp", "x3f", "xcf",
    ),
    "video": (
        "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "insv", "m2ts", "m2v", "m4v", "mkv", "mod", "mov",
        "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "rm", "rmvb", "vob", "webm", "wmv",
    ),
    "music": (
        "aac", "aif", "aiff", "alac", "ape", "au", "caf", "dsf", "flac", "m3u", "m4a", "m4b", "mid", "midi", "mka",
        "mp2", "mp3", "mpc", "oga", "ogg", "opus", "pls", "ra", "tak", "wav", "wma", "wv",
    ),
    "archives": (
        "7z", "ace", "arj", "bz2", "cab", "cpio", "deb", "gz", "jar", "lha", "lz", "lz4", "lzh", "lzma", "lzo", "pkg",
        "rar", "rpm", "sit", "sitx", "tar", "tbz", "tbz2", "tgz", "txz", "tzst", "war", "xz", "z", "zip", "zipx",
        "zst",
    ),
    "mail": ("dbx", "edb", "eml", "emlx", "mbox", "mbx", "msf", "msg", "nsf", "ost", "pst", "wab"),
    "databases": (
        "accdb", "db", "db3", "dbf", "fdb", "frm", "gdb", "ibd", "kdbx", "ldf", "mdb", "mdf", "myd", "myi", "ndf",
        "qbb", "qbm", "qbw", "sdf", "sqlite", "sqlite3",
    ),
    "virtual-machines": (
        "avhd", "avhdx", "hdd", "nvram", "ova", "ovf", "qcow", "qcow2", "qed", "vbox", "vdi", "vhd", "vhdx", "vmdk",
        "vmem", "vmsd", "vmsn", "vmss", "vmx", "vsv",
    ),
    "disk-images": ("bin", "cue", "dmg", "img", "iso", "mdx", "nrg", "sparsebundle", "sparseimage", "toast", "wim"),
    "programs": ("apk", "app", "appimage", "com", "dll", "dylib", "exe", "flatpak", "ipa", "msi", "snap", "so", "sys"),
    "source-code": (
        "bash", "bat", "c", "cc", "clj", "cpp", "cs", "css", "cxx", "dart", "ex", "exs", "go", "h", "hpp", "hs",
        "html", "ipynb", "java", "js", "jsx", "kt", "lua", "m", "ml", "php", "pl", "ps1", "py", "r", "rb", "rs",
        "scala", "sh", "sql", "swift", "ts", "tsx", "vue", "zig",
    ),
    "temporary": ("bak", "cache", "crdownload", "dmp", "old", "part", "partial", "swo", "swp", "temp", "tmp"),
}  # fmt: skip
"""Name of a type -> the extensions of its files, in lower case and without the dot."""

_MOST_DOTS = 3
_MOST_KNOWN = 10_000
_EXTENSION = re.compile(r"(?:\.[^./\0\s]+){1,3}")


class TypeRules:
    """Tells by a file's name whether its type is wanted. Threads may share it."""

    def __init__(self, only: Iterable[str] = (), never: Iterable[str] = ()) -> None:
        """Names of types or extensions. Raises UsageError for a word that is neither."""
        self._only = _by_extension(only)
        self._never = _by_extension(never)
        self._has_only = bool(self._only)
        self._is_simple = not any("." in extension for extension in (*self._only, *self._never))
        self._known: dict[bytes, str | None] = {}
        """What was said of names that end so."""
        self.is_empty = not self._only and not self._never

    def refuses(self, name: bytes) -> str | None:
        """Why a file is left out, as `never images`; None: it is not. name: of the file."""
        if not self._is_simple:
            return self._refuses(os.fsdecode(name))
        _, dot, extension = name.rpartition(b".")
        key = dot + extension if dot else b""
        try:
            return self._known[key]
        except KeyError:
            said = self._refuses(os.fsdecode(key))
            if len(self._known) < _MOST_KNOWN:
                self._known[key] = said
            return said

    def _refuses(self, name: str) -> str | None:
        if self._never:
            word = _found(self._never, name)
            if word is not None:
                return f"never {word}"
        if self._has_only and _found(self._only, name) is None:
            return f"only {', '.join(dict.fromkeys(self._only.values()))}"
        return None


def check_type(word: str) -> None:
    """Raises UsageError for what is neither the name of a type nor an extension."""
    if word in TYPES or _EXTENSION.fullmatch(word):
        return
    near = difflib.get_close_matches(word, TYPES, 1, 0.6)
    raise UsageError(
        f"'{word}' is no type of files",
        hint=f"did you mean {near[0]}?" if near else f"an extension begins with a dot; types: {', '.join(TYPES)}",
    )


def refuses_all(only: Iterable[str], never: Iterable[str]) -> bool:
    """Whether no type is left over."""
    wanted = _by_extension(only)
    return bool(wanted) and wanted.keys() <= _by_extension(never).keys()


def _by_extension(words: Iterable[str]) -> dict[str, str]:
    """Extension without its first dot -> the word that named it."""
    found: dict[str, str] = {}
    for word in words:
        check_type(word)
        for extension in TYPES.get(word, (word[1:].lower(),)):
            found.setdefault(extension, word)
    return found


def _found(extensions: dict[str, str], name: str) -> str | None:
    """The word for the longest end of a name, of what follows one of its last dots."""
    parts = name.lower().rsplit(".", _MOST_DOTS)
    for at in range(1, len(parts)):
        word = extensions.get(".".join(parts[at:]))
        if word is not None:
            return word
    return None
