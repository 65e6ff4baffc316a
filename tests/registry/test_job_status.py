"""What may be written into a Job's status, and what changes of its spec are refused."""

import copy
from typing import Any

import pytest

from kapi.api.indexes import parse_indexes
from kapi.registry.batch.job import JobStrategy

DAY = "2024-01-01T00:00:00Z"
NEXT_DAY = "2024-01-02T00:00:00Z"


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j"}, "spec": spec, "status": status or {}}


def condition(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": "True"} for kind in kinds]


def complaints(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(error) for error in JobStrategy().validate_status(new, old)]


def test_a_job_that_ends_well_is_accepted() -> None:
    running = job({"startTime": DAY, "active": 1, "ready": 1})
    done = job(
        {
            "startTime": DAY,
            "completionTime": NEXT_DAY,
            "succeeded": 1,
            "ready": 0,
            "conditions": condition("SuccessCriteriaMet", "Complete"),
        }
    )
    assert complaints(done, running) == []
    assert complaints(running, job()) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {"conditions": condition("Complete", "SuccessCriteriaMet"), "startTime": DAY},
            "status.completionTime: Required value: completionTime is required for Complete jobs",
        ),
        (
            {"completionTime": DAY},
            f'status.completionTime: Invalid value: "{DAY}": cannot set completionTime when there '
            "is no Complete=True condition",
        ),
        (
            {"conditions": condition("Failed"), "startTime": DAY},
            "status.conditions: Invalid value: cannot set Failed=True condition without the "
            "FailureTarget=true condition",
        ),
        (
            {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}},
            'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        ),
        (
            {"active": 1, "ready": 2},
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
        ),
    ],
)
def test_one_rule_at_a_time(status: dict[str, Any], expected: str) -> None:
    assert complaints(job(status), job()) == [expected]


def test_a_rule_applies_only_when_its_field_changes() -> None:
    broken = job({"completedIndexes": "9", "active": 1}, completions=3, completionMode="Indexed")
    still = copy.deepcopy(broken)
    still["status"]["active"] = 2
    assert complaints(still, broken) == []
    still["status"]["completedIndexes"] = "8"
    assert complaints(still, broken) == [
        'status.completedIndexes: Invalid value: "8": error parsing completedIndexes: too large '
        'index: "8"'
    ]


def test_completed_and_failed_indexes_do_not_overlap() -> None:
    spec = {"completions": 9, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
    status = {"completedIndexes": "0-3,6", "failedIndexes": "4,5-7"}
    assert complaints(job(status, **spec), job(**spec)) == [
        'status.failedIndexes: Invalid value: "4,5-7": failedIndexes and completedIndexes overlap '
        "at index: 6"
    ]
    status["failedIndexes"] = "4-5,7"
    assert complaints(job(status, **spec), job(**spec)) == []
    assert parse_indexes("0-3,6", 9) == [(0, 3), (6, 6)]


def test_what_was_reached_is_not_taken_back() -> None:
    before = job(
        {
            "startTime": DAY,
            "failed": 2,
            "succeeded": 2,
            "conditions": condition("FailureTarget", "Failed"),
        }
    )
    found = complaints(job({"failed": 1, "succeeded": 1}), before)
    assert [text.split(": ", 1)[0] for text in found] == [
        "status.conditions",
        "status.conditions",
        "status.failed",
        "status.succeeded",
        "status.startTime",
    ]


def test_the_last_indexed_pod_needs_a_host_name() -> None:
    long = job(completionMode="Indexed", completions=101)
    long["metadata"]["name"] = "a" * 60
    found = [str(error) for error in JobStrategy().validate(long)]
    assert any("will not able to create pod with invalid DNS label" in text for text in found)
    long["metadata"]["name"] = "a" * 59
    found = [str(error) for error in JobStrategy().validate(long)]
    assert not any("invalid DNS label" in text for text in found)
