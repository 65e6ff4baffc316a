"""Which nodes a DaemonSet's pods belong on, and the pods made for them. Pure.

Source: k8s.io/kubernetes `pkg/controller/daemon` and its `util` package.
"""

from collections.abc import Sequence
from typing import Any

from kapi.api.node_selector import (
    NO_EXECUTE,
    NO_SCHEDULE,
    pod_accepts_node,
    required_node_affinity,
    untolerated,
)
from kapi.api.object import Object, annotations_of, labels_of, name_of
from kapi.controllers.history.plan import POD_REVISION
from kapi.controllers.pods import node_of, pod_from_template

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
POD_TEMPLATE_GENERATION = "pod-template-generation"

_TOLERATED = (
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
)
_TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", NO_SCHEDULE),)


def tolerations(pod_spec: Object) -> list[Object]:
    """The template's, and those every daemon pod has; a daemon stays while its node is ill."""
    found: list[Object] = list(pod_spec.get("tolerations") or ())
    on_host = _TOLERATED_ON_HOST_NETWORK if pod_spec.get("hostNetwork") else ()
    for key, effect in (*_TOLERATED, *on_host):
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        for index, given in enumerate(found):
            if (given.get("key"), given.get("effect")) == (key, effect):
                found[index] = wanted
                break
        else:
            found.append(wanted)
    return found


def fit(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Should a pod be started on the node; may one that runs there stay?

    A NoSchedule taint only keeps new pods away. Whether the node is ready does not matter.
    """
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != name_of(node):
        return False, False
    if not pod_accepts_node(spec, labels_of(node), name_of(node)):
        return False, False
    taints = (node.get("spec") or {}).get("taints") or ()
    tolerated = tolerations(spec) if taints else []
    if any(untolerated(taints, tolerated, (NO_EXECUTE,))):
        return False, False
    return not any(untolerated(taints, tolerated, (NO_SCHEDULE,))), True


def target_node(pod: Object) -> str:
    """The node a daemon pod is on or made for; empty if it says neither."""
    bound = node_of(pod)
    if bound:
        return bound
    required = required_node_affinity(pod.get("spec") or {}) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for wanted in term.get("matchFields") or ():
            values: Sequence[str] = wanted.get("values") or ()
            if (
                wanted.get("key") == "metadata.name"
                and wanted.get("operator") == "In"
                and len(values) == 1
            ):
                return str(values[0])
    return ""


def template_generation(daemon_set: Object) -> str:
    """The number old clients know the template by; empty if it has none."""
    text = annotations_of(daemon_set).get(TEMPLATE_GENERATION, "")
    return text if text.isdigit() else ""


def new_pod(daemon_set: Object, node_name: str, revision_hash: str) -> Object:
    """A pod for one node. The scheduler binds it; its affinity leaves that no choice.

    The template's own required node affinity has been judged by then and is replaced.
    """
    pod = pod_from_template(daemon_set["spec"]["template"], daemon_set)
    labels = {**pod["metadata"].get("labels", {}), POD_REVISION: revision_hash}
    generation = template_generation(daemon_set)
    if generation:
        labels[POD_TEMPLATE_GENERATION] = generation
    pod["metadata"]["labels"] = labels
    spec = pod["spec"]
    by_name = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    affinity: dict[str, Any] = dict(spec.get("affinity") or {})
    affinity["nodeAffinity"] = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [by_name]}]
        },
    }
    pod["spec"] = {**spec, "affinity": affinity, "tolerations": tolerations(spec)}
    return pod


def is_updated(daemon_set: Object, pod: Object, revision_hash: str) -> bool:
    """Is the pod made from the present template?"""
    labels = labels_of(pod)
    generation = template_generation(daemon_set)
    return (bool(revision_hash) and labels.get(POD_REVISION) == revision_hash) or (
        bool(generation) and labels.get(POD_TEMPLATE_GENERATION) == generation
    )
