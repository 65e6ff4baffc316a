"""A kubelet changes its own Node and the pods on it, and nothing else.

Source: k8s.io/kubernetes `plugin/pkg/admission/noderestriction`.
"""

from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.errors import resource_not_found
from kapi.api.object import Object, labels_of, metadata
from kapi.auth.interface import ObjectLookup
from kapi.auth.node_authorizer import node_name_of
from kapi.registry.admission import AdmissionRequest

_OWN_LABELS = (
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
)
_OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        known = ("nodes", "pods", "leases.coordination.k8s.io", "serviceaccounts")
        return request.resource.qualified in known and bool(node_name_of(request.ctx.user))

    async def validate(self, request: AdmissionRequest) -> None:
        node = node_name_of(request.ctx.user)
        if request.resource.qualified == "nodes":
            self._check_node(request, node)
        elif request.subresource == "eviction":
            self._check_eviction(request, node)
        elif request.resource.qualified == "pods":
            self._check_pod(request, node)
        elif request.resource.qualified == "serviceaccounts":
            if request.subresource == "token":
                self._check_token(request, node)
        elif request.namespace != "kube-node-lease" or request.name != node:
            raise refuse(request, f"node {node!r} can only access node lease with the same name")

    def _check_node(self, request: AdmissionRequest, node: str) -> None:
        if request.name != node:
            raise refuse(request, f'node "{node}" is not allowed to modify node "{request.name}"')
        new = request.obj
        if new is None:
            return
        changed = _changed_labels(new, request.old or {})
        bad = sorted(label for label in changed if not _may_set(label))
        if bad and request.operation == "CREATE":
            raise refuse(
                request,
                f'node "{node}" is not allowed to set the following labels: {", ".join(bad)}',
            )
        if bad:
            raise refuse(request, f"is not allowed to modify labels: {', '.join(bad)}")
        if request.old is not None:
            if new.get("spec", {}).get("taints") != request.old.get("spec", {}).get("taints"):
                raise refuse(request, f'node "{node}" is not allowed to modify taints')
            if metadata(new).get("ownerReferences") != metadata(request.old).get("ownerReferences"):
                raise refuse(request, f'node "{node}" is not allowed to modify ownerReferences')

    def _check_pod(self, request: AdmissionRequest, node: str) -> None:
        if request.operation == "CREATE":
            raise refuse(
                request,
                'pod does not have "kubernetes.io/config.mirror" annotation, '
                f'node "{node}" can only create mirror pods',
            )
        pod = request.old or {}
        if (pod.get("spec") or {}).get("nodeName") == node:
            return
        verb = "delete" if request.operation == "DELETE" else "update status for"
        raise refuse(
            request,
            f'node "{node}" can only {verb} pods with spec.nodeName set to itself',
        )

    def _check_eviction(self, request: AdmissionRequest, node: str) -> None:
        pod = self._lookup.get("pods", request.namespace, request.name)
        if pod is None:
            raise resource_not_found("pods", "", request.name)
        if (pod.get("spec") or {}).get("nodeName") != node:
            why = f'node "{node}" can only evict pods with spec.nodeName set to itself'
            raise refuse(request, why)

    def _check_token(self, request: AdmissionRequest, node: str) -> None:
        """A node gets tokens for the pods it runs, each bound to its pod, and no others."""
        spec = (request.obj or {}).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        name = str(bound.get("name") or "")
        if bound.get("apiVersion") != "v1" or bound.get("kind") != "Pod" or not name:
            raise refuse(request, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise refuse(request, "node requested token with a pod binding without a uid")
        pod = self._lookup.get("pods", request.namespace, name)
        if pod is None:
            raise resource_not_found("pods", "", name)
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise refuse(request, "node requested token bound to a pod scheduled on another node")


def _changed_labels(new: Object, old: Object) -> set[str]:
    now, before = labels_of(new), labels_of(old)
    return {label for label in {*now, *before} if now.get(label) != before.get(label)}


def _may_set(label: str) -> bool:
    """Labels of Kubernetes' own domains are the cluster's, save those about the node itself."""
    if label in _OWN_LABELS:
        return True
    domain = label.split("/")[0] if "/" in label else ""
    if domain == "node-restriction.kubernetes.io" or domain.endswith(
        ".node-restriction.kubernetes.io"
    ):
        return False
    if any(domain == own or domain.endswith(f".{own}") for own in _OWN_DOMAINS):
        return True
    return not any(
        domain == owned or domain.endswith(f".{owned}") for owned in ("kubernetes.io", "k8s.io")
    )
