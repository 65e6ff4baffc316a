"""WATCH: events from the cache as JSON lines, each encoded once for all watchers.

Sources: k8s.io/apiserver `pkg/endpoints/handlers/watch.go`, `pkg/storage/cacher`, and KEP-3157
(sendInitialEvents) for the initial bookmark.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import Object
from kapi.registry.errors import to_api_error
from kapi.server.call import Call
from kapi.server.exchange import Exchange, int_param
from kapi.server.negotiation import JSON, PROTOBUF, YAML, Accepted, not_acceptable
from kapi.server.printing import column_definition, partial_metadata, table_row
from kapi.server.selection import Selection, selection_of
from kapi.server.verbs.get import check_resource_version
from kapi.storage.cached import CachedObject, CacheEvent
from kapi.storage.errors import Compacted, StorageError
from kapi.storage.watcher import Watcher
from openapi.protobuf_encode import encode_watch_frame

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_DEFAULT_MINIMUM_SECONDS = 1800
_FLUSH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """The parameters of a watch, checked."""

    version: str
    bookmarks: bool
    initial_events: bool | None
    timeout_seconds: float


def watch_query(exchange: Exchange) -> WatchQuery:
    """Read and check. Raises Invalid and BadRequest as upstream."""
    version = exchange.param("resourceVersion")
    match = exchange.param("resourceVersionMatch")
    asked = "sendInitialEvents" in exchange.query
    initial = exchange.flag("sendInitialEvents") if asked else None
    bookmarks = exchange.flag("allowWatchBookmarks")
    problems = []
    if exchange.param("continue") and initial is None and not match and version in ("", "0"):
        # Such a watch begins with the present state, as if it had asked for NotOlderThan.
        problems.append(
            errors.forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            )
        )
    if initial is not None and match != "NotOlderThan":
        problems.append(
            errors.forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        )
        if match:
            problems.append(errors.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
    if match and initial is None:
        problems.append(
            errors.forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
        if match != "NotOlderThan":
            problems.append(errors.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
    if problems:
        raise errors.object_invalid("ListOptions", "meta.k8s.io", "", problems)
    check_resource_version(version)
    return WatchQuery(version, bookmarks, initial, _timeout(exchange))


def _timeout(exchange: Exchange) -> float:
    text = exchange.param("timeoutSeconds")
    if text:
        seconds = int_param(exchange, "timeoutSeconds")
        if seconds > 0:
            return float(seconds)
    return _DEFAULT_MINIMUM_SECONDS * (1 + env.random().random())


@dataclass(slots=True)
class EventWriter:
    """Turns cache events into the lines of one watcher's form."""

    call: Call
    form: Accepted
    include: str
    selection: Selection
    columns_sent: bool = field(default=False)

    def line(self, event: CacheEvent) -> bytes | None:
        """The line this watcher sees for a change, or None."""
        kind, entry, changed_state = self._seen_as(event)
        if not kind:
            return None
        if self.form.as_kind == "Table" or changed_state:
            return self._encoded(kind, entry)
        row = self.call.resource
        key = f"{kind} {self.form.media_type} {self.form.as_kind} {row.group} {row.version}"
        line = event.wire.get(key)
        if line is None:
            line = event.wire[key] = self._encoded(kind, entry)
        return line

    def _seen_as(self, event: CacheEvent) -> tuple[str, CachedObject, bool]:
        """Type and object of the event under the selection; the flag marks a replaced object."""
        entry, previous = event.entry, event.previous
        if event.type == "DELETED":
            return ("DELETED" if self.selection.matches(entry) else ""), entry, False
        now = self.selection.matches(entry)
        before = previous is not None and self.selection.matches(previous)
        if now:
            return ("MODIFIED" if before else "ADDED"), entry, False
        if before:
            assert previous is not None
            return "DELETED", event.departed(), True
        return "", entry, False

    def initial(self, entry: CachedObject) -> bytes:
        return self._encoded("ADDED", entry)

    def _encoded(self, kind: str, entry: CachedObject) -> bytes:
        store = self.call.store
        if self.form.is_plain_json:
            data = store.external_bytes(entry)
            return b'{"type":"%b","object":%b}\n' % (kind.encode(), data)
        obj = store.to_external(entry.data)
        return self._wrapped(kind, self._converted(obj))

    def _wrapped(self, kind: str, obj: Object) -> bytes:
        if self.form.media_type == PROTOBUF:
            return encode_watch_frame(kind, obj)
        return orjson.dumps({"type": kind, "object": obj}) + b"\n"

    def _converted(self, obj: Object) -> Object:
        if self.form.as_kind == "Table":
            version = self.form.as_version
            row = table_row(self.call.strategy, obj, self.include, env.now(), version)
            return self._table([row], obj)
        if not self.form.as_kind:
            return obj
        return partial_metadata(obj, self.form.as_version)

    def _table(self, rows: list[Object], obj: Object) -> Object:
        """Column definitions go with the first table of the stream only."""
        definitions = None
        if not self.columns_sent:
            definitions = [column_definition(column) for column in self.call.strategy.columns]
            self.columns_sent = True
        version = obj.get("metadata", {}).get("resourceVersion", "")
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.form.as_version}",
            "metadata": {"resourceVersion": version},
            "columnDefinitions": definitions,
            "rows": rows,
        }

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {_INITIAL_EVENTS_END: "true"}
        resource = self.call.resource
        obj: Object = {
            "kind": resource.kind,
            "apiVersion": resource.gvk.api_version,
            "metadata": meta,
        }
        if self.form.as_kind == "Table":
            obj = self._table(
                [{"cells": None, "object": partial_metadata(obj, self.form.as_version)}], obj
            )
        elif self.form.as_kind:
            obj = partial_metadata(obj, self.form.as_version)
        return self._wrapped("BOOKMARK", obj)

    def error(self, error: errors.ApiError) -> bytes:
        return self._wrapped("ERROR", error.status())


def _watch_form(call: Call) -> Accepted:
    form = call.form()
    if form.media_type == PROTOBUF and form.as_kind == "Table":
        raise not_acceptable()
    if form.media_type == YAML or form.as_kind == "PartialObjectMetadataList":
        raise errors.PlainNotAcceptable(
            "only the following media types are accepted: application/json;stream=watch, "
            "application/vnd.kubernetes.protobuf;stream=watch"
        )
    return form


def _stream_type(form: Accepted) -> str:
    return f"{PROTOBUF};stream=watch" if form.media_type == PROTOBUF else JSON


async def watch(call: Call) -> None:
    exchange = call.exchange
    form = _watch_form(call)
    include = call.include() if form.as_kind == "Table" else ""
    query = watch_query(exchange)
    selection = selection_of(exchange, call.resource).named(exchange)
    writer = EventWriter(call, form, include, selection)
    resource = call.resource
    prefix = f"{resource.prefix}{call.namespace}/" if call.namespace else resource.prefix
    initial: list[CachedObject] | None = None
    try:
        watcher, initial = await _open(call, prefix, query)
    except Compacted as error:
        # As upstream: the stream opens and its only event is the error.
        await exchange.start(200, _stream_type(form))
        expired = to_api_error(error, resource, "")
        await exchange.send({"type": "http.response.body", "body": writer.error(expired)})
        return
    except StorageError as error:
        raise to_api_error(error, resource, "") from error
    stream = WatchStream(exchange, watcher, writer, query, call.api.config.watch_bookmark_seconds)
    try:
        no_store = (b"cache-control", b"no-cache, private")
        await exchange.start(200, _stream_type(form), [no_store])
        await stream.run(initial)
    finally:
        watcher.close()


async def _open(
    call: Call, prefix: str, query: WatchQuery
) -> tuple[Watcher, list[CachedObject] | None]:
    """The watcher, and the present objects if the stream begins with them."""
    cache = call.store.backing.cache
    wanted = int(query.version or 0)
    with_state = query.initial_events or (query.initial_events is None and wanted == 0)
    if query.initial_events or query.version == "":
        await call.store.fresh()
    if wanted > cache.revision:
        await cache.wait_for(wanted, 3.0)
    if with_state:
        watcher = cache.watch(prefix, None)
        return watcher, cache.list(prefix)
    since = wanted if wanted else None
    return cache.watch(prefix, since), None


class WatchStream:
    """Sends what one watcher sees until its time is up or its client leaves."""

    def __init__(
        self,
        exchange: Exchange,
        watcher: Watcher,
        writer: EventWriter,
        query: WatchQuery,
        bookmark_seconds: float,
    ) -> None:
        self.exchange, self.watcher, self.writer, self.query = exchange, watcher, writer, query
        self.bookmark_seconds = bookmark_seconds
        self._start_revision = watcher.revision

    async def run(self, initial: Iterable[CachedObject] | None) -> None:
        leaving = env.spawn(self._client_left(), "watch-client")
        sending = env.spawn(self._send_all(initial), "watch-sender")
        tasks: list[asyncio.Task[Any]] = [leaving, sending]
        retired = self.writer.call.resource.retired
        if retired is not None:
            tasks.append(env.spawn(retired.wait(), "watch-retired"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            unfinished = not sending.done() and not leaving.done()
            if sending.done() and not sending.cancelled():
                sending.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if unfinished:
            # The kind's definition changed: the client comes back and sees it as it is now.
            await self.exchange.send({"type": "http.response.body", "body": b""})

    async def _client_left(self) -> None:
        while (await self.exchange.receive())["type"] != "http.disconnect":
            pass

    async def _send_all(self, initial: Iterable[CachedObject] | None) -> None:
        try:
            await self._state(initial)
            await self._changes()
        except StorageError as error:
            failure = to_api_error(error, self.writer.call.resource, "")
            await self._send(self.writer.error(failure))
        except ConnectionError:
            return
        await self.exchange.send({"type": "http.response.body", "body": b""})

    async def _send(self, data: bytes) -> None:
        await self.exchange.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _state(self, initial: Iterable[CachedObject] | None) -> None:
        """The present objects, and the bookmark that ends them if it was asked for."""
        if initial is None:
            await self._send(b"")
            return
        lines: list[bytes] = []
        size = 0
        for entry in initial:
            if not self.writer.selection.matches(entry):
                continue
            line = self.writer.initial(entry)
            lines.append(line)
            size += len(line)
            if size > _FLUSH_BYTES:
                await self._send(b"".join(lines))
                lines, size = [], 0
        if self.query.initial_events and self.query.bookmarks:
            revision = self._start_revision
            lines.append(self.writer.bookmark(revision, initial_end=True))
        await self._send(b"".join(lines))

    async def _changes(self) -> None:
        deadline = env.monotonic() + self.query.timeout_seconds
        while True:
            left = deadline - env.monotonic()
            if left <= 0:
                return
            events = await self.watcher.next(min(left, self.bookmark_seconds))
            if events:
                lines = [line for event in events if (line := self.writer.line(event))]
                if lines:
                    await self._send(b"".join(lines))
            elif self.query.bookmarks and env.monotonic() < deadline:
                await self._send(self.writer.bookmark(self.watcher.revision))
