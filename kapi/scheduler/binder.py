"""Everything the scheduler writes: bindings, conditions, nominations, preemptions, claims."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, condition_of, name_of, namespace_of
from kapi.client.client import (
    MERGE_PATCH,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STRATEGIC_MERGE_PATCH,
    Client,
)
from kapi.client.events import NORMAL, WARNING, EventRecorder
from kapi.scheduler.messages import event_note
from kapi.scheduler.pod_info import PodInfo
from kapi.scheduler.preemption import Candidate
from kapi.scheduler.volumes import BOUND_BY_CONTROLLER, SELECTED_NODE, VolumeDecision, is_bound

_log = logging.getLogger(__name__)

BIND_TIMEOUT = 600.0
_CLAIM_CHECK_SECONDS = 1.0


class VolumesNotBound(Exception):
    """The claims of a pod did not become bound in time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` is Unschedulable or SchedulerError.

    `nominated`: the node promised; empty takes a promise back; None leaves things as they are.
    """

    reason: str
    message: str
    nominated: str | None = None


class Writer:
    """`find_claim` reads the scheduler's copy of a claim (namespace, name)."""

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        scheduler_name: str,
        find_claim: Callable[[str, str], Object | None],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._scheduler_name = scheduler_name
        self._find_claim = find_claim

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises ApiError (gone, bound already, terminating) or ConnectionError."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        await self._client.create(
            PODS, pod.namespace, binding, name=pod.name, subresource="binding"
        )
        message = f"Successfully assigned {pod.key} to {node}"
        self._recorder.event(_with_kind(pod.pod), NORMAL, "Scheduled", message)

    async def bind_volumes(self, decision: VolumeDecision, node: str) -> None:
        """Write what was decided and wait until every claim is bound."""
        claims = [claim for claim, _ in decision.static] + list(decision.provisioned)
        for claim, volume in decision.static:
            await self._promise_volume(claim, volume)
        for claim in decision.provisioned:
            patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._client.patch(
                PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), patch
            )
        deadline = env.monotonic() + BIND_TIMEOUT
        while not all(self._is_bound(claim) for claim in claims):
            if env.monotonic() > deadline:
                raise VolumesNotBound("binding volumes: context deadline exceeded")
            # Upstream looks once a second too; a claim's progress is another controller's affair.
            await env.sleep(_CLAIM_CHECK_SECONDS)

    async def report_failure(self, pod: PodInfo, failure: Failure) -> None:
        """The condition, the nomination, and the event of a pod that found no node."""
        self._recorder.event(
            _with_kind(pod.pod), WARNING, "FailedScheduling", event_note(failure.message)
        )
        status = pod.pod.get("status") or {}
        patch: Object = {}
        old = condition_of(status.get("conditions"), "PodScheduled")
        if not _says(old, failure):
            patch["conditions"] = [_condition("PodScheduled", "False", failure, old, pod.pod)]
        if failure.nominated is not None:
            # A strategic merge patch removes a field with null.
            patch["nominatedNodeName"] = failure.nominated or None
        if patch:
            await self._patch_status(pod, patch)

    async def preempt(self, pod: PodInfo, candidate: Candidate, others: list[PodInfo]) -> None:
        """Remove the victims. `others` were promised the node and have to look elsewhere."""
        for other in others:
            await self._patch_status(other, {"nominatedNodeName": None})
        for victim in candidate.victims:
            await self._evict(pod, victim, candidate.node)

    async def _evict(self, pod: PodInfo, victim: PodInfo, node: str) -> None:
        if victim.terminating:
            return
        failure = Failure(
            "PreemptionByScheduler",
            f"{self._scheduler_name}: preempting to accommodate a higher priority pod",
        )
        conditions = (victim.pod.get("status") or {}).get("conditions")
        old = condition_of(conditions, "DisruptionTarget")
        condition = _condition("DisruptionTarget", "True", failure, old, victim.pod)
        try:
            await self._patch_status(victim, {"conditions": [condition]})
            await self._client.delete(
                PODS,
                victim.namespace,
                victim.name,
                options={
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": victim.uid},
                },
            )
        except NotFound:
            return
        message = f"Preempted by pod {pod.uid} on node {node}"
        self._recorder.event(_with_kind(victim.pod), NORMAL, "Preempted", message)

    async def _patch_status(self, pod: PodInfo, status: Object) -> None:
        """The uid in the patch keeps a later pod of the same name from being touched."""
        try:
            await self._client.patch(
                PODS,
                pod.namespace,
                pod.name,
                {"metadata": {"uid": pod.uid}, "status": status},
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
        except NotFound:
            _log.debug("pod %s is gone", pod.key)

    async def _promise_volume(self, claim: Object, volume: Object) -> None:
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": claim["metadata"]["uid"],
        }
        patch = {
            "metadata": {
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
                "resourceVersion": volume["metadata"]["resourceVersion"],
            },
            "spec": {"claimRef": reference},
        }
        await self._client.patch(
            PERSISTENT_VOLUMES, "", name_of(volume), patch, content_type=MERGE_PATCH
        )

    def _is_bound(self, claim: Object) -> bool:
        found = self._find_claim(namespace_of(claim), name_of(claim))
        if found is None:
            raise VolumesNotBound(
                f'binding volumes: persistentvolumeclaim "{name_of(claim)}" not found'
            )
        return is_bound(found)


def describe_error(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else str(error)


def _says(condition: Object | None, failure: Failure) -> bool:
    return condition is not None and (
        condition.get("status"),
        condition.get("reason"),
        condition.get("message"),
    ) == ("False", failure.reason, failure.message)


def _condition(kind: str, status: str, failure: Failure, old: Object | None, pod: Object) -> Object:
    moment = env.timestamp()
    if old is not None and old.get("status") == status:
        moment = old.get("lastTransitionTime") or moment
    condition = {
        "type": kind,
        "status": status,
        "reason": failure.reason,
        "message": failure.message,
        "lastProbeTime": None,
        "lastTransitionTime": moment,
    }
    generation = pod["metadata"].get("generation")
    return {**condition, "observedGeneration": generation} if generation else condition


def _with_kind(pod: Object) -> Object:
    """Items of a list come without their kind, which an event's reference needs."""
    return pod if pod.get("kind") else {"apiVersion": "v1", "kind": "Pod", **pod}
