"""Pod request arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_objects import pod

from kapi.scheduler.resources import amount, pod_requests, scoring_requests

MI = 1024 * 1024


def container(name: str, cpu: str, **fields: object) -> dict[str, object]:
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **fields}


@pytest.mark.parametrize(
    ("resource", "quantity", "expected"),
    [
        ("cpu", "100m", 100),
        ("cpu", "2", 2000),
        ("cpu", "0.0001", 1),
        ("memory", "128Mi", 128 * MI),
        ("memory", "1.5", 2),
        ("example.com/gpu", "3", 3),
    ],
)
def test_amounts_are_whole_and_rounded_up(resource: str, quantity: str, expected: int) -> None:
    assert amount(resource, quantity) == expected


def test_init_containers_count_by_their_largest_step() -> None:
    subject = pod("a", containers=[container("x", "1")], initContainers=[container("i", "3")])
    assert pod_requests(subject) == {"cpu": 3000}


def test_sidecars_add_to_the_regular_containers_and_to_later_steps() -> None:
    subject = pod(
        "a",
        containers=[container("x", "1")],
        initContainers=[
            container("before", "3"),
            container("side", "1", restartPolicy="Always"),
            container("after", "2500m"),
        ],
    )
    # Regular: 1 + 1; steps: 3, then 1, then 2.5 + 1.
    assert pod_requests(subject) == {"cpu": 3500}


def test_pod_level_requests_replace_and_overhead_adds() -> None:
    subject = pod(
        "a",
        containers=[container("x", "1")],
        resources={"requests": {"cpu": "5", "example.com/gpu": "1"}},
        overhead={"cpu": "250m", "memory": "1Mi"},
    )
    assert pod_requests(subject) == {"cpu": 5250, "memory": MI}


def test_a_resize_counts_the_larger_of_wish_and_grant() -> None:
    subject = pod("a", containers=[container("main", "1")])
    subject["status"]["containerStatuses"] = [
        {"name": "main", "resources": {"requests": {"cpu": "2"}}}
    ]
    assert pod_requests(subject) == {"cpu": 2000}
    subject["spec"]["containers"] = [container("main", "9")]
    assert pod_requests(subject) == {"cpu": 9000}
    subject["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible"}]
    assert pod_requests(subject) == {"cpu": 2000}


def test_scoring_assumes_a_little_for_containers_that_ask_for_nothing() -> None:
    assert scoring_requests(pod("a")) == (100, 200 * MI)
    assert scoring_requests(pod("a", requests={"cpu": "1"})) == (1000, 200 * MI)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=5), st.lists(st.integers(1, 5000)))
def test_the_request_covers_both_phases(main: list[int], init: list[int]) -> None:
    subject = pod(
        "a",
        containers=[container(f"c{i}", f"{m}m") for i, m in enumerate(main)],
        initContainers=[container(f"i{i}", f"{m}m") for i, m in enumerate(init)],
    )
    assert pod_requests(subject)["cpu"] == max([sum(main), *init])
