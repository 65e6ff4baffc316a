"""The etcd v3 backend: for clusters whose API servers do not share a disk.

etcd already is what `Store` describes, so this is a translation: compare-and-swap is a transaction
on the key's mod_revision, and a batch of a watch is one WatchResponse, which never splits a
revision. History is compacted every five minutes, as kube-apiserver does.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Self

from aetcd import rpc

from kapi import env
from kapi.storage.errors import (
    Compacted,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    RevisionConflict,
    StorageError,
    StorageUnavailable,
)
from kapi.storage.etcd_client import CALL_SECONDS, EtcdClient, EtcdTls
from kapi.storage.interface import Event, KeyValue, Progress, RangeResult
from kapi.storage.keys import prefix_end

COMPACTION_INTERVAL = 300.0
PAGE_LEN = 500
"""Keys per range call: bounds the size of one answer."""

_EVENT_SECONDS = 0.02
_PROGRESS_SECONDS = 0.1

# A member cut off from the cluster then ends its watches instead of going quiet.
_HAS_LEADER = (("hasleader", "true"),)


class _Followed:
    """One watch stream and how far it is known to be: etcd is asked when no event will tell."""

    def __init__(self, call: Any, progress: Progress | None, seen: int) -> None:
        self.call = call
        self.seen = seen
        self.closed = False
        self._progress = progress
        self._expected = 0
        self._asking = False

    def expect(self, revision: int) -> bool:
        """Somebody wants the stream to get there; True if `ask_for_progress` is needed for it."""
        self._expected = max(self._expected, revision)
        needed = self.seen < self._expected and not self._asking
        self._asking = self._asking or needed
        return needed

    async def ask_for_progress(self) -> None:
        """Ask until the stream is there; etcd does not answer while its watch is catching up."""
        request = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
        try:
            # The event is usually on its way already.
            await env.sleep(_EVENT_SECONDS)
            while self.seen < self._expected and not self.closed:
                await self.call.write(request)
                await env.sleep(_PROGRESS_SECONDS)
        except (rpc.AioRpcError, asyncio.InvalidStateError):
            # The stream has ended, which its reader is told too.
            return
        finally:
            self._asking = False

    def progressed(self, revision: int) -> None:
        """etcd's word that every event up to `revision` has been sent."""
        if revision > self.seen:
            self.seen = revision
            if self._progress is not None:
                self._progress(revision)


class EtcdStore:
    """A Store in an etcd cluster. Use `open`; the constructor does not connect."""

    def __init__(self, client: EtcdClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._tasks = env.TaskScope()
        self._followed: set[_Followed] = set()
        self._told = 0
        """The latest revision anybody was told: a stream that begins later must get there too."""

    @classmethod
    async def open(
        cls,
        endpoints: str,
        *,
        prefix: str = "",
        tls: EtcdTls | None = None,
        compaction_interval: float = COMPACTION_INTERVAL,
    ) -> Self:
        """Connect to `http[s]://host:port`, several separated by commas.

        `prefix` is put before every key, so that clusters can share an etcd. History is kept for
        one to two `compaction_interval`s (seconds; 0 leaves compaction to others).
        Raises StorageUnavailable when no endpoint answers.
        """
        store = cls(EtcdClient(endpoints, tls or EtcdTls()), prefix)
        try:
            await store.current_revision()
        except StorageError:
            await store.close()
            raise
        if compaction_interval:
            store._tasks.spawn(store._compact_forever(compaction_interval), "etcd compaction")
        return store

    async def create(self, key: str, value: bytes) -> int:
        answer = await self._swap(key, 0, self._put(key, value))
        if not answer.succeeded:
            raise KeyExists(key)
        return int(answer.header.revision)

    async def update(self, key: str, value: bytes, expected_revision: int) -> int:
        return await self._replace(key, expected_revision, self._put(key, value))

    async def delete(self, key: str, expected_revision: int) -> int:
        request = rpc.DeleteRangeRequest(key=self._key(key))
        operation = rpc.RequestOp(request_delete_range=request)
        return await self._replace(key, expected_revision, operation)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        answer = await self._range(rpc.RangeRequest(key=self._key(key), revision=revision))
        return self._item(answer.kvs[0]) if answer.kvs else None

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> RangeResult:
        first, end = self._key(max(prefix, start)) or b"\0", self._end(prefix)
        items: list[KeyValue] = []
        while True:
            wanted = min(limit - len(items), PAGE_LEN) if limit else PAGE_LEN
            request = rpc.RangeRequest(key=first, range_end=end, limit=wanted, revision=revision)
            answer = await self._range(request)
            # Every further page is read at the revision of the first.
            revision = revision or answer.header.revision
            items += map(self._item, answer.kvs)
            remaining = answer.count - len(answer.kvs)
            if not remaining or (limit and len(items) >= limit):
                return RangeResult(items, revision, remaining)
            first = answer.kvs[-1].key + b"\0"

    def watch(
        self, prefix: str, *, from_revision: int, progress: Progress | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Event]]]:
        return self._watch(prefix, max(from_revision, 1), progress)

    async def current_revision(self) -> int:
        """The revision of the whole etcd: others may write to it, outside of the prefix too."""
        request = rpc.RangeRequest(key=self._key("\0"), count_only=True)
        revision = int((await self._range(request)).header.revision)
        self._told = max(self._told, revision)
        for stream in self._followed:
            self._expect(stream)
        return revision

    def _expect(self, stream: _Followed) -> None:
        if stream.expect(self._told):
            self._tasks.spawn(stream.ask_for_progress(), "etcd watch progress")

    async def compact(self, revision: int) -> None:
        current = await self.current_revision()
        if revision > current:
            raise FutureRevision(revision, current)
        if revision <= 0:
            return
        request = rpc.CompactionRequest(revision=revision)
        try:
            await self._client.call(rpc.KVStub, "Compact", request, revision=revision)
        except Compacted:
            # Somebody else has already gone as far.
            return

    async def close(self) -> None:
        await self._tasks.close()
        await self._client.close()

    async def _range(self, request: Any) -> Any:
        call = self._client.call(rpc.KVStub, "Range", request, revision=request.revision)
        try:
            return await call
        except FutureRevision:
            raise FutureRevision(request.revision, await self.current_revision()) from None

    async def _replace(self, key: str, expected_revision: int, operation: Any) -> int:
        if expected_revision <= 0:
            # etcd would take 0 for "does not exist"; no write ever has such a revision.
            held = await self.get(key)
            raise self._refusal(key, expected_revision, held.revision if held else 0)
        answer = await self._swap(key, expected_revision, operation)
        if answer.succeeded:
            return int(answer.header.revision)
        found = answer.responses[0].response_range.kvs
        raise self._refusal(key, expected_revision, found[0].mod_revision if found else 0)

    def _refusal(self, key: str, expected: int, actual: int) -> StorageError:
        return RevisionConflict(key, expected, actual) if actual else KeyNotFound(key)

    async def _swap(self, key: str, mod_revision: int, operation: Any) -> Any:
        """Do the operation if the key is at `mod_revision` (0: does not exist)."""
        request = rpc.TxnRequest(
            compare=[
                rpc.Compare(
                    key=self._key(key),
                    target=rpc.Compare.MOD,
                    result=rpc.Compare.EQUAL,
                    mod_revision=mod_revision,
                )
            ],
            success=[operation],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=self._key(key)))],
        )
        return await self._client.call(rpc.KVStub, "Txn", request, idempotent=False)

    def _put(self, key: str, value: bytes) -> Any:
        return rpc.RequestOp(request_put=rpc.PutRequest(key=self._key(key), value=value))

    @asynccontextmanager
    async def _watch(
        self, prefix: str, from_revision: int, progress: Progress | None
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        call = rpc.WatchStub(self._client.channel()).Watch(metadata=_HAS_LEADER)
        stream = _Followed(call, progress, seen=from_revision - 1)
        try:
            with self._client.watch_errors(from_revision):
                await self._start_watch(call, prefix, from_revision)
            if progress is not None:
                self._followed.add(stream)
                self._expect(stream)
            async with aclosing(self._batches(stream, from_revision)) as batches:
                yield batches
        finally:
            self._followed.discard(stream)
            stream.closed = True
            call.cancel()

    async def _start_watch(self, call: Any, prefix: str, from_revision: int) -> None:
        create = rpc.WatchCreateRequest(
            key=self._key(prefix) or b"\0",
            range_end=self._end(prefix),
            start_revision=from_revision,
            prev_kv=True,
        )
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await call.write(rpc.WatchRequest(create_request=create))
                answer = await call.read()
        except TimeoutError:
            raise StorageUnavailable("etcd: no answer to a watch") from None
        if not answer or not answer.created or (answer.canceled and not answer.compact_revision):
            raise StorageUnavailable("etcd: the watch was refused")
        if answer.compact_revision:
            raise Compacted(from_revision, answer.compact_revision)
        # etcd tells a compacted revision only after it has said "created"; ask in another way.
        try:
            await self._range(
                rpc.RangeRequest(key=self._key("\0"), count_only=True, revision=from_revision)
            )
        except FutureRevision:
            return

    async def _batches(
        self, stream: "_Followed", from_revision: int
    ) -> AsyncGenerator[list[Event], None]:
        while True:
            with self._client.watch_errors(from_revision):
                answer = await stream.call.read()
            if not answer:
                raise StorageUnavailable("etcd: the watch ended")
            if answer.compact_revision:
                raise Compacted(from_revision, answer.compact_revision)
            if answer.canceled:
                raise StorageUnavailable(f"etcd: the watch was cancelled: {answer.cancel_reason}")
            if answer.events:
                batch = [self._event(event) for event in answer.events]
                stream.seen = batch[-1].revision
                yield batch
            else:
                stream.progressed(int(answer.header.revision))

    def _event(self, event: Any) -> Event:
        kv, previous = event.kv, event.prev_kv
        is_delete = event.type == rpc.Event.DELETE
        is_create = not is_delete and kv.create_revision == kv.mod_revision
        if not is_create and not previous.mod_revision:
            # Happens only at the very revision that history was compacted to.
            raise Compacted(kv.mod_revision, kv.mod_revision + 1)
        before = None if is_create else previous.value
        return Event(self._name(kv.key), kv.value, before, kv.mod_revision, is_delete)

    async def _compact_forever(self, interval: float) -> None:
        """Forget what was history already at the last look."""
        last = 0
        while True:
            try:
                if last:
                    await self.compact(last)
                last = await self.current_revision()
            except StorageError:
                # Whoever writes next reports that etcd cannot be reached; this can wait.
                pass
            await env.sleep(interval)

    def _key(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _name(self, key: bytes) -> str:
        """The key as a text; other programs' may be none, which must not end a watch."""
        return key.decode("utf-8", "replace")[len(self._prefix) :]

    def _end(self, prefix: str) -> bytes:
        """The end of the prefix's range; a zero byte is etcd's word for "no end"."""
        return (prefix_end(self._prefix + prefix) or "\0").encode()

    def _item(self, kv: Any) -> KeyValue:
        return KeyValue(self._name(kv.key), kv.value, kv.mod_revision, kv.create_revision)
