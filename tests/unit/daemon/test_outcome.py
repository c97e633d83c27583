"""One answer for several destinations, and for jobs that were stopped."""

from __future__ import annotations

from typing import Any

from backupd.daemon.outcome import Outcome, joined
from backupd.errors import DestinationUnreachableError, KeyMissingError, SkippedError, StoppedError
from backupd.model.events import Failed


def good(name: str, exit_code: int = 0) -> tuple[str, Outcome]:
    destination = {"name": name, "verdict": "good", "stored_bytes": 7, "error": None}
    run: dict[str, Any] = {"set": "s", "snapshot": f"s-{name}", "exit": exit_code, "destinations": [destination]}
    return name, Outcome(exit_code=exit_code, result={"runs": [run]}, warnings=["the same"])


def bad(name: str) -> tuple[str, Outcome]:
    return name, Outcome.of(DestinationUnreachableError(f"{name} is away", hint="mount it"))


def verdicts(outcome: Outcome) -> dict[str, str]:
    assert outcome.result is not None
    return {entry["name"]: entry["verdict"] for entry in outcome.result["runs"][0]["destinations"]}


def test_good_everywhere() -> None:
    outcome = joined([good("one"), good("two")])
    assert (outcome.exit_code, outcome.error, outcome.warnings) == (0, None, ["the same"])
    assert verdicts(outcome) == {"one": "good", "two": "good"}


def test_one_dead_destination_is_4_and_leaves_the_others_result_whole() -> None:
    """CLI.md: a run that has its snapshot on one destination at least is 0, 3 or 4 (3 and 4: 4)."""
    for named in ([good("one"), bad("two")], [bad("two"), good("one", 3)]):
        outcome = joined(named)
        assert outcome.exit_code == 4
        assert outcome.error is not None
        assert outcome.error["message"] == "stored on 1 of 2 destinations; two: two is away"
        assert outcome.error["hint"] == "mount it"
        assert verdicts(outcome) == {"one": "good", "two": "failed"}
        assert outcome.result is not None
        (run,) = outcome.result["runs"]
        assert (run["snapshot"], run["exit"]) == ("s-one", 4)


def test_what_a_dry_run_says_is_what_would_be() -> None:
    named = good("one")
    assert named[1].result is not None
    named[1].result["dry_run"] = True
    error = joined([named, ("two", Outcome.of(DestinationUnreachableError("two: no disk")))]).error
    assert error is not None
    assert error["message"] == "would be stored on 1 of 2 destinations; two: no disk", "its name once"


def test_entries_left_out_are_3() -> None:
    assert joined([good("one"), good("two", 3)]).exit_code == 3


def test_dead_everywhere_is_the_first_error() -> None:
    outcome = joined([bad("one"), ("two", Outcome.of(KeyMissingError("no key")))])
    assert (outcome.exit_code, outcome.result) == (15, None)
    assert outcome.error is not None
    assert outcome.error["message"] == "one is away"


def test_what_may_be_absent_does_not_count() -> None:
    """A drive that is carried about must not turn every night red; alone it is 75."""
    skipped = ("usb", Outcome.of(SkippedError("usb is absent")))
    outcome = joined([good("one"), skipped])
    assert (outcome.exit_code, outcome.error) == (0, None)
    assert verdicts(outcome) == {"one": "good", "usb": "skipped"}
    assert joined([skipped, bad("two")]).exit_code == 15
    assert joined([skipped]).exit_code == 75
    assert joined([skipped, skipped]).exit_code == 75


def test_a_job_that_was_stopped_is_5_for_all_who_follow_it() -> None:
    """130 and 143 mean that the one who asks got the signal; a script that waits got none."""
    name, outcome = good("one", 143)
    stopped = outcome.stopped("stopped before its end")
    assert (stopped.exit_code, stopped.was_stopped) == (5, True)
    assert stopped.error is not None
    assert stopped.error["code"] == StoppedError.code
    assert stopped.result is not None
    assert (stopped.result["runs"][0]["exit"], stopped.result["runs"][0]["snapshot"]) == (5, f"s-{name}")
    assert good("one")[1].stopped("x") == good("one")[1]


def test_an_error_that_quotes_megabytes_is_kept_short() -> None:
    """What callers wrote into their orders would fill the catalog's disk."""
    long = {"code": "usage.invalid", "message": "x" * 5_000_000, "hint": "h", "retryable": False, "context": {"a": 1}}
    kept = Outcome.said(Failed(exit_code=2, error=long)).error or {}
    assert (kept["code"], kept["hint"], kept["context"], len(kept["message"])) == ("usage.invalid", "h", {}, 2048)
