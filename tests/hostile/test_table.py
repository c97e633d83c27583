"""No decoder is forgotten: what takes foreign bytes apart is called by a row of the table, or left out with a reason.

Else a new kind of object comes in, and the first one to try it with hostile bytes is an attacker.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from tests.hostile.decoder import Decoder
from tests.hostile.table import DECODERS
from tests.support.machine import TOP

_Place = tuple[str, int]
"""A file below the top, and the line of a function's name."""

_DECODING = frozenset(
    {"decode", "loads", "unpack", "unpack_from", "iter_unpack", "fromhex", "convert", "parse", "compose", "safe_load"}
)
"""Methods that take bytes or text apart, of msgspec, json, struct, yaml and of bytes themselves."""
_ROOMS = ("block", "index", "tree", "snapshot", "seal", "wire", "cache")
"""Where every public function of such a name is a decoder."""
_NAMES = ("decode", "parse", "read_", "unpack", "open_", "check_", "iterate_", "list_", "find_", "load")
_OWN = "of the daemon's own catalog, which only it writes"
_ENCODES = "takes nothing foreign apart: an id that was matched before, or a value of this program's own"
_PROXY = "takes an address apart as the row `proxy` does"
_ADDRESS = "takes an address apart as the row `place` does"
_BOUNDED = "JSON of our own child, cut at a length; tests/contract/test_rclone.py"
_KERNEL = "the kernel says it"
_TABLE = "memory without a name that only our own processes have; wild values: tests/unit/destination/test_pacing.py"
_LEFT_OUT: dict[str, str] = {
    "backupd/cache/table_file.py:_by_segment": "takes what the rows of index objects gave",
    "backupd/catalog/definitions.py:_put": _OWN,
    "backupd/catalog/definitions.py:destinations": _OWN,
    "backupd/catalog/definitions.py:sets": _OWN,
    "backupd/catalog/definitions.py:notices": _OWN,
    "backupd/catalog/definitions.py:contacts": _OWN,
    "backupd/daemon/notices/content.py:encoded": _ENCODES,
    "backupd/daemon/notices/orders.py:letter_of": _OWN,
    "backupd/catalog/job_names.py:_clean": _OWN,
    "backupd/catalog/jobs.py:_job": _OWN,
    "backupd/catalog/jobs.py:_json": _OWN,
    "backupd/catalog/jobs.py:_runs": _OWN,
    "backupd/catalog/outbox.py:_json": _ENCODES,
    "backupd/catalog/command_results.py:_json": _ENCODES,
    "backupd/daemon/child.py:ChildJob.events": "the decoder of `frames from a job`; whatever fails ends the reading",
    "backupd/daemon/configuration.py:Configuration._keep": _OWN,
    "backupd/daemon/fs_snapshots.py:FsSnapshots._ask": "what our own process says of the snapshots that it made",
    "backupd/daemon/configuration.py:Configuration._kept_before": _OWN,
    "backupd/daemon/gate.py:credentials": _KERNEL,
    "backupd/daemon/owners.py:Owners._kept": _OWN,
    "backupd/daemon/owners.py:Owners.learn": _OWN,
    "backupd/daemon/planning.py:backup_order": _ENCODES,
    "backupd/daemon/report_records.py:_decoded": "of our own catalog; others: tests/unit/daemon/test_report_records.py",
    "backupd/daemon/report_routes.py:_moment_ns": "takes a word apart as the rows `duration` and `moment` do",
    "backupd/daemon/seeding.py:_stored": _OWN,
    "backupd/daemon/seeding.py:adopt": _OWN,
    "backupd/daemon/seeding.py:begin": _OWN,
    "backupd/destination/pacing.py:Pace._lanes": _TABLE,
    "backupd/destination/pacing.py:Pace._rates": _TABLE,
    "backupd/destination/pacing.py:Pace._try": _TABLE,
    "backupd/destination/pacing.py:Pace.give_back": _TABLE,
    "backupd/destination/pool/locking.py:_says_lock": _ADDRESS,
    "backupd/destination/pool/opening.py:assembled": _ADDRESS,
    "backupd/daemon/area_figures.py:_told": "of our own catalog; others: tests/unit/daemon/test_area_figures.py",
    "backupd/daemon/volumes.py:keep": _OWN,
    "backupd/daemon/volumes.py:kept": _OWN,
    "backupd/destination/proxy.py:ProxyLine.__init__": _PROXY,
    "backupd/destination/rclone/calls.py:RcloneCalls._parsed": _BOUNDED,
    "backupd/destination/rclone/calls.py:RcloneCalls._refusal": _BOUNDED,
    "backupd/destination/rclone/child.py:_with_login": _PROXY,
    "backupd/destination/rclone/store.py:open_rclone": _ADDRESS,
    "backupd/destination/s3/store.py:open_s3": _ADDRESS,
    "backupd/destination/sftp/session.py:Session._frame": "frames by length; tests/unit/destination",
    "backupd/destination/stores.py:open_once": _ADDRESS,
    "backupd/destination/volumes.py:parse_disk_information": "macOS says it; tests/unit/destination/test_volumes.py",
    "backupd/operations/backup/ending.py:_stand_in": _ENCODES,
    "backupd/model/traffic.py:Traffic.of": "of a job of our own; others: tests/unit/daemon/test_traffic.py",
    "backupd/operations/backup/opening.py:_make": _ENCODES,
    "backupd/operations/backup/opening.py:_open_own": _ENCODES,
    "backupd/operations/backup/places.py:Places.parts": _ENCODES,
    "backupd/operations/backup/lineage.py:with_lineage": _ENCODES,
    "backupd/operations/backup/setting.py:with_followed": _ENCODES,
    "backupd/operations/migrate/carrying.py:Carrying._retire": _ENCODES,
    "backupd/operations/migrate/history.py:History.__init__": _ENCODES,
    "backupd/operations/migrate/running.py:_Migration.__init__": _ENCODES,
    "backupd/operations/destination_sessions.py:_revoke": _ENCODES,
    "backupd/operations/backup/summary.py:Draft.snapshot": _ENCODES,
    "backupd/operations/backup/retaining.py:_retain": _ENCODES,
    "backupd/operations/retention.py:_set_id": _ENCODES,
    "backupd/operations/retention.py:run": _ENCODES,
    "backupd/operations/snapshot_notes.py:run": _ENCODES,
    "backupd/operations/bare_blocks.py:open_parts": _ENCODES,
    "backupd/operations/freeing/drop_tidying.py:tidy_drops": _ENCODES,
    "backupd/operations/freeing/old_partials.py:drop_old_partials": _ENCODES,
    "backupd/operations/freeing/policy_drops.py:dropped": _ENCODES,
    "backupd/operations/freeing/policy_drops.py:planned": _ENCODES,
    "backupd/operations/freeing/targeting.py:Targeting.drop": _ENCODES,
    "backupd/operations/freeing/sessions.py:Sessions._end": _ENCODES,
    "backupd/operations/freeing/sessions.py:Sessions.end_own": _ENCODES,
    "backupd/operations/integrity_check.py:_choose": _ENCODES,
    "backupd/operations/integrity_check.py:_record": _ENCODES,
    "backupd/daemon/status.py:_coverage": _OWN,
    "backupd/daemon/status.py:_given_up": _OWN,
    "backupd/operations/repair/giving_up.py:GivingUp._note": _ENCODES,
    "backupd/operations/repair/records.py:RecordRepair._without_note": _ENCODES,
    "backupd/operations/repair/small_objects.py:SmallObjectRepair._drop": _ENCODES,
    "backupd/operations/purge/rewriting.py:Rewriter.__init__": _ENCODES,
    "backupd/operations/purge/running.py:_Purge.__init__": _ENCODES,
    "backupd/operations/purge/traces.py:forget_caches": _ENCODES,
    "backupd/operations/purge/whole.py:_Deletion._has_other_hosts": _ENCODES,
    "backupd/operations/repair/running.py:Repair._retire": _ENCODES,
    "backupd/operations/repair/source_files.py:SourceFiles.__init__": _ENCODES,
    "backupd/operations/kept_keys.py:slots_of_kept": _ENCODES,
    "backupd/operations/unlocking.py:unlock": _ENCODES,
    "backupd/operations/replicate/one_set.py:SetReplication.__init__": _ENCODES,
    "backupd/operations/notices/by_apprise.py:_set_way": _PROXY,
    "backupd/operations/proxy_test.py:run": _PROXY,
    "backupd/operations/restore/resuming.py:Note._read": "whole records of a fixed size, of which any bytes are one",
    "backupd/source/mounts.py:parse_statfs": _KERNEL,
    "bkctl/commands/once.py:_chunk_size": "click's own conversion of a word that the user typed",
    "bkctl/daemon_client.py:DaemonClient.request": "reads by `answer of a daemon`, decodes as each `body` is",
    "bkctl/destination_options.py:_proxy_text": _PROXY,
    "bkctl/options.py:given_proxy": _PROXY,
    "bkctl/proxy_target.py:server_of": _ADDRESS,
    "bkctl/reaching.py:_first_on_the_way": _PROXY,
    "bkctl/render/config.py:_shown": _ENCODES,
    "bkctl/render/config.py:export_lines": _ENCODES,
    "bkctl/render/destinations.py:_lock": _ADDRESS,
    "bkctl/render/sets.py:_short": _ENCODES,
    "bkctl/render/sets.py:show_lines": _ENCODES,
    "bkctl/watching.py:_progress_of": _ENCODES,
}


@pytest.fixture(scope="module")
def without_row(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What decodes and is called by no row."""
    called = _called(tmp_path_factory.mktemp("called"))
    return {f"{file}:{name}" for file, name, line in _decoders() if (file, line) not in called}


def test_every_decoder_has_a_row(without_row: set[str]) -> None:
    """Found by the calls in the source, held against what the rows' valid inputs really call."""
    missing = without_row - _LEFT_OUT.keys()
    assert not missing, "add a row to tests/hostile/table.py for each"


def test_what_is_left_out_is_there_and_has_no_row(without_row: set[str]) -> None:
    """A reason that outlives its function would excuse the next one of that name."""
    assert _LEFT_OUT.keys() <= without_row


def test_names_are_unique() -> None:
    """Two rows of one name, and one of them is never run."""
    names = [row.name for row in DECODERS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", DECODERS, ids=lambda row: row.name)
def test_a_row_begins_with_something_valid(row: Decoder) -> None:
    """Random bytes alone never come behind a magic number."""
    assert row.seeds


def _called(path: Path) -> set[_Place]:
    """All functions of the product that the rows' valid inputs reach, whatever ran before in this process."""
    seen: set[CodeType] = set()
    # Else what earlier tests left behind might be closed, and its functions be called, while a row runs.
    gc.collect()
    gc.disable()
    try:
        _run_rows(path, seen)
    finally:
        gc.enable()
    top = str(TOP) + "/"
    return {(code.co_filename.removeprefix(top), code.co_firstlineno) for code in seen}


def _run_rows(path: Path, seen: set[CodeType]) -> None:

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    for number, row in enumerate(DECODERS):
        place = path / str(number)
        place.mkdir()
        for data in row.seeds:
            sys.setprofile(note)
            try:
                row.decode(data, place)
            except row.raises:
                pass
            finally:
                sys.setprofile(None)


def _decoders() -> Iterator[tuple[str, str, int]]:
    """(file, qualified name, first line) of each function that decodes."""
    for above in ("backupd", "bkctl"):
        for path in sorted((TOP / above).rglob("*.py")):
            file = str(path.relative_to(TOP))
            is_format = path.parent.name in _ROOMS
            for name, node in _functions(ast.parse(path.read_text(encoding="utf-8"))):
                is_named = is_format and name.rpartition(".")[2].startswith(_NAMES)
                if is_named or any(map(_takes_apart, ast.walk(node))):
                    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                    yield file, name, first


def _functions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield above + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{above}{node.name}.")


def _takes_apart(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _DECODING):
        return False
    # `text.decode()` of bytes makes text of them, whatever they are.
    return node.func.attr != "decode" or any(word in ast.unparse(node.func.value) for word in ("decoder", "msgspec"))


