"""Names and ids: the wrong set picked by a name would be restored over the right one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.errors import AmbiguousNameError, SetNotFoundError, SnapshotNotFoundError, UsageError
from backupd.rules import names


@pytest.mark.parametrize("name", ["Documents", "a", "x" * 64, "web-1.example_2", "Grüße", "文档", "9"])
def test_names_that_people_give_are_taken(name: str) -> None:
    assert names.check_set_name(name) == name


@pytest.mark.parametrize("name", ["", "-rf", ".git", "a b", "a/b", "a:b", "x" * 65, "latest", "failed", "a\n", "☃"])
def test_what_a_command_would_misread_is_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        names.check_set_name(name)


def test_a_name_typed_on_another_platform_means_the_same_set() -> None:
    assert names.check_set_name("Gru\u0308n") == names.check_set_name("Gr\u00fcn")


@pytest.mark.parametrize(
    ("paths", "common", "name"),
    [
        ([b"/home/anna/Documents"], b"/home/anna/Documents", "Documents"),
        ([b"/home/anna/Documents/"], b"/home/anna/Documents", "Documents"),
        ([b"/home/anna/a", b"/home/anna/b"], b"/home/anna", "anna"),
        ([b"/home/anna", b"/home/anna2"], b"/home", "home"),
        ([b"/"], b"/", "root"),
        ([b"/etc", b"/home"], b"/", "root"),
        ([b"/home/anna/.config"], b"/home/anna/.config", "config"),
        ([b"/srv/My Photos (old)"], b"/srv/My Photos (old)", "My-Photos-old"),
        ([b"/srv/\xff\xfe"], b"/srv/\xff\xfe", "laptop"),
        ([b"/srv/latest"], b"/srv/latest", "srv-latest"),
    ],
)
def test_a_set_is_named_after_its_common_path(paths: list[bytes], common: bytes, name: str) -> None:
    assert names.common_path(paths) == common
    assert names.default_set_name("laptop", paths) == name


def test_two_directories_of_one_name_never_share_a_set() -> None:
    """Else `restore Documents` gives anna what bob wrote."""
    known = {"Documents": b"/home/anna/Documents"}
    assert names.default_set_name("laptop", [b"/home/anna/Documents"], known) == "Documents"
    assert names.default_set_name("laptop", [b"/home/bob/Documents"], known) == "bob-Documents"
    known["bob-Documents"] = b"/home/bob/Documents"
    del known["Documents"]
    assert names.default_set_name("laptop", [b"/home/bob/Documents"], known) == "bob-Documents"
    taken = dict.fromkeys(["root", "laptop-root"], b"/root")
    assert names.default_set_name("laptop", [b"/"], taken) == "laptop-root-2"


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1).map(lambda part: b"/srv/" + part), min_size=1), st.text())
def test_every_default_name_is_a_name(paths: list[bytes], host: str) -> None:
    name = names.default_set_name(host, paths)
    assert names.check_set_name(name)


def test_ids_are_never_times_or_names_of_other_kinds() -> None:
    assert names.is_id("s12ab", "s")
    assert not any(names.is_id(text, "s") for text in ("s12a", "b12ab", "s12AB", "2026", "s12ab-", "latest", ""))
    assert names.short("s0123456789abcdef") == "s01234567"


def test_a_prefix_finds_one_id_or_says_which_fit() -> None:
    ids = ["s12ab00", "s12ab11", "s99990000"]
    assert names.match_prefix("s9999", ids) == "s99990000"
    assert names.match_prefix("s12ab00", [*ids, "s12ab0011"]) == "s12ab00"
    with pytest.raises(AmbiguousNameError) as caught:
        names.match_prefix("s12ab", ids)
    assert caught.value.context == {"candidates": ["s12ab00", "s12ab11"]}
    with pytest.raises(SnapshotNotFoundError):
        names.match_prefix("s0000", ids, SnapshotNotFoundError)
    with pytest.raises(SetNotFoundError):
        names.match_prefix("s9", ids, SetNotFoundError)


def test_a_set_of_another_host_is_named_by_both() -> None:
    assert names.split_host("web:etc") == ("web", "etc")
    assert names.split_host("etc") == (None, "etc")
    for text in ("web:", ":etc"):
        with pytest.raises(UsageError):
            names.split_host(text)
