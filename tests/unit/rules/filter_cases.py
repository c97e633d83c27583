"""What filters mean, as data: families of filters, each with paths that are in or out and what decided it.

Paths are below the source. `/` at the end makes a directory; a text after `|` is the reason that `set explain` gives,
after `@` the rule's place among the family's filters. `{top}` in filters is the source. Files are written in the order
of the cases, empty unless `sizes` says otherwise, and a minute old unless `ages` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DAY = 86400


@dataclass(frozen=True)
class Family:
    """One set's filters, and what they come to."""

    name: str
    filters: list[dict[str, Any]]
    inside: list[str]
    outside: list[str]
    words: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    """Path -> text, of files beside the cases: .gitignore, markers."""
    sizes: dict[str, int] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)
    """Path -> seconds since it was changed."""
    sources: list[str] = field(default_factory=lambda: [""])
    """Below the top."""


_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"

FAMILIES: list[Family] = [
    Family("nothing", [], ["a.txt|no_rule", "d/b|no_rule", "d/.hidden"], []),
    Family(
        "a name at any depth",
        [{"exclude": "cache"}],
        ["cached", "d/mycache", "Cache"],
        ["cache@0", "d/cache/|filter"],
    ),
    Family(
        "what lies in an excluded directory",
        [{"exclude": "cache"}, {"include": "keep"}],
        ["keep@1"],
        ["cache/keep@0"],
    ),
    Family(
        "a glob of names",
        [{"exclude": "*.tmp"}],
        ["tmp", "a.tmp.txt", "b.TMP"],
        ["a.tmp@0", "d/.tmp", "d/e/x.tmp"],
    ),
    Family("one character", [{"exclude": "log.?"}], ["log.", "log.12"], ["log.1", "log.é"]),
    Family("a class", [{"exclude": "[a-c]x"}, {"exclude": "[!0-9]y"}], ["dx", "1y"], ["ax", "cx", "zy"]),
    Family("a directory only", [{"exclude": "build/"}], ["build"], ["d/build/", "d2/build/x"]),
    Family("a path from the root", [{"exclude": "{top}/a/b"}], ["x/a/b", "a/bc"], ["a/b/|filter"]),
    Family("a path at any depth", [{"exclude": "a/b"}], ["b", "xa/b"], ["a/b", "d/a/b"]),
    Family("a path with stars", [{"exclude": "{top}/*/x"}], ["x", "d/e/x"], ["d/x"]),
    Family("any depth below", [{"exclude": "{top}/a/**/x"}], ["x", "b/x"], ["a/x", "a/b/x", "a/b/c/x"]),
    Family("all below", [{"exclude": "a/**"}], ["a/", "ab"], ["a/x", "d/a/y"]),
    Family("two stars within a name", [{"exclude": "{top}/a**z"}], ["a", "b/a.z"], ["abz", "a1/b/z"]),
    Family(
        "the first that matches decides",
        [{"include": "keep.tmp"}, {"exclude": "*.tmp"}, {"include": "*"}],
        ["keep.tmp@0", "other@2"],
        ["a.tmp@1"],
    ),
    Family("the order turned round", [{"exclude": "*.tmp"}, {"include": "keep.tmp"}], ["a"], ["keep.tmp@0", "b.tmp@0"]),
    Family("one switched off", [{"exclude": "*.a", "enabled": False}, {"exclude": "*.b"}], ["x.a|no_rule"], ["x.b"]),
    Family(
        "starts with",
        [{"action": "exclude", "starts_with": ["~$", "tmp"]}],
        ["a~$", "d/Tmp"],
        ["~$letter.docx@0", "d/tmpfile", "tmp/"],
    ),
    Family("ends with", [{"action": "exclude", "ends_with": [".bak", "~"]}], ["bak", "~a"], ["a.bak", "d/b~", ".bak"]),
    Family("ends with two dots", [{"action": "exclude", "ends_with": [".tar.gz"]}], ["a.gz", "tar.gz"], ["a.tar.gz"]),
    Family("contains", [{"action": "exclude", "contains": ["(copy", "*"]}], ["copy"], ["a (copy 2).txt", "b*c"]),
    Family(
        "exactly",
        [{"action": "exclude", "exact": ["*.tmp", "Thumbs.db"]}],
        ["a.tmp", "thumbs.db"],
        ["*.tmp", "d/Thumbs.db"],
    ),
    Family("exactly a path", [{"action": "exclude", "exact": ["{top}/d/x"]}], ["x", "e/x"], ["d/x@0"]),
    Family(
        "starts with a path",
        [{"action": "exclude", "starts_with": ["{top}/d/a"]}],
        ["a", "d/b"],
        ["d/a1", "d/a2/"],
    ),
    Family("ends with a path", [{"action": "exclude", "ends_with": ["d/x"]}], ["x", "d/xy"], ["d/x", "bd/x"]),
    Family("contains a path", [{"action": "exclude", "contains": ["a/b"]}], ["a/c", "b"], ["xa/by"]),
    Family(
        "several globs",
        [{"action": "exclude", "glob": ["*.o", "a/*.c", "x/"]}],
        ["b.c", "d/x"],
        ["m.o", "a/m.c", "x/"],
    ),
    Family("of files", [{"action": "exclude", "exact": ["x"], "of": "files"}], ["x/", "x/y"], ["d/x@0"]),
    Family("of directories", [{"action": "exclude", "exact": ["x"], "of": "directories"}], ["d/x"], ["x/", "e/x/y"]),
    Family("a glob of files", [{"exclude": "c*", "of": "files"}], ["cc/", "cc/d"], ["d/c"]),
    Family(
        "ignoring case",
        [
            {"action": "exclude", "ends_with": [".JPG"], "ignore_case": True},
            {"exclude": "Thumbs.*", "ignore_case": True},
        ],
        ["jpg", "a.jpeg"],
        ["a.jpg@0", "b.JpG", "THUMBS.DB@1"],
    ),
    Family(
        "more of it",
        [
            {"action": "exclude", "exact": ["ÄRGER"], "ignore_case": True},
            {"action": "exclude", "starts_with": ["TMP"], "ignore_case": True},
            {"action": "exclude", "contains": ["Mid"], "ignore_case": True},
            {"action": "exclude", "regex": ["^re[0-9]$"], "ignore_case": True},
            {"exclude": "Dir/*.txt", "ignore_case": True},
        ],
        ["xtmp", "re10"],
        ["ärger@0", "tmp1@1", "amidb@2", "RE1@3", "dir/A.TXT@4"],
    ),
    Family("minding case", [{"action": "exclude", "exact": ["Ab"]}], ["ab", "AB"], ["d/Ab"]),
    Family(
        "a regular expression",
        [{"action": "exclude", "regex": [r"^core\.\d+$", "^(old|new)-"]}],
        ["core.x", "xcore.1", "d/older"],
        ["core.12@0", "d/old-1", "new-/"],
    ),
    Family("one that is found anywhere", [{"action": "exclude", "regex": ["b+c"]}], ["bac"], ["abbcd", "bc"]),
    Family("one of paths", [{"action": "exclude", "regex": ["/d/[^/]+/x$"]}], ["d/x", "x"], ["d/e/x", "f/d/e/x"]),
    Family(
        "one with its own ends",
        [{"action": "exclude", "regex": [r"\Aa.*z\z"]}, {"action": "exclude", "regex": ["q/"]}],
        ["ab", "baz"],
        ["abz", "q/r"],
    ),
    Family("one and a glob before", [{"include": "*.c"}, {"action": "exclude", "regex": ["^a"]}], ["a.c@0"], ["a.d@1"]),
    Family(
        "one that would take for ever",
        [{"action": "exclude", "regex": ["^(a|aa)+$"]}],
        ["a" * 60 + "b"],
        ["a" * 60],
    ),
    Family(
        "in one directory",
        [{"exclude": "*.x", "in": "{top}/d"}],
        ["a.x", "e/b.x", "d1/c.x"],
        ["d/a.x@0", "d/e/b.x"],
    ),
    Family("not the directory itself", [{"exclude": "d", "in": "{top}/d"}], ["d/"], ["d/d/"]),
    Family(
        "in one directory, by expression",
        [{"action": "exclude", "regex": ["^t"], "in": "{top}/d"}, {"action": "exclude", "in": "{top}/all"}],
        ["tx", "all/"],
        ["d/tx@0", "all/x@1"],
    ),
    Family(
        "larger",
        [{"action": "exclude", "larger_than": "1K"}],
        ["small", "even", "d/"],
        ["big@0"],
        sizes={"small": 10, "even": 1024, "big": 1025},
    ),
    Family(
        "smaller",
        [{"action": "exclude", "glob": ["*.jpg"], "smaller_than": "100B"}],
        ["big.jpg", "tiny.png", "tiny.jpg/"],
        ["d/tiny.jpg@0"],
        sizes={"big.jpg": 100, "d/tiny.jpg": 99},
    ),
    Family(
        "between two sizes, after an include",
        [{"include": "keep*"}, {"action": "exclude", "larger_than": "10B", "smaller_than": "20B"}],
        ["keep1@0", "ten", "twenty"],
        ["mid@1"],
        sizes={"keep1": 15, "ten": 10, "twenty": 20, "mid": 15},
    ),
    Family(
        "older",
        [{"action": "exclude", "ends_with": [".log"], "older_than": "30d"}],
        ["new.log", "old.txt", "old.log/"],
        ["old.log2/old.log@0"],
        ages={"new.log": 29 * DAY, "old.txt": 90 * DAY, "old.log2/old.log": 31 * DAY},
    ),
    Family(
        "newer",
        [{"action": "exclude", "newer_than": "1h"}],
        ["d/", "old"],
        ["now@0"],
        ages={"old": 7200, "now": 60},
    ),
    Family(
        "size and age together",
        [{"exclude": "*.iso", "larger_than": "10B", "older_than": "1d"}, {"exclude": "*.iso", "larger_than": "100B"}],
        ["new.iso", "small.iso"],
        ["old.iso@0", "huge.iso@1"],
        sizes={"new.iso": 50, "small.iso": 5, "old.iso": 50, "huge.iso": 500},
        ages={"new.iso": 60, "small.iso": 5 * DAY, "old.iso": 5 * DAY, "huge.iso": 60},
    ),
    Family(
        "unmatched",
        [{"include": "*.odt"}],
        ["a.odt@0", "d/b.odt", "e/"],
        ["a.txt|unmatched", "d/c"],
        words={"unmatched": "exclude"},
    ),
    Family(
        "unmatched, a directory taken in",
        [{"exclude": "*.tmp"}, {"include": "docs"}],
        ["docs/@1", "docs/a@1", "docs/e/b@1"],
        ["c|unmatched", "docs/a.tmp@0", "docs2/x|unmatched"],
        words={"unmatched": "exclude"},
    ),
    Family(
        "only these types",
        [{"include": "README"}],
        ["a.jpg|no_rule", "b.JPEG", "d/c.psd", "README@0", "d.txt/", "x.kra"],
        ["a.txt|type", "noext|type", "jpg|type"],
        words={"only_types": ["images", ".psd"]},
    ),
    Family(
        "never these types",
        [{"include": "talk.*"}],
        ["a.odt", "talk.mp4@0", "mp4", "w.mp4/", "a.gz"],
        ["v.mp4|type", "d/V.MKV|type", "x.tar.gz|type"],
        words={"never_types": ["video", ".tar.gz"]},
    ),
    Family(
        "only and never",
        [],
        ["a.pdf", "b.docx"],
        ["c.txt|type", "d.jpg|type"],
        words={"only_types": ["documents"], "never_types": [".txt"]},
    ),
    Family(
        "virtual machines, mail, archives, databases and music",
        [],
        ["a.html"],
        ["a.vmdk", "b.qcow2", "c.pst", "d.mbox", "e.7z", "f.sqlite", "g.flac"],
        words={"never_types": ["virtual-machines", "mail", "archives", "databases", "music"]},
    ),
    Family(
        "a marker",
        [{"include": "wanted"}],
        [".nobackup|no_rule", "d/x", "wanted/|filter", "wanted/y"],
        ["m/|marker", "m/x|marker", "d/n/|marker", "skip/z|marker"],
        words={"markers": [".nobackup", ".skip"]},
        contents={".nobackup": "", "m/.nobackup": "", "d/n/.nobackup": "", "skip/.skip": "x", "wanted/.nobackup": ""},
    ),
    Family("no marker asked for", [], ["m/", "m/.nobackup", "c/CACHEDIR.TAG"], [], contents={"c/CACHEDIR.TAG": _TAG}),
    Family(
        "CACHEDIR.TAG",
        [],
        ["wrong/", "wrong/x", "CACHEDIR.TAG"],
        ["right/|cachedir_tag", "right/x", "d/deep/y|cachedir_tag"],
        words={"cachedir_tag": True},
        contents={
            "wrong/CACHEDIR.TAG": "Signature: 0",
            "right/CACHEDIR.TAG": _TAG,
            "d/deep/CACHEDIR.TAG": _TAG,
            "CACHEDIR.TAG": _TAG,
        },
    ),
    Family(
        "gitignore",
        [],
        ["a.c", "keep.o", "d/build", "doc/frotz", "x/out/y", "#a", "!b", ".gitignore", "src/a b"],
        ["m.o|gitignore", "d/n.o", "build/|gitignore", "build/x", "out/y", "x/doc/tmp", "#c", "!d", "end ", "trail"],
        words={"gitignore": True},
        contents={
            ".gitignore": "# a comment\n\n*.o\n!keep.o\nbuild/\n/out\n**/doc/tmp\n\\#c\n\\!d\nend\\ \ntrail   \n"
        },
    ),
    Family(
        "gitignore with paths",
        [],
        ["b/a/foo/x", "foo/bar", "d/z/q/w", "abc/e"],
        ["a/foo/|gitignore", "a/x/y/bar", "foo/a/b", "d/q/w", "abc/de"],
        words={"gitignore": True},
        contents={".gitignore": "a/foo\na/**/bar\nfoo/a/**\nd/*/w\na**c/d?\n"},
    ),
    Family(
        "gitignore below another",
        [],
        ["d/x.o|no_rule", "e/y.log", "d/f/only"],
        ["x.o|gitignore", "d/y.log|gitignore", "d/only|gitignore", "e/z.o"],
        words={"gitignore": True},
        contents={".gitignore": "*.o\n", "d/.gitignore": "!*.o\n*.log\n/only\n"},
    ),
    Family(
        "gitignore: the last line decides, and nothing in a directory that is out comes back",
        [],
        ["a.txt", "foo/", "foo/bar/", "foo/bar/x"],
        ["b.txt|gitignore", "foo/y|gitignore", "out/keep|gitignore"],
        words={"gitignore": True},
        contents={".gitignore": "*.txt\n!*.txt\nb.txt\n/foo/*\n!/foo/bar\nout\n!out/keep\n"},
    ),
    Family(
        "gitignore of another repository",
        [],
        ["sub/a.o|no_rule", "sub/d/b.o"],
        ["c.o|gitignore", "other/e.o|gitignore", "sub/f.x|gitignore"],
        words={"gitignore": True},
        contents={".gitignore": "*.o\n", "sub/.git/HEAD": "x", "sub/.gitignore": "*.x\n"},
    ),
    Family(
        "gitignore with classes and lines of no use",
        [],
        ["a", "c1", "..x"],
        ["b1|gitignore", "X9|gitignore"],
        words={"gitignore": True},
        contents={".gitignore": "/\n!\n../up\nb[[:digit:]]\n[[:upper:]]9\r\nback\\\n"},
    ),
    Family(
        "filters before gitignore, types and markers",
        [{"include": "*.o"}, {"include": "vendor"}, {"exclude": "secret"}],
        ["a.o@0", "vendor/@1", "vendor/b.txt"],
        ["secret@2", "c.log|gitignore", "v.mp4|type"],
        words={"gitignore": True, "never_types": ["video"], "markers": [".nobackup"]},
        contents={".gitignore": "*.o\n*.log\nvendor\nsecret\n", "vendor/.nobackup": ""},
    ),
    Family("names that are odd", [{"exclude": "a\\*b"}, {"exclude": "[[]x"}], ["aXb", "x"], ["a*b", "[x"]),
    Family("names with line ends", [{"action": "exclude", "regex": ["^end$"]}], ["a\nend", "end\nb"], ["end"]),
    Family(
        "a name in a long list",
        [{"exclude": f"n{at}"} for at in range(60)],
        ["n60", "n"],
        ["n0@0", "n59@59", "d/n31@31"],
    ),
    Family(
        "individual picks beat excludes",
        [{"exclude": "*.tmp"}, {"exclude": "cache"}],
        ["s/pick.tmp|source", "s/cache/in/|source", "s/cache/in/x", "s/y"],
        ["s/z.tmp@0", "s/cache/|filter", "s/cache/other@1", "t|no_source", "s/cache/in/w.tmp@0"],
        sources=["s", "s/pick.tmp", "s/cache/in"],
    ),
    Family(
        "an include with a place is a source",
        [{"include": "*.key", "in": "{top}/other"}, {"exclude": "*.tmp"}],
        ["s/a|no_rule", "other/x.key@0", "other/d/y.key@0", "other/|source"],
        ["other/z|unmatched", "other/d/w.tmp@1", "third|no_source"],
        sources=["s"],
    ),
    Family(
        "a place around a source",
        [{"action": "include", "ends_with": [".key"], "in": "{top}/p"}],
        ["p/s/a|no_rule", "p/s/d/b|no_rule", "p/x.key@0", "p/s/c.key@0"],
        ["p/y|unmatched", "p/d/z|unmatched"],
        sources=["p/s"],
    ),
]
