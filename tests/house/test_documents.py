"""Documents say what the program is now: generated ones are in step, names in them exist."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from backupd.rules.filter_rules import parse_filter_file
from backupd.rules.filtering import Filters
from tests.house import errors_reference, floors
from tests.house.house import House

TOP = Path(__file__).resolve().parents[2]
DOCUMENTS = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
ARCHITECTURE = TOP / "docs" / "ARCHITECTURE.md"

_PATH = re.compile(r"(?:backupd|bkctl|docs|etc|launchd|systemd|tests)/[\w./-]*")
_DOTTED = re.compile(r"(\w+(?:\.\w+)+)(?:\(\))?")
_FILE_ENDINGS = {"json", "md", "py", "toml", "txt", "yaml"}


def test_error_reference_is_in_step() -> None:
    """A user who looks up an error must find the one that the program gives."""
    stored = errors_reference.FILE.read_text(encoding="utf-8")
    assert stored == errors_reference.render(), "run: python -m tests.house.errors_reference"


def test_top_level_holds_what_is_allowed() -> None:
    """What lies about at the top hides what matters from a newcomer."""
    listed = subprocess.run(["git", "-C", str(TOP), "ls-files"], capture_output=True, text=True, check=False)
    tracked = {line.split("/")[0] for line in listed.stdout.splitlines()}
    found = tracked if tracked else {path.name for path in TOP.iterdir()}
    assert {name for name in found if not name.startswith(".")} <= floors.TOP_LEVEL
    assert floors.TOP_LEVEL - {path.name for path in TOP.iterdir()} == set()


def test_architecture_names_exist() -> None:
    """A map with streets that are gone leads nowhere."""
    house = House(TOP)
    known = {kind.code for kind in errors_reference.error_classes()}
    text = ARCHITECTURE.read_text(encoding="utf-8")
    missing = [word for word in _code_words(text) if word not in known and not _exists(house, word)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_has_no_line_numbers(document: Path) -> None:
    """Line numbers are wrong after the next change."""
    assert re.findall(r"\w+\.(?:py|md|toml|sh):\d+", document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_links_lead_somewhere(document: Path) -> None:
    """A reader who follows a link must arrive."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_decisions_are_numbered_records() -> None:
    """A decision without its number can't be cited, two of one number can't be told apart."""
    names = sorted(path.name for path in (TOP / "docs" / "decisions").iterdir())
    assert names
    assert [name for name in names if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)] == []
    assert len({name[:4] for name in names}) == len(names)


def test_readme_opens_with_its_two_commands() -> None:
    """A newcomer copies the first block to back up and the second to test, and CI runs that very second one."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^<!-- ([\w-]+) -->\n```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["main-job", "tests"]
    assert "bkctl once" in blocks[0][1]
    assert "pytest" in blocks[1][1]
    for _, block in blocks:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_example_of_filters_works() -> None:
    """A user who starts from the example must not get an error, nor leave out what it says it keeps."""
    rules = parse_filter_file((TOP / "etc" / "filters.example").read_bytes(), b"filters.example")
    filters = Filters(rules)
    names = (b"important.log", b"a.log", b"a.c")
    kept = {name: filters.decide(b"/srv/" + name, name, False).included for name in names}
    assert kept == {b"important.log": True, b"a.log": False, b"a.c": True}


def test_every_test_can_fail() -> None:
    """A test that asserts nothing passes on a program that lost its data."""
    files = [path for path in (TOP / "tests").rglob("test_*.py") if "bench" not in path.parts]
    silent = [
        f"{path.relative_to(TOP)}: {node.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not _asserts(node)
    ]
    assert silent == []


def _asserts(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if name == "raises" or name.startswith(("check_", "assert_", "verify_")):
                return True
    return False


def _code_words(text: str) -> list[str]:
    """All words of code spans and fenced blocks."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [word.strip(",;:()[]{}") for part in [*fenced, *spans] for word in part.split()]


def _exists(house: House, word: str) -> bool:
    """Whether a word names a path or a name of the program that exists, or is neither of the two."""
    if _PATH.fullmatch(word):
        return (TOP / word).exists()
    match = _DOTTED.fullmatch(word)
    if match is None:
        return True
    parts = match.group(1).split(".")
    if parts[-1] in _FILE_ENDINGS or (parts[0] not in floors.FLOORS and parts[0] not in ("backupd", "bkctl")):
        return True
    if parts[0] not in ("backupd", "bkctl"):
        parts.insert(0, "backupd")
    return any(
        ".".join(parts[:depth]) in house.modules
        and _defines(house.modules[".".join(parts[:depth])].tree.body, parts[depth:])
        for depth in range(len(parts), 0, -1)
    )


def _defines(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == names[0]:
            return _defines(node.body if isinstance(node, ast.ClassDef) else [], names[1:])
        if any(isinstance(target, ast.Name) and target.id == names[0] for target in _targets(node)):
            return len(names) == 1
    return False


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []
