"""The program keeps its own rules; tests/house/floors.py holds the floors and all exceptions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from backupd import command_errors, errors, notice_errors, store_errors
from tests.house import floors
from tests.house.errors_reference import EXIT_CODES, error_classes
from tests.house.house import House
from tests.house.rules import RULES, Rule

TOP = Path(__file__).resolve().parents[2]

BROKEN = {
    "backupd/__init__.py": '"""."""\n',
    "backupd/attic.py": '"""Room without a floor."""\n',
    "backupd/clock.py": '"""."""\nimport time\nfrom backupd.seal import lock\nimport bkctl.main\nNOW = time.time()\n',
    "backupd/seal/__init__.py": '"""."""\n',
    "backupd/seal/lock.py": '"""."""\nfrom backupd import clock\nfrom backupd.errors import SealError\n'
    'class Ours(SealError):\n    """."""\n',
    "backupd/tree/utils.py": '"""."""\nfrom datetime import datetime\nimport os\nHOME = os.environ["HOME"]\n'
    'NOW = datetime.now()\ndef work(a, b, c, d, e, f, g, h, i):\n    import json\n    try:\n        json\n'
    "    except Exception:\n        pass\n",
    "backupd/tree/long.py": '"""."""\n' + "A = 1\n" * 400,
    "bkctl/main.py": '"""."""\nfrom backupd.seal import lock\n',
}


@pytest.fixture(scope="module")
def house() -> House:
    """Read once: rules only look."""
    return House(TOP)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_kept(house: House, rule: Rule) -> None:
    complaints = sorted(set(rule(house)))
    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_sees_a_house_that_breaks_it(rule: Rule, tmp_path: Path) -> None:
    """A rule that can't complain would let everything pass."""
    for file, text in BROKEN.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert list(rule(House(tmp_path)))


def test_drawn_exceptions_are_needed(house: House) -> None:
    """An exception that nothing uses any more invites a new breach."""
    seen = {
        (module.room, item.target.split(".")[1])
        for module in house.of("backupd")
        for item in house.imports(module)
        if item.target.startswith("backupd.")
    }
    hidden = {
        (module.file, item.target) for module in house.modules.values() for item in house.imports(module) if item.hidden
    }
    assert floors.NEIGHBOURS - seen == set()
    assert floors.HIDDEN_IMPORTS - hidden == set()


def test_every_error_has_a_code_of_its_own() -> None:
    """Scripts tell errors apart by code alone."""
    classes = error_classes()
    inherited = [kind.__name__ for kind in classes if "code" not in vars(kind)]
    assert not inherited
    assert len({kind.code for kind in classes}) == len(classes)


def test_every_exit_code_is_explained() -> None:
    """An exit code without a line in the reference tells a script nothing."""
    assert {kind.exit_code for kind in error_classes()} <= {row[0] for row in EXIT_CODES}


def test_every_error_in_the_module_is_one_of_the_family() -> None:
    """An error outside the family is printed as a crash."""
    modules = (errors, store_errors, notice_errors, command_errors)
    trees = [ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")) for module in modules]
    named = {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    assert named == {kind.__name__ for kind in error_classes()}
