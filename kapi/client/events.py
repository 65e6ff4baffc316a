"""Records Events about objects: folded together, rate limited, never in the caller's way.

Follows client-go `tools/record`: an identical event raises the count of the first; many that
differ only in their message become one; one noisy object cannot flood the cluster. What cannot
be written is dropped and counted: events are a courtesy, not a log.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kapi import env
from kapi.api.errors import ApiError, NotFound
from kapi.api.object import Object, name_of, namespace_of, uid_of
from kapi.client.client import EVENTS, STRATEGIC_MERGE_PATCH, Client

_log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"

# client-go tools/record/events_cache.go.
_AGGREGATE_AFTER = 10
_AGGREGATE_SECONDS = 600.0
_SPAM_BURST = 25
_SPAM_REFILL_SECONDS = 300.0
_CACHE_ENTRIES = 4096
_AGGREGATE_PREFIX = "(combined from similar events): "
_MAX_PENDING = 1000
_ATTEMPTS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Similar:
    messages: dict[str, None] = field(default_factory=dict)
    last: float = 0.0


@dataclass(slots=True)
class _Written:
    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Bucket:
    tokens: float
    since: float


class _Recent(OrderedDict):  # type: ignore[type-arg]
    """The newest entries only."""

    def remember(self, key: object, value: object) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _CACHE_ENTRIES:
            self.popitem(last=False)


def object_reference(obj: Object) -> dict[str, str]:
    """The involvedObject of an event; empty fields are left out."""
    reference = {
        "kind": obj.get("kind", ""),
        "namespace": namespace_of(obj),
        "name": name_of(obj),
        "uid": uid_of(obj),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": obj.get("metadata", {}).get("resourceVersion", ""),
    }
    return {key: value for key, value in reference.items() if value}


class EventRecorder:
    """`event` returns at once; writing happens in a task that ends when nothing is left.

    `component` (and `host`, for node agents) become the event's source.
    """

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self.dropped = 0
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._pending: deque[Object] = deque()
        self._tasks = env.TaskScope()
        self._writing: asyncio.Task[None] | None = None
        self._similar = _Recent()
        self._written = _Recent()
        self._buckets = _Recent()
        self._last_nanoseconds = 0

    def event(self, obj: Object, kind: str, reason: str, message: str) -> None:
        """About `obj` (anything with kind, apiVersion and metadata); `kind` Normal or Warning."""
        self.event_for(object_reference(obj), kind, reason, message)

    def event_for(
        self,
        reference: Mapping[str, str],
        kind: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """About a ready-made reference (a container of a pod carries a fieldPath)."""
        if len(self._pending) >= _MAX_PENDING:
            self.dropped += 1
            return
        moment = env.timestamp()
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": self._name(reference["name"]),
                "namespace": reference.get("namespace") or "default",
                **({"annotations": dict(annotations)} if annotations else {}),
            },
            "involvedObject": dict(reference),
            "reason": reason,
            "message": message[:1024],
            "source": dict(self._source),
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        self._pending.append(event)
        if self._writing is None:
            name = f"events of {self._source['component']}"
            self._writing = self._tasks.spawn(self._write_all(), name)

    async def flush(self) -> None:
        """Until everything recorded so far is written or dropped."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def close(self) -> None:
        await self._tasks.close()

    def _name(self, about: str) -> str:
        elapsed = env.now() - _EPOCH
        nanoseconds = elapsed // timedelta(microseconds=1) * 1000 + env.random().randrange(1000)
        # Under a clock that stands still, two events must still differ.
        self._last_nanoseconds = max(nanoseconds, self._last_nanoseconds + 1)
        return f"{about}.{self._last_nanoseconds:x}"

    async def _write_all(self) -> None:
        try:
            while self._pending:
                await self._write(self._pending.popleft())
        finally:
            self._writing = None

    async def _write(self, event: Object) -> None:
        event, key = self._aggregated(event)
        if not self._admitted(event):
            self.dropped += 1
            return
        for attempt in range(_ATTEMPTS):
            try:
                await self._send(event, key)
                return
            except ConnectionError:
                await env.sleep(0.5 * 2**attempt * (1 + env.random().random()))
            except ApiError as error:
                _log.debug("event on %s not written: %s", event["involvedObject"], error)
                break
        self.dropped += 1

    async def _send(self, event: Object, key: tuple[str, ...]) -> None:
        namespace = event["metadata"]["namespace"]
        before: _Written | None = self._written.get(key)
        if before is not None:
            patch = {
                "count": before.count + 1,
                "lastTimestamp": event["lastTimestamp"],
                "message": event["message"],
            }
            try:
                await self._client.patch(
                    EVENTS, namespace, before.name, patch, content_type=STRATEGIC_MERGE_PATCH
                )
            except NotFound:
                # Expired on the server: begin a new one.
                pass
            else:
                before.count += 1
                self._written.move_to_end(key)
                return
        await self._client.create(EVENTS, namespace, event)
        written = _Written(event["metadata"]["name"], 1, event["firstTimestamp"])
        self._written.remember(key, written)

    def _aggregated(self, event: Object) -> tuple[Object, tuple[str, ...]]:
        """The event, or the one that stands for many alike; and the identity to count it by."""
        about = event["involvedObject"]
        group = (
            *(about.get(name, "") for name in ("kind", "namespace", "name", "uid", "apiVersion")),
            about.get("fieldPath", ""),
            event["type"],
            event["reason"],
        )
        similar: _Similar = self._similar.get(group) or _Similar()
        now = env.monotonic()
        if now - similar.last > _AGGREGATE_SECONDS:
            similar.messages.clear()
        similar.last = now
        similar.messages[event["message"]] = None
        self._similar.remember(group, similar)
        if len(similar.messages) < _AGGREGATE_AFTER:
            return event, (*group, event["message"])
        # Only the number of different messages matters: keep no more than that.
        similar.messages.pop(next(iter(similar.messages)))
        return {**event, "message": _AGGREGATE_PREFIX + event["message"]}, group

    def _admitted(self, event: Object) -> bool:
        """The spam filter: a bucket of 25 per object, one more every five minutes."""
        about = event["involvedObject"]
        key = (about.get("kind"), about.get("namespace"), about.get("name"), about.get("uid"))
        now = env.monotonic()
        bucket: _Bucket = self._buckets.get(key) or _Bucket(_SPAM_BURST, now)
        refill = (now - bucket.since) / _SPAM_REFILL_SECONDS
        bucket.tokens = min(_SPAM_BURST, bucket.tokens + refill)
        bucket.since = now
        self._buckets.remember(key, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
