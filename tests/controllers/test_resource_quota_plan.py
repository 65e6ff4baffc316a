"""The status that a count leads to."""

from datetime import UTC, datetime
from typing import Any

from kapi.controllers.resource_quota.plan import changes_usage, plan_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(phase: str = "Running", cpu: str = "500m") -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase},
    }


def test_everything_hard_gets_a_number() -> None:
    quota = {"spec": {"hard": {"pods": "5", "requests.cpu": "2", "count/secrets": "1"}}}
    status = plan_status(quota, {"pods": [pod(), pod(), pod("Failed")]}, NOW)
    assert status == {
        "hard": quota["spec"]["hard"],
        "used": {"pods": "2", "requests.cpu": "1", "count/secrets": "0"},
    }
    assert plan_status({**quota, "status": status}, {"pods": [pod(), pod()]}, NOW) is None


def test_scopes_leave_pods_out() -> None:
    quota = {"spec": {"hard": {"pods": "5"}, "scopes": ["BestEffort"]}}
    status = plan_status(quota, {"pods": [pod(), pod(cpu="0")]}, NOW)
    assert status is not None
    assert status["used"] == {"pods": "1"}


def test_a_pod_that_ends_counts_differently() -> None:
    assert changes_usage("pods", pod("Succeeded"), pod(), NOW)
    assert not changes_usage("pods", {**pod(), "x": 1}, pod(), NOW)
