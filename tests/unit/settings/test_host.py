"""Host and state ids: a changed one makes another set of the same directory, and a full read."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from backupd.errors import UsageError
from backupd.settings.host import Host, read_host
from backupd.settings.machine import machine_fingerprint

_LAYERS = "/var/lib/containerd/io.containerd.snapshotter.v1"
_MACHINE, _OTHER = "a" * 32, "b" * 32


def test_ids_stay_and_a_new_state_has_new_ones(tmp_path: Path) -> None:
    first = read_host(f"{tmp_path}/one", "")
    assert read_host(f"{tmp_path}/one", "") == first
    other = read_host(f"{tmp_path}/two", "")
    assert len({first.host_id, first.state_id, other.host_id, other.state_id}) == 4
    assert (first.name, first.boot_id) == (other.name, other.boot_id)
    assert first.name
    assert "." not in first.name
    assert stat.S_IMODE(os.stat(tmp_path / "one" / "host.id").st_mode) == 0o600


def test_two_that_start_at_once_get_one_id(tmp_path: Path) -> None:
    found: list[Host] = []
    threads = [threading.Thread(target=lambda: found.append(read_host(f"{tmp_path}/s", _MACHINE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert sorted(os.listdir(tmp_path / "s")) == ["host.id", "machine.id", "state.id"]


def test_a_damaged_id_is_not_quietly_drawn_anew(tmp_path: Path) -> None:
    read_host(str(tmp_path), "")
    (tmp_path / "host.id").write_text("")
    with pytest.raises(UsageError):
        read_host(str(tmp_path), "")


def test_a_copied_id_is_noticed_and_replaced(tmp_path: Path) -> None:
    """Two machines of one id would end each other's runs, and mix their versions."""
    first = read_host(f"{tmp_path}/one", _MACHINE)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    copied = read_host(f"{tmp_path}/copy", _OTHER)
    assert copied.is_new_copy
    assert not first.is_new_copy
    assert {copied.host_id, copied.state_id}.isdisjoint({first.host_id, first.state_id})
    again = read_host(f"{tmp_path}/copy", _OTHER)
    assert (again.host_id, again.state_id, again.is_new_copy) == (copied.host_id, copied.state_id, False)
    # The machine that drew them, and where nobody can tell, keep them; so do two that share a home directory.
    for machine in (_MACHINE, "", _MACHINE):
        assert read_host(f"{tmp_path}/copy", machine) == first
    assert read_host(f"{tmp_path}/copy", _OTHER) == again


def test_ids_of_before_stay_those_of_the_machine_that_has_them(tmp_path: Path) -> None:
    """Who upgrades is no other host."""
    before = read_host(str(tmp_path), "")
    assert read_host(str(tmp_path), _MACHINE) == before
    assert read_host(str(tmp_path), _OTHER).host_id != before.host_id


@pytest.mark.platform("linux")
def test_a_machine_is_told_by_its_installation_and_hardware(tmp_path: Path) -> None:
    def tell(**files: str) -> str:
        root = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in files.items():
            path = root / {"id": "etc/machine-id", "dbus": "var/lib/dbus/machine-id"}.get(name, name.replace("|", "/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return machine_fingerprint(str(root))

    hardware = "sys|class|dmi|id|product_uuid"
    known = [tell(id="1" * 32), tell(id="2" * 32), tell(id="1" * 32, **{hardware: "x"}), tell(dbus="3" * 32)]
    assert len(set(known)) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in known)
    assert tell(id="1" * 32 + "\n") == known[0]
    assert [tell(), tell(id="uninitialized\n"), tell(id="1" * 32, **{".dockerenv": ""})] == [""] * 3
    # As the kernel shows it: an overlay's layers, a directory of another file system; and the host of such containers.
    layers = f"{_LAYERS}.overlayfs/snapshots/"
    overlay = f"overlay overlay rw,lowerdir={layers}1/fs,upperdir={layers}2/fs,workdir={layers}2/work"
    mounts, disk = "proc|self|mountinfo", "rw - ext4 /dev/vda rw\n"
    within = [f"66 42 0:40 / / rw - {overlay}\n", f"66 42 254:1 {_LAYERS}.native/snapshots/5 / {disk}"]
    assert [tell(id="1" * 32, **{mounts: "67 66 0:5 / /proc rw - proc proc rw\n" + one}) for one in within] == [""] * 2
    host = f"25 1 254:0 / / {disk}66 42 0:40 / /run/containerd/x/rootfs rw - {overlay}\n"
    assert tell(id="1" * 32, **{mounts: host}) == known[0]
