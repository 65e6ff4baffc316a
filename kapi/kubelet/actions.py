"""From a pod and what runs of it to what must be done. Pure.

Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions and
kuberuntime_container.go computeInitContainerActions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kapi.api.object import Object, is_deleting
from kapi.kubelet import labels
from kapi.kubelet.pod_view import PodView, ProbeResults
from kapi.kubelet.resize import actual_resources, differs, needs_restart
from kapi.kubelet.restarts import (
    RESTART_ALL,
    has_restart_all_rule,
    init_failed,
    is_sidecar,
    matching_rule,
    restarts_after,
    restarts_on_failure,
    should_be_restarted,
)
from kapi.kubelet.runtime.interface import Container


@dataclass(frozen=True, slots=True)
class Kill:
    """A running container to stop, the event's message, and which probe asked for it."""

    container_id: str
    name: str
    message: str
    probe: str = ""


@dataclass(slots=True)
class PodActions:
    """Names refer to the pod's spec; lists are in spec order."""

    kill_pod: bool = False
    create_sandbox: bool = False
    restart_all: bool = False
    """Stop and remove every container of the sandbox, then begin with the first."""
    sandbox_id: str = ""
    attempt: int = 0
    ephemeral_to_start: list[str] = field(default_factory=list)
    init_to_start: list[str] = field(default_factory=list)
    to_start: list[str] = field(default_factory=list)
    to_kill: list[Kill] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (
            self.kill_pod
            or self.create_sandbox
            or self.restart_all
            or self.ephemeral_to_start
            or self.init_to_start
            or self.to_start
            or self.to_kill
        )


def sandbox_changed(pod: Object, view: PodView) -> tuple[bool, int, str]:
    """(a new sandbox is needed, its attempt number, the newest sandbox's id)."""
    if not view.sandboxes:
        return True, 0, ""
    newest = view.sandboxes[0]
    attempt = labels.attempt_of(newest.labels)
    running = sum(1 for sandbox in view.sandboxes if sandbox.running)
    if running > 1 or not newest.running:
        return True, attempt + 1, newest.id
    host_network = bool(pod["spec"].get("hostNetwork"))
    if host_network != (newest.labels.get(labels.HOST_NETWORK) == "true"):
        return True, attempt + 1, ""
    if not host_network and not newest.ips:
        return True, attempt + 1, newest.id
    return False, attempt, newest.id


def compute_pod_actions(
    pod: Object,
    view: PodView,
    probes: ProbeResults,
    resources: Mapping[str, Object] | None = None,
) -> PodActions:
    """What one sync has to do; `resources` are changes made in place, by container id."""
    spec = pod["spec"]
    changed, attempt, sandbox_id = sandbox_changed(pod, view)
    actions = PodActions(
        kill_pod=changed, create_sandbox=changed, sandbox_id=sandbox_id, attempt=attempt
    )
    if changed:
        _plan_new_sandbox(pod, view, actions)
        return actions
    if _restart_all_wanted(pod, view):
        actions.restart_all = True
        return actions
    actions.ephemeral_to_start = [
        container["name"]
        for container in spec.get("ephemeralContainers") or ()
        if view.newest(container["name"]) is None
    ]
    initialized = _plan_init(pod, view, probes, actions)
    if actions.kill_pod or not initialized:
        return actions
    kept = 0
    for container in spec["containers"]:
        newest = view.newest(container["name"])
        if newest is not None and _resize_restarts(container, newest, resources or {}):
            name = container["name"]
            text = f"Container {name} resize requires restart"
            actions.to_kill.append(Kill(newest.id, name, text))
            actions.to_start.append(name)
        else:
            kept += _plan_main(pod, container, newest, probes, actions)
    if kept == 0 and not actions.to_start:
        # Sidecars must not keep a finished pod alive.
        actions.kill_pod = True
        actions.init_to_start = []
    return actions


def _restart_all_wanted(pod: Object, view: PodView) -> bool:
    if is_deleting(pod) or not has_restart_all_rule(pod):
        return False
    spec = pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        newest = view.newest(container["name"])
        if newest is None or newest.state != "exited" or not _in_current_sandbox(view, newest):
            continue
        if matching_rule(container, newest.exit_code) == RESTART_ALL:
            return True
    return False


def _resize_restarts(container: Object, newest: Container, resources: Mapping[str, Object]) -> bool:
    if newest.state != "running" or not container.get("resizePolicy"):
        return False
    return needs_restart(container, differs(container, actual_resources(newest, resources)))


def _plan_new_sandbox(pod: Object, view: PodView, actions: PodActions) -> None:
    spec = pod["spec"]
    restarts = any(restarts_on_failure(pod, container) for container in spec["containers"])
    if not restarts and actions.attempt != 0 and view.instances:
        actions.create_sandbox = False
        return
    to_start = [
        container["name"]
        for container in spec["containers"]
        if not (
            spec.get("restartPolicy") == "OnFailure" and _succeeded(view.newest(container["name"]))
        )
    ]
    if not to_start and _any_main_created(pod, view):
        actions.create_sandbox = False
        return
    init = spec.get("initContainers") or ()
    if init:
        actions.init_to_start = [init[0]["name"]]
    else:
        actions.to_start = to_start


def _succeeded(newest: Container | None) -> bool:
    return newest is not None and newest.state == "exited" and newest.exit_code == 0


def _any_main_created(pod: Object, view: PodView) -> bool:
    """Whether initialisation was passed once: a main container exists in the newest sandbox."""
    current = {found.id for found in view.sandboxes[0].containers} if view.sandboxes else set()
    for container in pod["spec"]["containers"]:
        newest = view.newest(container["name"])
        if newest is not None and (newest.id in current or newest.state != "exited"):
            return True
    return False


def _plan_init(pod: Object, view: PodView, probes: ProbeResults, actions: PodActions) -> bool:
    """Walk init containers backwards to the newest that ran. True: the pod is initialised.

    The walk is backwards because finished init containers may have been removed.
    """
    init = pod["spec"].get("initContainers") or []
    if not init:
        return True
    initialized = passed = _any_main_created(pod, view)
    for index in range(len(init) - 1, -1, -1):
        container = init[index]
        newest = view.newest(container["name"])
        if newest is not None and not _in_current_sandbox(view, newest):
            newest = None
        if newest is None:
            if passed and is_sidecar(container):
                actions.init_to_start.append(container["name"])
            continue
        if passed and not is_sidecar(container):
            continue
        following = init[index + 1]["name"] if index + 1 < len(init) else ""
        done = _plan_one_init(pod, container, newest, probes, actions)
        if actions.kill_pod:
            actions.init_to_start = []
            return False
        if done and not passed:
            if following:
                actions.init_to_start.append(following)
            else:
                initialized = True
        passed = True
    if not passed:
        actions.init_to_start.append(init[0]["name"])
    actions.init_to_start.reverse()
    return initialized


def _in_current_sandbox(view: PodView, container: Container) -> bool:
    return any(found.id == container.id for found in view.sandboxes[0].containers)


def _plan_one_init(
    pod: Object, container: Object, newest: Container, probes: ProbeResults, actions: PodActions
) -> bool:
    """True when this init container no longer holds up the next one."""
    name = container["name"]
    if newest.state == "created":
        actions.init_to_start.append(name)
        return False
    if newest.state == "running":
        return is_sidecar(container) and _plan_running_sidecar(container, newest, probes, actions)
    if is_sidecar(container):
        actions.init_to_start.append(name)
        return False
    if init_failed(newest):
        if not restarts_after(pod, container, newest.exit_code or 1):
            actions.kill_pod = True
        else:
            actions.init_to_start.append(name)
        return False
    return True


def _plan_running_sidecar(
    container: Object, newest: Container, probes: ProbeResults, actions: PodActions
) -> bool:
    name = container["name"]
    if container.get("startupProbe"):
        startup = probes.get(newest.id, "startup")
        if startup is False:
            text = f"Init container {name} failed startup probe"
            actions.to_kill.append(Kill(newest.id, name, text, "startup"))
            actions.init_to_start.append(name)
        if not startup:
            return False
    if probes.get(newest.id, "liveness") is False:
        text = f"Init container {name} failed liveness probe"
        actions.to_kill.append(Kill(newest.id, name, text, "liveness"))
        actions.init_to_start.append(name)
    elif newest.labels.get(labels.HASH) != labels.container_hash(container):
        text = f"Init container {name} definition changed"
        actions.to_kill.append(Kill(newest.id, name, text))
        actions.init_to_start.append(name)
    return True


def _plan_main(
    pod: Object,
    container: Object,
    newest: Container | None,
    probes: ProbeResults,
    actions: PodActions,
) -> int:
    """1 when a running container is kept as it is."""
    name = container["name"]
    if newest is None or newest.state != "running":
        if should_be_restarted(pod, container, newest):
            actions.to_start.append(name)
        return 0
    restart, probe = restarts_on_failure(pod, container), ""
    if newest.labels.get(labels.HASH) != labels.container_hash(container):
        message, restart = f"Container {name} definition changed", True
    elif probes.get(newest.id, "liveness") is False:
        message, probe = f"Container {name} failed liveness probe", "liveness"
    elif probes.get(newest.id, "startup") is False:
        message, probe = f"Container {name} failed startup probe", "startup"
    else:
        return 1
    if restart:
        message += ", will be restarted"
        actions.to_start.append(name)
    actions.to_kill.append(Kill(newest.id, name, message, probe))
    return 0
