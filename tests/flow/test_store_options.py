"""What is stored under each option: how often the same bytes, how small, under which lock; all of it comes back."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Literal

import pytest

from backupd.model.orders import Unlock
from backupd.sizes import MIB
from tests.support.backing_up import Bench, read_bytes, run_of
from tests.support.compare import compare_trees
from tests.support.machine import Machine, Outcome
from tests.support.truth import Truth


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With an empty source."""
    return Bench(tmp_path)


def stored(outcome: Outcome) -> int:
    """MiB that the run stored, rounded."""
    return round(int(run_of(outcome)["destinations"][0]["stored_bytes"]) / MIB)


@pytest.mark.parametrize(
    ("scope", "first", "version", "touched", "other_set"),
    [("off", 12, 6, 6, 12), ("path", 12, 1, 0, 12), ("set", 6, 1, 0, 6), ("repository", 6, 1, 0, 0)],
)
def test_deduplication_scopes(
    bench: Bench,
    scope: Literal["off", "path", "set", "repository"],
    first: int,
    version: int,
    touched: int,
    other_set: int,
) -> None:
    """Each scope holds the same bytes as often as it says: more is paid for, less would tell of a neighbour's files."""
    noise = bytearray(random.Random(5).randbytes(6 * MIB))
    one = bench.write("one", bytes(noise))
    bench.write("copy", bytes(noise))
    assert stored(bench.back_up(deduplication=scope)) == first
    assert read_bytes(bench.back_up(deduplication=scope)) == 0
    os.utime(one, ns=(0, 0))
    assert stored(bench.back_up(deduplication=scope)) == touched
    noise[-10] ^= 1
    one.write_bytes(noise)
    # The last chunk may be of up to 4 MiB, as the repository's own seed cuts it.
    assert stored(bench.back_up(deduplication=scope)) <= version + 3
    if scope != "off":
        # Back to what a snapshot holds: in every scope the versions of one path share.
        noise[-10] ^= 1
        one.write_bytes(noise)
        assert stored(bench.back_up(deduplication=scope)) == 0
    assert bench.differences() == []
    assert stored(bench.back_up(deduplication=scope, set_name="other")) == other_set
    assert compare_trees(bench.source, bench.restore(set_name="other")) == []


def test_change_of_scope_between_runs(bench: Bench) -> None:
    """Options hold for new data: what is stored stays readable, whatever it was stored under."""
    scopes: tuple[Literal["off", "path", "set", "repository"], ...] = ("set", "off", "repository", "path", "set")
    for number, scope in enumerate(scopes):
        bench.write("grows", random.Random(1).randbytes(MIB + number))
        bench.write(f"f{number}", b"%d" % number * 1000)
        assert bench.back_up(deduplication=scope).done.exit_code == 0
        assert bench.truth.differences(bench.source) == []
    assert bench.differences() == []


def test_compression_levels(bench: Bench) -> None:
    """`best` has to be worth its time, `none` has to be none."""
    noise = random.Random(2)
    words = [noise.randbytes(noise.randrange(2, 9)) for _ in range(3000)]
    data = b" ".join(noise.choices(words, k=200_000))
    sizes = {}
    levels: tuple[Literal["none", "fast", "normal", "best"], ...] = ("none", "fast", "normal", "best")
    for level in levels:
        bench.write("text", data)
        bench.place = bench.above / level
        bench.back_up(compression=level)
        sizes[level] = bench.stored_bytes()
        assert bench.differences() == []
    assert sizes["none"] > len(data) > sizes["fast"] >= sizes["normal"] > sizes["best"]
    # What can't be compressed costs no more than itself.
    bench.write("text", noise.randbytes(len(data)))
    bench.place = bench.above / "noise"
    bench.back_up(compression="best")
    assert bench.stored_bytes() < len(data) * 1.01


def test_chunk_size(bench: Bench) -> None:
    """A database of which a page changes: with small chunks little travels, with large ones more."""
    data = bytearray(random.Random(3).randbytes(8 * MIB))
    again = {}
    for size in (32 << 10, 1 << 20):
        bench.place = bench.above / f"chunks{size}"
        data[4 * MIB] ^= 1
        bench.write("database", bytes(data))
        bench.back_up(chunk_size_bytes=size)
        data[2 * MIB] ^= 1
        bench.write("database", bytes(data))
        outcome = bench.back_up(chunk_size_bytes=size)
        again[size] = run_of(outcome)["destinations"][0]["stored_bytes"]
        assert bench.differences() == []
    assert again[32 << 10] < 200_000 < again[1 << 20] < 5 * MIB


def test_block_sizes(bench: Bench) -> None:
    """64 MiB a block for who pays by the request; not to be changed later."""
    bench.write("large", os.urandom(70 * MIB))
    bench.once("--block-size", "64M")
    largest = max(path.stat().st_size for path in bench.place.glob("r*/blocks/*/*"))
    assert 60 * MIB < largest <= 64 * MIB
    assert bench.truth.differences(bench.source) == []
    again = bench.once("--block-size", "32M")
    assert (again["exit"], again["error"]["code"]) == (17, "conflict")
    assert bench.once("--block-size", "48M")["exit"] == 2


def test_parity(bench: Bench) -> None:
    """Blocks stay within their size with it; a repository has it from its first block on, or never."""
    bench.write("large", os.urandom(40 * MIB))
    assert bench.once("--parity", "20%")["exit"] == 0
    sizes = [path.stat().st_size for path in bench.place.glob("r*/blocks/*/*")]
    assert 20 * MIB < max(sizes) <= 32 * MIB
    assert 1.2 * 40 * MIB < sum(sizes) < 1.21 * 40 * MIB
    assert bench.truth.differences(bench.source) == []
    again = bench.once("--parity", "5%")
    assert (again["exit"], again["error"]["code"]) == (17, "conflict")
    assert bench.once("--parity", "21%")["exit"] == 2


def test_without_the_check_before_sending(bench: Bench) -> None:
    """Who turns it off to be faster stores the same."""
    bench.write("f", os.urandom(300_000))
    assert bench.once("--no-check-before-sending")["exit"] == 0
    assert bench.differences() == []


@pytest.mark.parametrize("cipher", ["AES-128-GCM", "aes-256-gcm", "chacha20-poly1305"])
def test_chosen_ciphers(bench: Bench, cipher: str) -> None:
    """Each is authenticated, and each comes back."""
    bench.write("f", os.urandom(300_000))
    document = bench.once("--encryption", "custom", "--cipher", cipher)
    assert (document["exit"], document["result"]["repository"]["encryption"]) == (0, "default")
    assert bench.differences() == []


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "AES-ECB", "rot13"])
def test_refused_ciphers(bench: Bench, cipher: str) -> None:
    """Unauthenticated encryption lets a store forge; it is refused before anything is made."""
    bench.write("f")
    assert bench.once("--encryption", "custom", "--cipher", cipher)["exit"] == 2
    assert not bench.place.exists()


def test_with_a_password(bench: Bench) -> None:
    """The password alone opens it on another machine; another one doesn't."""
    bench.write("f", b"secret")
    secret = bench.above / "password"
    secret.write_text("correct horse battery\n")
    document = bench.once("--encryption", "password", "--new-password-file", secret)
    assert (document["exit"], document["result"]["repository"]["encryption"]) == (0, "password")
    assert bench.once("--password-file", secret)["exit"] == 0
    bench.machine = Machine(bench.above / "another")
    missing = bench.once()
    assert (missing["exit"], missing["error"]["code"]) == (12, "key.missing")
    assert len(list(bench.place.glob("r*"))) == 1
    assert bench.once("--password-file", secret)["exit"] == 0
    bench.truth = Truth(bench.machine, bench.place, Unlock(secret=b"correct horse battery"))
    assert bench.truth.differences(bench.source) == []
    secret.write_text("wrong\n")
    wrong = bench.once("--password-file", secret)
    assert (wrong["exit"], wrong["error"]["code"]) == (12, "key.wrong")


def test_without_encryption(bench: Bench) -> None:
    """Said so, and readable anywhere without a key."""
    bench.write("f", b"public")
    told = bench.machine.bkctl("once", bench.source, "--to", bench.place, "--encryption", "none")
    assert b"not encrypted" in told.stdout
    assert not list(bench.machine.home.rglob("*.key"))
    bench.machine = Machine(bench.above / "another")
    assert bench.differences() == []
    assert bench.once()["exit"] == 0


def test_key_written_where_it_is_asked_for(bench: Bench) -> None:
    """On a machine that keeps nothing (CI), the key goes to a file, or nothing is made."""
    bench.write("f")
    bench.machine.home.mkdir()
    key = bench.above / "the.key"
    assert bench.once("--key-out", key)["exit"] == 0
    assert key.stat().st_mode & 0o777 == 0o600
    bench.machine = Machine(bench.above / "another")
    assert bench.once()["exit"] == 12
    assert bench.once("--password-file", key)["exit"] == 0
    again = bench.machine.json("once", bench.source, "--to", bench.above / "second", "--key-out", key)
    assert (again["exit"], again["error"]["code"]) == (17, "conflict")
