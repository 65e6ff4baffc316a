"""A pod's status: phase, conditions, addresses. Pure.

Upstream: pkg/kubelet/kubelet_pods.go generateAPIPodStatus and getPhase,
pkg/kubelet/status/generate.go, pkg/kubelet/status/status_manager.go.
"""

from collections.abc import Iterable, Sequence

from kapi.api.object import Object, condition_of
from kapi.kubelet.container_status import (
    StatusFacts,
    container_statuses,
    containers_of,
    terminate_lost,
)
from kapi.kubelet.qos import qos_class
from kapi.kubelet.restarts import is_sidecar, restarts_after

TERMINAL_PHASES = ("Succeeded", "Failed")
OWNED_CONDITIONS = (
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


def compute_status(pod: Object, old: Object, facts: StatusFacts) -> Object:
    """The whole status; `old` is what was last reported (or {}).

    A terminal phase without `facts.terminal` means: stop the pod, and report it only then.
    """
    status: Object = {}
    main = container_statuses(pod, "main", old.get("containerStatuses") or (), facts)
    init = container_statuses(pod, "init", old.get("initContainerStatuses") or (), facts)
    ephemeral = container_statuses(
        pod, "ephemeral", old.get("ephemeralContainerStatuses") or (), facts
    )
    was_initialized = _was_true(old, "Initialized")
    if facts.terminal and (was_initialized or _ran(main)):
        terminate_lost(main, pod)
        terminate_lost(init, pod)
    status["phase"] = _next_phase(pod, old, main, init, facts)
    for name in ("reason", "message"):
        if old.get(name) and old.get("phase") == status["phase"]:
            status[name] = old[name]
    status["conditions"] = _conditions(pod, old, status["phase"], main, init, facts)
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    _addresses(pod, old, status, facts)
    status["startTime"] = old.get("startTime") or facts.now
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    status["containerStatuses"] = main
    if init:
        status["initContainerStatuses"] = init
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    return status


def rejected_status(pod: Object, reason: str, message: str, now: str) -> Object:
    """A pod the kubelet does not admit: no containers, no conditions."""
    status: Object = {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "qosClass": pod.get("status", {}).get("qosClass") or qos_class(pod),
        "startTime": now,
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    return status


def failed_status(status: Object, reason: str, message: str) -> Object:
    """The same status with the pod failed for a reason of the kubelet's own."""
    return {**status, "phase": "Failed", "reason": reason, "message": message}


def _next_phase(
    pod: Object,
    old: Object,
    main: Sequence[Object],
    init: Sequence[Object],
    facts: StatusFacts,
) -> str:
    before = str(old.get("phase") or pod.get("status", {}).get("phase") or "")
    if before in TERMINAL_PHASES:
        return before
    phase = compute_phase(pod, main, init, terminal=facts.terminal)
    if facts.terminal and phase not in TERMINAL_PHASES:
        return "Failed"
    return phase


def compute_phase(
    pod: Object, main: Sequence[Object], init: Sequence[Object], *, terminal: bool
) -> str:
    """Upstream's getPhase."""
    waiting_init = False
    by_name = {status["name"]: status for status in init}
    any_main = any(status.get("containerID") for status in main)
    for container in containers_of(pod, "init"):
        status = by_name[container["name"]]
        if is_sidecar(container):
            waiting_init = waiting_init or not (any_main or status.get("started"))
            continue
        ended = status["state"].get("terminated") or status["lastState"].get("terminated")
        failed = bool(ended) and _init_end_failed(ended)
        if failed and not restarts_after(pod, container, ended["exitCode"] or 1):
            return "Failed"
        done = status["state"].get("terminated")
        waiting_init = waiting_init or not (done and not _init_end_failed(done))
    if waiting_init:
        return "Pending"
    return _main_phase(pod, main, _sidecar_statuses(pod, init), terminal)


def _init_end_failed(ended: Object) -> bool:
    return ended["exitCode"] != 0 or ended.get("reason") == "OOMKilled"


def _sidecar_statuses(pod: Object, init: Sequence[Object]) -> list[Object]:
    names = {container["name"] for container in containers_of(pod, "init") if is_sidecar(container)}
    return [status for status in init if status["name"] in names]


def _main_phase(
    pod: Object, main: Sequence[Object], sidecars: Sequence[Object], terminal: bool
) -> str:
    everything = (*main, *sidecars)
    if any(
        "waiting" in status["state"] and not status["lastState"].get("terminated")
        for status in everything
    ):
        return "Pending"
    if any("running" in status["state"] for status in everything) and not terminal:
        return "Running"
    specs = {container["name"]: container for container in containers_of(pod, "main")}
    ends = [
        (
            specs[status["name"]],
            status["state"].get("terminated") or status["lastState"].get("terminated"),
            "waiting" in status["state"],
        )
        for status in main
    ]
    succeeded = all(end is not None and end["exitCode"] == 0 for _, end, _ in ends)
    if not terminal:
        if any(end is not None and restarts_after(pod, c, end["exitCode"]) for c, end, _ in ends):
            return "Running"
        if any(waiting for _, _, waiting in ends):
            return "Running"
    return "Succeeded" if succeeded else "Failed"


def _ran(statuses: Iterable[Object]) -> bool:
    return any(status.get("containerID") for status in statuses)


def _was_true(old: Object, kind: str) -> bool:
    found = condition_of(old.get("conditions"), kind)
    return bool(found and found["status"] == "True")


def _addresses(pod: Object, old: Object, status: Object, facts: StatusFacts) -> None:
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    if pod["spec"].get("hostNetwork"):
        ips: tuple[str, ...] = facts.host_ips
    else:
        ips = facts.view.ips or tuple(entry["ip"] for entry in old.get("podIPs") or ())
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def _condition(kind: str, true: bool, reason: str = "", message: str = "") -> Object:
    found: Object = {"type": kind, "status": "True" if true else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _conditions(
    pod: Object,
    old: Object,
    phase: str,
    main: Sequence[Object],
    init: Sequence[Object],
    facts: StatusFacts,
) -> list[Object]:
    """The kubelet's own conditions behind those of others, which are kept as they are."""
    reported = pod.get("status", {}).get("conditions") or []
    foreign = [c for c in reported if c["type"] not in OWNED_CONDITIONS]
    known = {c["type"] for c in foreign}
    foreign += [
        c
        for c in old.get("conditions") or ()
        if c["type"] not in OWNED_CONDITIONS and c["type"] not in known
    ]
    sidecars = _sidecar_statuses(pod, init)
    ready = _containers_ready(phase, main, sidecars)
    owned = [
        *(dict(condition) for condition in facts.extra_conditions),
        _condition("PodReadyToStartContainers", _network_ready(pod, facts)),
        _initialized(pod, old, phase, main, init),
        _pod_ready(pod, ready, foreign),
        ready,
        _condition("PodScheduled", True),
    ]
    generation = pod["metadata"].get("generation")
    before = {c["type"]: c for c in (*reported, *(old.get("conditions") or ()))}
    for condition in owned:
        if generation:
            condition.setdefault("observedGeneration", generation)
        condition["lastProbeTime"] = None
        last = before.get(condition["type"])
        same = last is not None and last["status"] == condition["status"]
        condition["lastTransitionTime"] = (
            last["lastTransitionTime"] if last is not None and same else facts.now
        )
    return [*foreign, *owned]


def _network_ready(pod: Object, facts: StatusFacts) -> bool:
    running = [sandbox for sandbox in facts.view.sandboxes if sandbox.running]
    if len(running) != 1 or not facts.view.sandboxes[0].running:
        return False
    return bool(pod["spec"].get("hostNetwork") or running[0].ips)


def _initialized(
    pod: Object, old: Object, phase: str, main: Sequence[Object], init: Sequence[Object]
) -> Object:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    sidecars = {c["name"] for c in containers_of(pod, "init") if is_sidecar(c)}
    incomplete = [
        status["name"]
        for status in init
        if not (status["started"] if status["name"] in sidecars else status["ready"])
    ]
    if not incomplete or _was_true(old, "Initialized") or _main_ran(main):
        return _condition("Initialized", True)
    text = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return _condition("Initialized", False, "ContainersNotInitialized", text)


def _main_ran(main: Iterable[Object]) -> bool:
    return any("running" in s["state"] or "terminated" in s["state"] for s in main)


def _containers_ready(phase: str, main: Sequence[Object], sidecars: Sequence[Object]) -> Object:
    if phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    unready = [status["name"] for status in (*sidecars, *main) if not status["ready"]]
    if not unready:
        return _condition("ContainersReady", True)
    text = f"containers with unready status: [{' '.join(unready)}]"
    return _condition("ContainersReady", False, "ContainersNotReady", text)


def _pod_ready(pod: Object, containers_ready: Object, foreign: Sequence[Object]) -> Object:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    texts = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        found = condition_of(foreign, kind)
        if found is None:
            texts.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found["status"] != "True":
            texts.append(
                f'the status of pod readiness gate "{kind}" is not "True", but {found["status"]}'
            )
    if texts:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(texts))
    return _condition("Ready", True)
