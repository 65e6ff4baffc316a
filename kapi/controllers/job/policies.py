"""podFailurePolicy and successPolicy. Pure.

Source: k8s.io/kubernetes `pkg/controller/job/pod_failure_policy.go` and `success_policy.go`.
"""

from dataclasses import dataclass
from typing import Any

from kapi.api.indexes import index_set
from kapi.api.object import Object, condition_of, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Match:
    """`action` is the matching rule's; empty if none matches. `message` is set for FailJob."""

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """Does the failure count against a limit?"""
        return self.action != "Ignore"


NO_MATCH = Match()


def match_failure(job: Object, pod: Object) -> Match:
    """What the first rule that fits the failed pod says."""
    policy = job["spec"].get("podFailurePolicy") or {}
    for number, rule in enumerate(policy.get("rules") or ()):
        what = _matching(rule, pod)
        if what:
            action = rule["action"]
            message = f"{what} matching FailJob rule at index {number}"
            return Match(action, message if action == "FailJob" else "")
    return NO_MATCH


def _matching(rule: Object, pod: Object) -> str:
    """What of the pod fits the rule, in upstream's words; empty if nothing does."""
    name = f"{namespace_of(pod)}/{name_of(pod)}"
    status = pod.get("status") or {}
    codes = rule.get("onExitCodes")
    if codes is not None:
        for field in ("containerStatuses", "initContainerStatuses"):
            for container in status.get(field) or ():
                code = _exit_code(container)
                if code and _code_fits(codes, container["name"], code):
                    return (
                        f"Container {container['name']} for pod {name} failed with exit code {code}"
                    )
        return ""
    for pattern in rule.get("onPodConditions") or ():
        condition = condition_of(status.get("conditions"), pattern["type"])
        wanted = pattern.get("status") or "True"
        if condition is not None and condition.get("status") == wanted:
            return f"Pod {name} has condition {pattern['type']}"
    return ""


def _exit_code(container: Object) -> int:
    """Zero too while it runs: no rule is about that."""
    terminated = (container.get("state") or {}).get("terminated") or {}
    return int(terminated.get("exitCode") or 0)


def _code_fits(codes: dict[str, Any], container: str, code: int) -> bool:
    if codes.get("containerName") not in (None, container):
        return False
    listed = code in (codes.get("values") or ())
    return listed if codes["operator"] == "In" else not listed


def match_success(job: Object, succeeded: set[int]) -> str:
    """The message of the first rule that these indexes fulfil; empty if none."""
    spec = job["spec"]
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
        done = succeeded
        if listed is not None:
            wanted = index_set(listed, spec.get("completions") or 0)
            done = succeeded & wanted
            count = len(wanted) if count is None else count
        if count is not None and len(done) >= count:
            return f"Matched rules at index {number}"
    return ""
