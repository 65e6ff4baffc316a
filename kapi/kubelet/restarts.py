"""Whether a container that ended is started again. Pure.

Upstream: pkg/kubelet/container/helpers.go, ShouldContainerBeRestarted.
"""

from typing import Any

from kapi.api.object import Object, is_deleting
from kapi.kubelet.runtime.interface import Container

RESTART_ALL = "RestartAllContainers"


def is_sidecar(container: Object) -> bool:
    """A restartable init container."""
    return container.get("restartPolicy") == "Always"


def matching_rule(container: Object, exit_code: int) -> str:
    """The action of the first restart rule that matches, or an empty text."""
    for rule in container.get("restartPolicyRules") or ():
        codes: dict[str, Any] = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if listed == (codes.get("operator") == "In"):
            return str(rule.get("action", ""))
    return ""


def has_restart_all_rule(pod: Object) -> bool:
    """Whether some exit of some container would restart the whole pod in place."""
    spec = pod["spec"]
    return any(
        rule.get("action") == RESTART_ALL
        for container in (*spec["containers"], *(spec.get("initContainers") or ()))
        for rule in container.get("restartPolicyRules") or ()
    )


def policy_of(pod: Object, container: Object) -> str:
    """Always, OnFailure or Never; the container's own wins."""
    own = container.get("restartPolicy") or pod["spec"].get("restartPolicy")
    return str(own or "Always")


def restarts_on_failure(pod: Object, container: Object) -> bool:
    """For a kill by a probe: rules are not consulted."""
    return policy_of(pod, container) != "Never"


def restarts_after(pod: Object, container: Object, exit_code: int) -> bool:
    """The decision for an exit code, deletion aside."""
    if container.get("restartPolicy") and matching_rule(container, exit_code):
        return True
    policy = policy_of(pod, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def should_be_restarted(pod: Object, container: Object, newest: Container | None) -> bool:
    """Whether the next sync starts a new instance."""
    if is_deleting(pod):
        return False
    if newest is None or newest.state == "created":
        return True
    if newest.state == "running":
        return False
    return restarts_after(pod, container, newest.exit_code)


def init_failed(newest: Container) -> bool:
    """An init container that ended badly; an out-of-memory kill counts even with exit code 0."""
    return newest.state == "exited" and (newest.exit_code != 0 or newest.reason == "OOMKilled")
