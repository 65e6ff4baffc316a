"""Whether this node takes a pod that was bound to it. Pure.

Upstream: pkg/kubelet/lifecycle/predicate.go and the admit handlers of pkg/kubelet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kapi.api.object import Object, labels_of, name_of
from kapi.api.quantity import parse_quantity
from kapi.kubelet.qos import milli, pod_requests, whole
from kapi.kubelet.resize import Pending
from kapi.kubelet.restarts import is_sidecar

_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)
_ANY_ADDRESS = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Rejection:
    """`message` without the prefix that the status adds."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AdmissionFacts:
    """`others` are the pods this node runs already, none of them ended."""

    node: Object
    allocatable: Mapping[str, str]
    others: Sequence[Object]
    allowed_unsafe_sysctls: Sequence[str] = ()


def admit(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    """The first objection, or None."""
    for check in (_sysctls, _fit, _affinity, _ports, _taints, _features):
        found = check(pod, facts)
        if found is not None:
            return found
    return None


def resize_problem(pod: Object, facts: AdmissionFacts) -> Pending | None:
    """Why a running pod cannot be given what it asks for; `others` are without itself."""
    for name, amount in pod_requests(pod).items():
        capacity = parse_quantity(facts.allocatable.get(name, "0"))
        if name in ("cpu", "memory") and amount > capacity:
            units = milli if name == "cpu" else whole
            return Pending(
                "Infeasible",
                f"Node didn't have enough capacity: {name}, requested: {units(amount)}, "
                f"capacity: {units(capacity)}",
            )
    found = _fit(pod, facts)
    return Pending("Deferred", found.message) if found is not None else None


def _sysctls(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    spec = pod["spec"]
    for entry in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = entry["name"].replace("/", ".")
        allowed = name in _SAFE_SYSCTLS or any(
            name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))
            for pattern in facts.allowed_unsafe_sysctls
        )
        clash = spec.get("hostNetwork") and name.startswith("net.")
        clash = clash or (spec.get("hostIPC") and name.startswith("kernel."))
        if not allowed or clash:
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    return None


def _fit(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    capacity = {name: parse_quantity(text) for name, text in facts.allocatable.items()}
    pods = len(facts.others)
    if "pods" in capacity and pods + 1 > capacity["pods"]:
        return _lacks("pods", 1, pods, int(capacity["pods"]))
    used: dict[str, Decimal] = {}
    for other in facts.others:
        for name, amount in pod_requests(other).items():
            used[name] = used.get(name, Decimal(0)) + amount
    for name, amount in pod_requests(pod).items():
        if name not in capacity or not amount:
            continue
        held = used.get(name, Decimal(0))
        if amount + held > capacity[name]:
            units = milli if name == "cpu" else whole
            return _lacks(name, units(amount), units(held), units(capacity[name]))
    return None


def _lacks(name: str, requested: int, used: int, capacity: int) -> Rejection:
    text = (
        f"Node didn't have enough resource: {name}, requested: {requested}, "
        f"used: {used}, capacity: {capacity}"
    )
    return Rejection(f"OutOf{name}", text)


def _affinity(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    spec, labels = pod["spec"], labels_of(facts.node)
    wanted = spec.get("nodeSelector") or {}
    fits = all(labels.get(key) == value for key, value in wanted.items())
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity")) or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if fits and required is not None:
        fits = any(_term_matches(term, facts.node) for term in required["nodeSelectorTerms"])
    if fits:
        return None
    text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    return Rejection("NodeAffinity", text)


def _term_matches(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    named = {"metadata.name": name_of(node)}
    return all(_expression(e, labels_of(node)) for e in expressions) and all(
        _expression(e, named) for e in fields
    )


def _expression(expression: Object, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    have = labels.get(key)
    if operator == "In":
        return have in values
    if operator == "NotIn":
        return have not in values
    if operator == "Exists":
        return have is not None
    if operator == "DoesNotExist":
        return have is None
    try:
        left, right = int(have or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right


def _host_ports(pod: Object) -> Iterable[tuple[str, str, int]]:
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if is_sidecar(c)]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "", port.get("protocol") or "TCP", port["hostPort"]


def _ports(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    taken = [entry for other in facts.others for entry in _host_ports(other)]
    for address, protocol, port in _host_ports(pod):
        for other_address, other_protocol, other_port in taken:
            if (protocol, port) != (other_protocol, other_port):
                continue
            if address == other_address or _is_any(address) or _is_any(other_address):
                text = "node(s) didn't have free ports for the requested pod ports"
                return Rejection("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _is_any(address: str) -> bool:
    return address in _ANY_ADDRESS


def _taints(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    for taint in (facts.node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") != "NoExecute":
            continue
        if not any(_tolerates(t, taint) for t in pod["spec"].get("tolerations") or ()):
            text = "node(s) had taints that the pod didn't tolerate"
            return Rejection("TaintToleration", f"Predicate TaintToleration failed: {text}")
    return None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (
        taint.get("value") or ""
    )


def _features(pod: Object, facts: AdmissionFacts) -> Rejection | None:
    name = (pod["spec"].get("os") or {}).get("name")
    if name and name != "linux":
        text = "Failed to admit pod as the OS field doesn't match node OS"
        return Rejection("PodOSNotSupported", text)
    security = pod["spec"].get("securityContext") or {}
    if security.get("supplementalGroupsPolicy") == "Strict":
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Rejection("SupplementalGroupsPolicyNotSupported", text)
    label = labels_of(pod).get("kubernetes.io/os")
    if label and label != "linux":
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", text)
    return None
