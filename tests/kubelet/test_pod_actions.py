"""compute_pod_actions as a table: a pod, what runs of it, what must be done."""

from dataclasses import asdict
from typing import Any

import pytest
from kubelet_objects import container, created, exited, pod, running, sandbox, view

from kapi.api.object import Object
from kapi.kubelet.actions import compute_pod_actions
from kapi.kubelet.pod_view import PodView, ProbeResults, pod_view

TWO = (container("a"), container("b"))
INIT = [container("i1"), container("i2")]
SIDECAR = [container("i1"), container("side", restartPolicy="Always"), container("i2")]
DELETED = {"deletionTimestamp": "2026-01-02T03:04:05Z"}


def plan(spec: Object, seen: PodView, **probes: bool) -> dict[str, Any]:
    """Only what differs from doing nothing; kills by name."""
    results = ProbeResults()
    for key, success in probes.items():
        kind, _, name = key.partition("_")
        found = seen.newest(name)
        assert found is not None
        results.set(found.id, kind, success)  # type: ignore[arg-type]
    actions = asdict(compute_pod_actions(spec, seen, results))
    actions["to_kill"] = [(kill["name"], kill["message"]) for kill in actions["to_kill"]]
    del actions["sandbox_id"]
    return {name: value for name, value in actions.items() if value}


NEW = {"kill_pod": True, "create_sandbox": True}

CASES: dict[str, tuple[Object, PodView, dict[str, bool], dict[str, Any]]] = {
    "nothing yet": (pod(*TWO), PodView(), {}, {**NEW, "to_start": ["a", "b"]}),
    "nothing yet, init first": (
        pod(*TWO, initContainers=INIT), PodView(), {}, {**NEW, "init_to_start": ["i1"]},
    ),
    "all is well": (pod(*TWO), view(running("a"), running("b")), {}, {}),
    "one never started": (pod(*TWO), view(running("a")), {}, {"to_start": ["b"]}),
    "one ended well": (pod(*TWO), view(running("a"), exited("b")), {}, {"to_start": ["b"]}),
    "ended well, on failure": (
        pod(*TWO, restartPolicy="OnFailure"), view(running("a"), exited("b")), {}, {},
    ),
    "failed, on failure": (
        pod(*TWO, restartPolicy="OnFailure"), view(running("a"), exited("b", 1)), {},
        {"to_start": ["b"]},
    ),
    "failed, never": (
        pod(*TWO, restartPolicy="Never"), view(running("a"), exited("b", 1)), {}, {},
    ),
    "a container's own policy wins": (
        pod(container("a", restartPolicy="Always"), container("b"), restartPolicy="Never"),
        view(exited("a", 1), running("b")), {}, {"to_start": ["a"]},
    ),
    "a rule about exit codes": (
        pod(
            container("a", restartPolicy="Never", restartPolicyRules=[
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]),
            container("b"),
        ),
        view(exited("a", 42), running("b")), {}, {"to_start": ["a"]},
    ),
    "a rule restarts the whole pod": (
        pod(
            container("a", restartPolicy="Never", restartPolicyRules=[
                {"action": "RestartAllContainers",
                 "exitCodes": {"operator": "NotIn", "values": [0]}}]),
            container("b"),
        ),
        view(exited("a", 5), running("b")), {}, {"restart_all": True},
    ),
    "created counts as not started": (
        pod(restartPolicy="Never"), view(created()), {}, {"to_start": ["main"]},
    ),
    "everything ended, never": (
        pod(*TWO, restartPolicy="Never"), view(exited("a"), exited("b", 1)), {},
        {"kill_pod": True},
    ),
    "being deleted": (
        pod(*TWO, metadata=DELETED), view(running("a"), exited("b", 1)), {}, {},
    ),
    "liveness failed": (
        pod(*TWO), view(running("a"), running("b")), {"liveness_a": False},
        {"to_kill": [("a", "Container a failed liveness probe, will be restarted")],
         "to_start": ["a"]},
    ),
    "startup failed, never": (
        pod(*TWO, restartPolicy="Never"), view(running("a"), running("b")), {"startup_a": False},
        {"to_kill": [("a", "Container a failed startup probe")]},
    ),
    "another image": (
        pod(container("a", image="app:2"), restartPolicy="Never"), view(running("a")), {},
        {"to_kill": [("a", "Container a definition changed, will be restarted")],
         "to_start": ["a"]},
    ),
    "the sandbox died": (
        pod(*TWO), view(exited("a", 137), exited("b", 137), up=False), {},
        {**NEW, "attempt": 1, "to_start": ["a", "b"]},
    ),
    "the sandbox died, on failure": (
        pod(*TWO, restartPolicy="OnFailure"), view(exited("a", 0), exited("b", 137), up=False),
        {}, {**NEW, "attempt": 1, "to_start": ["b"]},
    ),
    "the sandbox died, never": (
        pod(*TWO, restartPolicy="Never"), view(exited("a", 137), up=False), {},
        {"kill_pod": True, "attempt": 1},
    ),
    "the sandbox died, all done": (
        pod(restartPolicy="OnFailure"), view(exited(), up=False), {},
        {"kill_pod": True, "attempt": 1},
    ),
    "two sandboxes": (
        pod(), pod_view([sandbox(running()), sandbox(attempt=1)]), {},
        {**NEW, "attempt": 2, "to_start": ["main"]},
    ),
    "the network mode changed": (
        pod(hostNetwork=True), view(running()), {},
        {**NEW, "attempt": 1, "to_start": ["main"]},
    ),
    "first init runs": (pod(initContainers=INIT), view(running("i1")), {}, {}),
    "first init is done": (
        pod(initContainers=INIT), view(exited("i1")), {}, {"init_to_start": ["i2"]},
    ),
    "last init is done": (
        pod(initContainers=INIT), view(exited("i1"), exited("i2")), {}, {"to_start": ["main"]},
    ),
    "finished init containers were removed": (
        pod(initContainers=INIT), view(running()), {}, {},
    ),
    "init failed": (
        pod(initContainers=INIT), view(exited("i1", 1)), {}, {"init_to_start": ["i1"]},
    ),
    "init failed, never": (
        pod(initContainers=INIT, restartPolicy="Never"), view(exited("i1", 1)), {},
        {"kill_pod": True},
    ),
    "init was out of memory": (
        pod(initContainers=INIT), view(exited("i1", 0, reason="OOMKilled")), {},
        {"init_to_start": ["i1"]},
    ),
    "a sidecar runs: the next goes on": (
        pod(initContainers=SIDECAR), view(exited("i1"), running("side")), {},
        {"init_to_start": ["i2"]},
    ),
    "a sidecar died during initialisation": (
        pod(initContainers=SIDECAR), view(exited("i1"), exited("side", 1), running("i2")), {},
        {"init_to_start": ["side"]},
    ),
    "a sidecar died later": (
        pod(initContainers=SIDECAR),
        view(exited("i1"), exited("side", 1), exited("i2"), running()), {},
        {"init_to_start": ["side"]},
    ),
    "main is done: the sidecar must not live on": (
        pod(initContainers=SIDECAR, restartPolicy="Never"),
        view(exited("i1"), running("side"), exited("i2"), exited()), {}, {"kill_pod": True},
    ),
    "a sidecar's liveness": (
        pod(initContainers=SIDECAR),
        view(exited("i1"), running("side"), exited("i2"), running()), {"liveness_side": False},
        {"to_kill": [("side", "Init container side failed liveness probe")],
         "init_to_start": ["side"]},
    ),
    "an ephemeral container": (
        pod(initContainers=INIT, ephemeralContainers=[container("debug")]),
        view(running("i1")), {}, {"ephemeral_to_start": ["debug"]},
    ),
    "an ephemeral container never restarts": (
        pod(ephemeralContainers=[container("debug")]), view(running(), exited("debug", 1)), {}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_actions(case: str) -> None:
    spec, seen, probes, expected = CASES[case]
    assert plan(spec, seen, **probes) == expected


def test_a_sidecar_with_a_startup_probe_holds_the_next_one() -> None:
    slow = [
        container("side", restartPolicy="Always", startupProbe={"periodSeconds": 1}),
        container("i2"),
    ]
    spec, seen = pod(initContainers=slow), view(running("side"))
    assert plan(spec, seen) == {}
    assert plan(spec, seen, startup_side=True) == {"init_to_start": ["i2"]}
    assert plan(spec, seen, startup_side=False) == {
        "to_kill": [("side", "Init container side failed startup probe")],
        "init_to_start": ["side"],
    }
