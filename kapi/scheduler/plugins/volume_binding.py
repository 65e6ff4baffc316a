"""VolumeBinding: a pod goes where its volumes are, or can be made."""

from dataclasses import dataclass

from kapi.api.object import Object, is_deleting
from kapi.scheduler.cache import Cache
from kapi.scheduler.framework import (
    NODE_EVENTS,
    SKIP,
    ClusterEvent,
    EventKind,
    PreFilterResult,
    Rejection,
)
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.volumes import VolumeDecision, Volumes, claims_of, is_bound, reachable_from


@dataclass(frozen=True, slots=True)
class ClaimState:
    """A pod's claims: the volumes of the bound ones, and those that wait for a node."""

    bound: tuple[Object, ...]
    waiting: list[Object]


class VolumeBinding:
    name = "VolumeBinding"

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult:
        state = self._claim_state(pod)
        if isinstance(state, str):
            return PreFilterResult(rejection=Rejection(self.name, (state,), resolvable=False))
        return PreFilterResult(state=state) if state.bound or state.waiting else SKIP

    def filter(self, state: ClaimState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        reasons: list[str] = []
        if not all(reachable_from(volume, node) for volume in state.bound):
            reasons.append("node(s) didn't match PersistentVolume's node affinity")
        if state.waiting and self._volumes.decide(state.waiting, node) is None:
            reasons.append("node(s) didn't find available persistent volumes to bind")
        return Rejection(self.name, tuple(reasons), resolvable=False) if reasons else None

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return event.kind is EventKind.VOLUME_CHANGE or event.kind in NODE_EVENTS

    def decide(self, pod: PodInfo, node: NodeInfo) -> VolumeDecision | None:
        """What has to be written for this pod on this node; None if nothing."""
        state = self._claim_state(pod)
        if isinstance(state, str) or not state.waiting:
            return None
        return self._volumes.decide(state.waiting, node)

    def _claim_state(self, pod: PodInfo) -> ClaimState | str:
        """The state, or the reason why the pod cannot go anywhere."""
        bound: list[Object] = []
        waiting: list[Object] = []
        immediate = False
        for use in claims_of(pod):
            claim = self._volumes.claim(pod.namespace, use.name)
            if claim is None and use.generated:
                return (
                    "waiting for ephemeral volume controller to create the "
                    f'persistentvolumeclaim "{use.name}"'
                )
            if claim is None:
                return f'persistentvolumeclaim "{use.name}" not found'
            if is_deleting(claim):
                return f'persistentvolumeclaim "{use.name}" is being deleted'
            if is_bound(claim):
                volume = self._volumes.volume(claim["spec"]["volumeName"])
                if volume is None:
                    name = claim["spec"]["volumeName"]
                    return (
                        f'persistentvolumeclaim "{use.name}" bound to non-existent '
                        f'persistentvolume "{name}"'
                    )
                bound.append(volume)
            elif self._volumes.waits_for_consumer(claim) and not claim["spec"].get("volumeName"):
                waiting.append(claim)
            else:
                immediate = True
        if immediate:
            return "pod has unbound immediate PersistentVolumeClaims"
        return ClaimState(tuple(bound), waiting)
