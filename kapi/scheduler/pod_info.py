"""A pod as the scheduler sees it: parsed once, then only read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from kapi.api.object import Object, controller_of, is_deleting, labels_of
from kapi.api.selectors import LabelSelector, label_selector_from_object
from kapi.scheduler.resources import Amounts, pod_requests, scoring_requests

HOSTNAME_LABEL = "kubernetes.io/hostname"
ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"

HostPort = tuple[str, str, int]
"""(host address, protocol, port)"""


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector that can be a dictionary key: two with the same text are the same."""

    text: str
    compiled: LabelSelector = field(compare=False, repr=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.compiled.matches(labels)


def selector_of(definition: Mapping[str, Any] | None) -> Selector:
    """From a metav1.LabelSelector: absent matches nothing, empty matches everything."""
    text = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS).decode()
    return _selector_from_text(text)


@lru_cache(maxsize=4096)
def _selector_from_text(text: str) -> Selector:
    return Selector(text, label_selector_from_object(orjson.loads(text)))


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """One pod (anti-)affinity term.

    `namespaces` is what the term lists, or the pod's own namespace if it names none at all;
    `namespace_selector` None selects nothing more.
    """

    selector: Selector
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: Selector | None = None

    def selects(
        self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]
    ) -> bool:
        """Whether a pod of this namespace with these labels is meant."""
        if not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        chosen = self.namespace_selector
        return chosen is not None and chosen.matches(namespace_labels)


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    weight: int
    term: AffinityTerm


@dataclass(frozen=True, slots=True)
class Affinity:
    """All pod affinity terms of a pod."""

    required: tuple[AffinityTerm, ...] = ()
    required_anti: tuple[AffinityTerm, ...] = ()
    preferred: tuple[WeightedTerm, ...] = ()
    preferred_anti: tuple[WeightedTerm, ...] = ()


NO_AFFINITY = Affinity()


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    max_skew: int
    topology_key: str
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class PodInfo:
    """`class_key` is equal for pods that every plugin must treat alike; `spec_key` for pods that
    plugins looking at one node alone must treat alike."""

    pod: Object
    key: str
    uid: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    priority: int
    requests: Amounts
    scoring_cpu: int
    scoring_memory: int
    host_ports: tuple[HostPort, ...]
    affinity: Affinity
    terminating: bool
    owner: tuple[str, str]
    """(kind, name) of the controlling owner; two empty strings without one."""

    @property
    def spec(self) -> Object:
        spec: Object = self.pod["spec"]
        return spec

    @property
    def tolerations(self) -> Sequence[Object]:
        return self.pod["spec"].get("tolerations") or ()

    @property
    def node_name(self) -> str:
        return self.pod["spec"].get("nodeName") or ""

    def spec_key(self) -> bytes:
        return _fingerprint(self.pod["spec"])

    def class_key(self) -> bytes:
        identity = [self.namespace, self.labels, self.owner, self.terminating]
        return self.spec_key() + orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)


def key_of(pod: Object) -> str:
    meta = pod["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def pod_info(pod: Object) -> PodInfo:
    """Parse a pod. Raises ValueError for quantities the API server would have refused."""
    meta, spec = pod["metadata"], pod["spec"]
    cpu, memory = scoring_requests(pod)
    owner = controller_of(pod)
    return PodInfo(
        pod=pod,
        key=key_of(pod),
        uid=meta.get("uid", ""),
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        labels=labels_of(pod),
        priority=int(spec.get("priority") or 0),
        requests=pod_requests(pod),
        scoring_cpu=cpu,
        scoring_memory=memory,
        host_ports=_host_ports(spec),
        affinity=_affinity(spec, meta.get("namespace", "")),
        terminating=is_deleting(pod),
        owner=(owner["kind"], owner["name"]) if owner else ("", ""),
    )


def _host_ports(spec: Object) -> tuple[HostPort, ...]:
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in [*(spec.get("containers") or ()), *sidecars]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _affinity(spec: Object, namespace: str) -> Affinity:
    affinity = spec.get("affinity") or {}
    toward, away = affinity.get("podAffinity"), affinity.get("podAntiAffinity")
    if not toward and not away:
        return NO_AFFINITY
    return Affinity(
        required=_required(toward, namespace),
        required_anti=_required(away, namespace),
        preferred=_preferred(toward, namespace),
        preferred_anti=_preferred(away, namespace),
    )


def _required(part: Object | None, namespace: str) -> tuple[AffinityTerm, ...]:
    terms = (part or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_term(term, namespace) for term in terms)


def _preferred(part: Object | None, namespace: str) -> tuple[WeightedTerm, ...]:
    terms = (part or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(
        WeightedTerm(int(term["weight"]), _term(term["podAffinityTerm"], namespace))
        for term in terms
        if term.get("weight")
    )


def _term(term: Object, namespace: str) -> AffinityTerm:
    listed = term.get("namespaces") or ()
    chosen = term.get("namespaceSelector")
    own = () if listed or chosen is not None else (namespace,)
    return AffinityTerm(
        selector=selector_of(term.get("labelSelector")),
        topology_key=term["topologyKey"],
        namespaces=frozenset((*listed, *own)),
        namespace_selector=None if chosen is None else selector_of(chosen),
    )


def spread_constraints(spec: Object, when: str) -> tuple[SpreadConstraint, ...]:
    """The pod's own constraints with `whenUnsatisfiable` equal to `when`."""
    return tuple(
        SpreadConstraint(
            max_skew=int(entry["maxSkew"]),
            topology_key=entry["topologyKey"],
            selector=selector_of(entry.get("labelSelector")),
            min_domains=int(entry.get("minDomains") or 1),
            honor_affinity=entry.get("nodeAffinityPolicy", "Honor") == "Honor",
            honor_taints=entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )
        for entry in spec.get("topologySpreadConstraints") or ()
        if entry.get("whenUnsatisfiable", "DoNotSchedule") == when
    )


_SPEC_FIELDS = (
    "affinity",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "resourceClaims",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
)
_CONTAINER_FIELDS = ("image", "ports", "resources", "restartPolicy")


def _fingerprint(spec: Object) -> bytes:
    """Everything of a spec that any plugin reads."""
    volumes = [
        volume
        for volume in spec.get("volumes") or ()
        if not ("projected" in volume or "configMap" in volume or "secret" in volume)
    ]
    relevant = [
        [spec.get(name) for name in _SPEC_FIELDS],
        [[c.get(name) for name in _CONTAINER_FIELDS] for c in spec.get("containers") or ()],
        [[c.get(name) for name in _CONTAINER_FIELDS] for c in spec.get("initContainers") or ()],
        volumes,
    ]
    return orjson.dumps(relevant, option=orjson.OPT_SORT_KEYS)
