"""Writes a pod's status to the API: newest wins, one request at a time.

Upstream: pkg/kubelet/status/status_manager.go syncPod.
"""

import asyncio
import logging
from typing import Any

from kapi import env
from kapi.api.errors import ApiError, Invalid, NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import PODS, STRATEGIC_MERGE_PATCH, Client
from kapi.kubelet.status import OWNED_CONDITIONS

_log = logging.getLogger(__name__)
_FIRST_DELAY, _LAST_DELAY = 0.2, 10.0
_OPTIONAL = ("reason", "message", "podIP", "initContainerStatuses", "ephemeralContainerStatuses")
_MERGED_BY_ADDRESS = ("podIPs", "hostIPs")


def status_patch(uid: str, status: Object, reported: Object) -> Object | None:
    """The strategic merge patch from what the API shows to `status`; None when they agree.

    The uid is a precondition. Conditions of others are never touched.
    """
    patch: dict[str, Any] = {}
    for name, value in status.items():
        if name == "conditions":
            changed = _changed_conditions(value, reported.get("conditions") or [])
            if changed:
                patch["conditions"] = changed
        elif reported.get(name) != value:
            if name in _MERGED_BY_ADDRESS and reported.get(name):
                value = [{"$patch": "replace"}, *value]
            patch[name] = value
    for name in (*_OPTIONAL, *_MERGED_BY_ADDRESS):
        if name in reported and name not in status:
            patch[name] = None
    gone = _gone_conditions(status, reported)
    if gone:
        patch["conditions"] = [*patch.get("conditions", ()), *gone]
    return {"metadata": {"uid": uid}, "status": patch} if patch else None


def _changed_conditions(wanted: list[Object], reported: list[Object]) -> list[Object]:
    before = {condition["type"]: condition for condition in reported}
    changed = []
    for condition in wanted:
        if condition["type"] not in OWNED_CONDITIONS and condition["type"] in before:
            continue
        old = before.get(condition["type"])
        fields = {name: value for name, value in condition.items() if value is not None}
        if old is None or {k: v for k, v in old.items() if v is not None} != fields:
            missing: Object = {k: None for k in ("reason", "message") if old and k in old}
            changed.append({**missing, **condition})
    return changed


def _gone_conditions(status: Object, reported: Object) -> list[Object]:
    kept = {condition["type"] for condition in status.get("conditions") or ()}
    return [
        {"$patch": "delete", "type": condition["type"]}
        for condition in reported.get("conditions") or ()
        if condition["type"] in OWNED_CONDITIONS and condition["type"] not in kept
    ]


class StatusSender:
    """For one pod. `reported` is the status as the API last showed it."""

    def __init__(self, client: Client, pod: Object) -> None:
        self._client = client
        self._namespace, self._name, self._uid = namespace_of(pod), name_of(pod), uid_of(pod)
        self.reported: Object = pod.get("status") or {}
        self._revision = _revision(pod)
        self._wanted: Object | None = None
        self._scope = env.TaskScope()
        self._sending: asyncio.Task[None] | None = None
        self.gone = False

    def observe(self, pod: Object) -> None:
        """The API's newest copy; one older than our own last write is ignored."""
        if _revision(pod) >= self._revision:
            self._revision = _revision(pod)
            self.reported = pod.get("status") or {}
            if self._wanted is not None:
                self._start()

    def send(self, status: Object) -> None:
        """Returns at once; the newest status gets there in the end."""
        self._wanted = status
        self._start()

    def _start(self) -> None:
        if self._sending is None and not self.gone and self._patch() is not None:
            name = f"status of {self._namespace}/{self._name}"
            self._sending = self._scope.spawn(self._run(), name)

    def _patch(self) -> Object | None:
        if self._wanted is None:
            return None
        return status_patch(self._uid, self._wanted, self.reported)

    async def flush(self) -> None:
        """Until the API shows what was sent last, keeps something else, or the pod is gone."""
        self._start()
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        try:
            while not self.gone and (patch := self._patch()) is not None:
                try:
                    answer = await self._client.patch(
                        PODS,
                        self._namespace,
                        self._name,
                        patch,
                        content_type=STRATEGIC_MERGE_PATCH,
                        subresource="status",
                    )
                except NotFound:
                    self.gone = True
                except (ApiError, ConnectionError, TimeoutError) as error:
                    if isinstance(error, Invalid) and _is_another_pod(error):
                        self.gone = True
                        continue
                    _log.warning("status of %s/%s: %s", self._namespace, self._name, error)
                    await env.sleep(delay * (1 + env.random().random()))
                    delay = min(delay * 2, _LAST_DELAY)
                else:
                    self._revision = max(self._revision, _revision(answer))
                    self.reported = answer.get("status") or {}
                    if self._patch() == patch:
                        # The server keeps something else than it was given: asking again would
                        # never end.
                        _log.warning(
                            "status of %s/%s was not stored as sent", self._namespace, self._name
                        )
                        return
        finally:
            self._sending = None

    async def close(self) -> None:
        await self._scope.close()


def _is_another_pod(error: Invalid) -> bool:
    """The patch names our pod's uid, and a pod of that name now has another one."""
    return any(cause.get("field") == "metadata.uid" for cause in error.details.get("causes", ()))


def _revision(pod: Object) -> int:
    text = str(pod["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
