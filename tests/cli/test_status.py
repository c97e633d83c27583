"""`bkctl status` on a real daemon: every exit code that monitoring relies on, metrics, the nag about keys."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("empty")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with the set `home`, backed up once."""
    home = tmp_path_factory.mktemp("stored")
    source = home / "source"
    source.mkdir()
    (source / "letter").write_bytes(bytes(range(256)) * 4096)
    with running_daemon(home) as daemon:
        daemon.good("set", "create", "home", "--source", source, "--to", home / "repo", "--max-age", "26h")
        daemon.good("backup", "home")
        yield daemon


def exit_of(daemon: Daemon, *words: str | Path) -> int:
    return daemon.bkctl("status", *words).returncode


def one_line(daemon: Daemon, *words: str) -> tuple[int, str]:
    """Exit code and the only line of the plugin."""
    done = daemon.bkctl("status", "--format", "nagios", *words)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 1, done
    assert done.stderr == b""
    return done.returncode, lines[0]


def test_nothing_configured(empty: Daemon) -> None:
    """A machine that nobody set up must not look well."""
    done = empty.bkctl("status")
    assert done.returncode == 0
    assert b"bkctl set create" in done.stdout
    assert exit_of(empty, "--check") == 10
    assert exit_of(empty, "--max-age", "26h") == 10
    code, line = one_line(empty)
    assert code == 2
    assert line.startswith("BACKUPD CRITICAL - no set is configured |")


def test_good_set(stored: Daemon) -> None:
    """Scripts read this document each minute."""
    result = stored.good("status", "--check")
    found = result["sets"][0]
    copy = found["destinations"][0]
    assert (found["set"], found["max_age_seconds"], copy["destination"]) == ("home", 26 * 3600, "repo")
    assert (copy["verdict"], found["last_run"]["exit"]) == ("good", 0)
    assert copy["snapshot"] == stored.good("snapshot", "list", "home")["snapshots"][0]["id"]
    assert copy["stored_bytes"] > 0
    assert copy["free_bytes"] > 0
    code, line = one_line(stored)
    assert (code, line.partition("=")[0]) == (0, "BACKUPD OK - 1 set, 1 copy: 1 good | 'home@repo'")
    assert line.partition("'=")[2].split()[0].endswith(f"s;;{26 * 3600};0")


def test_table_fits_a_terminal(stored: Daemon) -> None:
    """A table that wraps is not read."""
    lines = stored.bkctl("status").stdout.decode().splitlines()
    assert lines[0].split() == ["SET", "DESTINATION", "LAST", "GOOD", "LIMIT", "NEXT", "VERIFIED", "STATE"]
    assert lines[1].endswith("good")
    assert max(map(len, lines)) <= 80
    assert "No off-site copy: home" in lines
    assert stored.bkctl("status", "-q").stdout == b""


def test_overdue(stored: Daemon) -> None:
    """A backup that stopped running is noticed by its age alone."""
    time.sleep(2.1)
    document = stored.json("status", "--max-age", "1s")
    assert (document["exit"], document["error"]["code"]) == (21, "attention")
    assert document["result"]["sets"][0]["destinations"][0]["verdict"] == "overdue"
    assert exit_of(stored, "--max-age", "1h") == 0
    assert exit_of(stored) == 0
    code, line = one_line(stored, "--max-age", "1s")
    assert code == 2
    assert "CRITICAL - overdue: home on repo |" in line


def test_names(stored: Daemon) -> None:
    """A typing error in a monitoring script must not be a green light."""
    assert exit_of(stored, "home", "--check") == 0
    assert exit_of(stored, "hom", "--check") == 10
    code, line = one_line(stored, "hom")
    assert (code, line[:20]) == (3, "BACKUPD UNKNOWN - no")
    assert exit_of(stored, "--format", "nagios", "--json") == 2


def test_daemon_away(tmp_path: Path) -> None:
    """Monitoring tells a daemon that is down from a backup that is old."""
    daemon = Daemon(tmp_path)
    assert exit_of(daemon) == 13
    code, line = one_line(daemon)
    assert code == 3
    assert line.startswith("BACKUPD UNKNOWN - no backupd answers at")


def test_prometheus_file_appears_whole(stored: Daemon) -> None:
    """node_exporter reads at any moment; half a file is an error for all its metrics."""
    file = stored.home / "backupd.prom"
    file.write_text("old")
    done = stored.bkctl("status", "--format", "prometheus", "--output", file)
    assert (done.returncode, done.stdout) == (0, b"")
    text = file.read_text()
    assert 'backupd_last_success_timestamp_seconds{set="home",destination="repo"}' in text
    assert 'backupd_overdue{set="home",destination="repo"} 0' in text
    assert text.endswith("\n")
    assert stored.bkctl("status", "--format", "prometheus", "--check", "--max-age", "0s").returncode == 21


def test_metrics_on_the_socket(stored: Daemon) -> None:
    """A scraper speaks HTTP and nothing else."""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(stored.socket))
        end.sendall(b"GET /v1/metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: end.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"Content-Type: text/plain" in head
    assert body == stored.bkctl("status", "--format", "prometheus").stdout


def test_key_is_nagged_about_until_it_is_proved(stored: Daemon) -> None:
    """Without a copy of the key kept apart, the disk with the state takes every backup with it."""
    out = stored.bkctl("status").stdout.decode()
    assert "Key never proved: home" in out
    assert "bkctl key sheet home" in out
    assert "bkctl key prove home" in out
    assert stored.good("status")["sets"][0]["key"] == "unproved"
    copied = stored.home / "typed"
    copied.write_text(stored.good("key", "show", "home", "--unmask", "--yes")["key"])
    stored.good("key", "prove", "home", "--password-file", copied)
    assert "Key never proved" not in stored.bkctl("status").stdout.decode()
    assert stored.good("status")["sets"][0]["key"] == "proved"


def test_checks_and_restores_are_remembered(stored: Daemon) -> None:
    """When it was verified last tells how far a backup can be trusted."""
    stored.good("check", "home", "--crc")
    stored.good("restore", "home", "--to", stored.home / "out")
    found = stored.good("status")["sets"][0]
    assert found["grade"] == {
        "automatic": False,
        "versioned": True,
        "verified": True,
        "restored": True,
        "off_site": False,
    }
    assert found["destinations"][0]["verified_bytes"] is True
    stored.restart()
    assert stored.good("status")["sets"][0]["grade"] == found["grade"]


def test_damage(stored: Daemon) -> None:
    """Damage that a check found stays red until a check finds none."""
    block = max((stored.home / "repo").glob("*/blocks/*/*"), key=lambda path: path.stat().st_size)
    whole = block.read_bytes()
    block.chmod(0o600)
    block.write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    assert stored.json("check", "home", "--crc")["exit"] == 20
    document = stored.json("status", "--check")
    assert (document["exit"], document["error"]["code"]) == (20, "damage.found")
    assert exit_of(stored) == 0
    code, line = one_line(stored)
    assert (code, "damage that is not healed: home on repo" in line) == (2, True)
    metrics = stored.bkctl("status", "--format", "prometheus").stdout
    assert b'backupd_damaged{set="home",destination="repo"} 1' in metrics
    block.write_bytes(whole)
    stored.good("check", "home", "--crc")
    assert exit_of(stored, "--check") == 0


def test_failed_run_is_a_warning_until_it_is_overdue(stored: Daemon) -> None:
    """A run that fails at night is seen in the morning, not after the tolerance has passed."""
    repo = stored.home / "repo"
    moved = repo.rename(stored.home / "away")
    try:
        assert stored.json("backup", "home")["exit"] != 0
        code, line = one_line(stored)
        assert (code, line[:34]) == (1, "BACKUPD WARNING - last run of home")
        assert "last run failed" in stored.bkctl("status").stdout.decode()
        assert exit_of(stored, "--check") == 0
    finally:
        if not repo.exists():
            moved.rename(repo)


def test_a_first_run_that_failed_is_called_so(empty: Daemon, tmp_path: Path) -> None:
    """Else a set that never stored anything looks as one that only nobody asks anything of."""
    empty.good("set", "create", "gone", "--source", tmp_path / "gone", "--to", tmp_path / "place")
    try:
        assert empty.bkctl("status").stdout.decode().splitlines()[1].endswith("  never backed up")
        assert empty.bkctl("backup", "gone").returncode == 10
        assert empty.bkctl("status").stdout.decode().splitlines()[1].endswith("  failed")
        assert empty.good("status")["sets"][0]["destinations"][0]["verdict"] == "unchecked"
    finally:
        empty.good("set", "delete", "gone", "--yes")


def test_the_message_at_log_in(stored: Daemon, empty: Daemon, tmp_path: Path) -> None:
    """Who logs in reads a line; more, only where something is wrong; and is never kept from it."""

    def lines(daemon: Daemon, *words: str) -> list[str]:
        done = daemon.bkctl("status", "--motd", *words)
        assert done.returncode == 0
        return done.stdout.decode().splitlines()

    (good,) = lines(stored)
    assert good.startswith("Backups: 1 set good, the oldest of ")
    assert good.endswith("; none runs by itself.")
    assert lines(stored, "--max-age", "1s") == ["Backups: OVERDUE: home on repo", "  bkctl status says more"]
    assert "Nothing is backed up" in lines(empty)[0]
    gone = empty.bkctl("status", "--motd", "--socket", str(tmp_path / "none"))
    assert (gone.returncode, gone.stdout.decode()[:30]) == (0, "Backups: no backupd answers at")
    assert gone.stderr == b""
    assert stored.bkctl("status", "--motd", "--check").returncode == 2


def test_metrics_on_a_port_of_this_machine(tmp_path: Path) -> None:
    """Prometheus can't read a socket; nobody from elsewhere may."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running_daemon(tmp_path / "home", settings=f"metrics: {{listen: '127.0.0.1:{port}'}}\n") as daemon:

        def said(request: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(request)
                answer = b""
                while more := client.recv(65536):
                    answer += more
            return answer

        answer = said(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"backupd_sets 0\n" in answer
        assert said(b"GET /v1/sets HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404")
        assert said(b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404")
        assert said(b"x" * 20_000 + b"\r\n\r\n") == b""
        # Idle ones hold nobody else up for long.
        idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(20)]
        assert daemon.good("status")["sets"] == []
        time.sleep(5.5)
        assert said(b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
        for one in idle:
            one.close()
        refused = daemon.json("config", "set", "metrics.listen", "0.0.0.0:9816")
        assert (refused["exit"], "from elsewhere" in refused["error"]["message"]) == (2, True)
        daemon.good("config", "set", "metrics.listen", "''")


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = f"metrics: {{listen: '127.0.0.1:{taken.getsockname()[1]}'}}\n"
        with running_daemon(tmp_path / "home", settings=settings) as daemon:
            (warning,) = daemon.good("status")["settings_warnings"]
            assert "can't listen" in warning
