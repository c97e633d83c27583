"""What is always left out: a backup that reads /proc or itself never ends."""

from __future__ import annotations

from backupd.rules.left_out import LeftOut, pseudo_mounts


def test_pseudo_mounts_go_by_what_shows() -> None:
    mounts = [(b"/", "ext4"), (b"/proc", "proc"), (b"/tmp", "tmpfs"), (b"/net", "autofs"), (b"/net", "nfs4")]
    assert pseudo_mounts(mounts) == {b"/proc": "proc"}


def test_what_is_mounted_on_dev_holds_no_files() -> None:
    """A service without devices sees a tmpfs there, with sockets and devices of its own; another tmpfs holds files."""
    mounts = [(b"/", "btrfs"), (b"/dev", "tmpfs"), (b"/dev/shm", "tmpfs"), (b"/srv/dev", "tmpfs")]
    assert pseudo_mounts(mounts) == {b"/dev": "tmpfs"}
    assert pseudo_mounts([(b"/", "ext4")]) == {}, "nodes that lie on the disk are backed up"


def test_secrets_of_services_are_left_out() -> None:
    """They were encrypted on the disk, and would be read from the backup by everybody who restores it."""
    assert LeftOut().is_left_out(b"/run/credentials") == "secrets that systemd gives to services"
    assert LeftOut().is_left_out(b"/run") is None


def test_only_our_own_swap_and_pseudo_file_systems_are_left_out() -> None:
    left_out = LeftOut(
        [b"/home/anna/.cache/backupd/", b"/mnt/usb/backup"], {b"/proc": "proc"}, [b"/swapfile"], [(5, 77)]
    )
    assert left_out.is_left_out(b"/home/anna/.cache/backupd") == "backupd's own data"
    assert left_out.is_left_out(b"/proc") == "pseudo file system (proc)"
    assert left_out.is_left_out(b"/swapfile") == "swap file"
    assert left_out.is_left_out(b"/home/anna/.cache") is None
    assert left_out.is_left_out(b"/tmp") is None


def test_a_place_met_by_another_path_is_known() -> None:
    left_out = LeftOut(own_identities=[(5, 77)])
    assert left_out.is_own(5, 77) is not None
    assert left_out.is_own(5, 78) is None


def test_a_run_can_say_that_its_place_lies_in_its_source() -> None:
    left_out = LeftOut([b"/mnt/usb/backup", b"/var/x"])
    assert left_out.inside([b"/mnt/usb/"]) == [b"/mnt/usb/backup"]
    assert left_out.inside([b"/mnt/us"]) == []
    assert left_out.inside([b"/"]) == [b"/mnt/usb/backup", b"/run/credentials", b"/var/x"]
