"""What the scheduler knows of claims, volumes and classes, and how claims find volumes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kapi.api.node_selector import node_selector_matches
from kapi.api.object import Object, annotations_of, is_deleting, labels_of, name_of
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo, key_of, selector_of
from kapi.scheduler.resources import amount

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_LEGACY_CLASS = "volume.beta.kubernetes.io/storage-class"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class ClaimUse:
    """A pod's use of a claim; `generated` if a controller makes the claim for the pod."""

    name: str
    generated: bool


@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """What must be written before the pod can be bound: claims paired with existing volumes,
    and claims to be provisioned for the chosen node."""

    static: tuple[tuple[Object, Object], ...] = ()
    provisioned: tuple[Object, ...] = ()


def claims_of(pod: PodInfo) -> Iterator[ClaimUse]:
    for volume in pod.spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield ClaimUse(volume["persistentVolumeClaim"]["claimName"], False)
        elif volume.get("ephemeral"):
            yield ClaimUse(f"{pod.name}-{volume['name']}", True)


class Volumes:
    """Fed from watches. `reserved` volumes are promised to a claim but not yet written so."""

    def __init__(self) -> None:
        self._claims: dict[str, Object] = {}
        self._volumes: dict[str, Object] = {}
        self._classes: dict[str, Object] = {}
        self._reserved: dict[str, str] = {}

    def set_claim(self, claim: Object) -> None:
        self._claims[key_of(claim)] = claim

    def remove_claim(self, claim: Object) -> None:
        self._claims.pop(key_of(claim), None)

    def set_volume(self, volume: Object) -> None:
        self._volumes[name_of(volume)] = volume

    def remove_volume(self, volume: Object) -> None:
        self._volumes.pop(name_of(volume), None)

    def set_class(self, storage_class: Object) -> None:
        self._classes[name_of(storage_class)] = storage_class

    def remove_class(self, storage_class: Object) -> None:
        self._classes.pop(name_of(storage_class), None)

    def claim(self, namespace: str, name: str) -> Object | None:
        return self._claims.get(f"{namespace}/{name}")

    def volume(self, name: str) -> Object | None:
        return self._volumes.get(name)

    def waits_for_consumer(self, claim: Object) -> bool:
        found = self._classes.get(class_of(claim))
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def reserve(self, decision: VolumeDecision) -> None:
        for claim, volume in decision.static:
            self._reserved[name_of(volume)] = key_of(claim)

    def release(self, decision: VolumeDecision) -> None:
        for _, volume in decision.static:
            self._reserved.pop(name_of(volume), None)

    def decide(self, claims: list[Object], node: NodeInfo) -> VolumeDecision | None:
        """How these unbound claims could be met on the node; None if they cannot."""
        static: list[tuple[Object, Object]] = []
        provisioned: list[Object] = []
        taken: set[str] = set()
        for claim in claims:
            chosen = annotations_of(claim).get(SELECTED_NODE)
            if chosen and chosen != node.name:
                return None
            volume = None if chosen else self._smallest_match(claim, node, taken)
            if volume is not None:
                taken.add(name_of(volume))
                static.append((claim, volume))
            elif self._can_provision(claim, node):
                provisioned.append(claim)
            else:
                return None
        return VolumeDecision(tuple(static), tuple(provisioned))

    def _smallest_match(self, claim: Object, node: NodeInfo, taken: set[str]) -> Object | None:
        fitting = [
            volume
            for name, volume in self._volumes.items()
            if name not in taken
            and self._reserved.get(name, key_of(claim)) == key_of(claim)
            and _suits(volume, claim)
            and reachable_from(volume, node)
        ]
        return min(fitting, key=lambda v: (_capacity(v), name_of(v)), default=None)

    def _can_provision(self, claim: Object, node: NodeInfo) -> bool:
        found = self._classes.get(class_of(claim))
        if found is None or found.get("provisioner") in (None, "", _NO_PROVISIONER):
            return False
        topologies = found.get("allowedTopologies") or ()
        return not topologies or any(
            all(
                node.labels.get(expression["key"]) in expression["values"]
                for expression in term.get("matchLabelExpressions") or ()
            )
            for term in topologies
        )


def class_of(obj: Object) -> str:
    """The storage class of a claim or volume; empty for none."""
    legacy = annotations_of(obj).get(_LEGACY_CLASS)
    return legacy or obj["spec"].get("storageClassName") or ""


def is_bound(claim: Object) -> bool:
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def reachable_from(volume: Object, node: NodeInfo) -> bool:
    """Whether the volume's node affinity admits the node."""
    affinity: Mapping[str, Any] = volume["spec"].get("nodeAffinity") or {}
    required = affinity.get("required")
    return required is None or node_selector_matches(required, node.labels, node.name)


def _suits(volume: Object, claim: Object) -> bool:
    """Class, mode, access, size and selector agree, and nobody else has the volume."""
    spec, wanted = volume["spec"], claim["spec"]
    reference = spec.get("claimRef")
    if reference is not None:
        same_name = f"{reference.get('namespace')}/{reference.get('name')}" == key_of(claim)
        uid = reference.get("uid")
        return same_name and uid in (None, "", claim["metadata"].get("uid"))
    if is_deleting(volume) or (volume.get("status") or {}).get("phase") == "Released":
        return False
    if class_of(volume) != class_of(claim):
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    selector = wanted.get("selector")
    if selector is not None and not selector_of(selector).matches(labels_of(volume)):
        return False
    requests = (wanted.get("resources") or {}).get("requests") or {}
    return _capacity(volume) >= amount("storage", requests.get("storage", 0))


def _capacity(volume: Object) -> int:
    return amount("storage", (volume["spec"].get("capacity") or {}).get("storage", 0))
