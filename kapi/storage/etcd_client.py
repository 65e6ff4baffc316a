"""Calls to etcd v3: channels, deadlines, failover, and etcd's errors as storage errors.

The protocol messages and stubs come from aetcd. Its high-level client is not used: it gives watch
events one by one, which loses the batches, and has no TLS.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
from aetcd import rpc

from kapi import env
from kapi.storage.errors import Compacted, FutureRevision, StorageFull, StorageUnavailable

CALL_SECONDS = 5.0
"""Deadline of every call: a dead etcd becomes an error, not a hang."""

_CHANNEL_OPTIONS = (
    # Pages are bounded by a number of keys; a page of large objects may exceed gRPC's 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # In gRPC's core this is also how long one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A watch on a connection that silently died must end. etcd accepts pings every 5 s or slower.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """Files for https endpoints. An empty `cafile` means the system's authorities."""

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""

    def credentials(self) -> Any:
        def content(path: str) -> bytes | None:
            return env.read_bytes(path) if path else None

        return grpc.ssl_channel_credentials(
            content(self.cafile), content(self.keyfile), content(self.certfile)
        )


def translated(error: Any, revision: int = 0) -> Exception:
    """The storage error for a failed call (grpc.aio.AioRpcError) that asked for `revision`."""
    text = error.details() or ""
    if "has been compacted" in text:
        # etcd does not say here what the oldest revision is, only that it is a later one.
        return Compacted(revision, revision + 1)
    if "future revision" in text:
        return FutureRevision(revision, 0)
    if "database space exceeded" in text:
        return StorageFull(text)
    return StorageUnavailable(f"etcd: {error.code().name}: {text}")


class EtcdClient:
    """One channel per endpoint, one of them in use; the next one when it cannot be reached."""

    def __init__(self, endpoints: str, tls: EtcdTls) -> None:
        self._channels = [_channel(item.strip(), tls) for item in endpoints.split(",")]
        self._current = 0
        self._closed = False

    async def call(
        self,
        stub: type,
        method: str,
        request: Any,
        *,
        idempotent: bool = True,
        revision: int = 0,
    ) -> Any:
        """Make one call. Raises Compacted, FutureRevision, StorageFull, StorageUnavailable.

        A call that is not idempotent is tried once only: it may have happened although its answer
        was lost. Others are tried on every endpoint.
        """
        attempts = len(self._channels) if idempotent else 1
        for remaining in reversed(range(attempts)):
            channel = self.channel()
            try:
                return await getattr(stub(channel), method)(request, timeout=CALL_SECONDS)
            except rpc.AioRpcError as error:
                lost = error.code() in (
                    rpc.StatusCode.UNAVAILABLE,
                    rpc.StatusCode.DEADLINE_EXCEEDED,
                )
                if lost:
                    self.fail_over(channel)
                if not lost or not remaining:
                    raise translated(error, revision) from error
            except asyncio.CancelledError:
                self._raise_if_closed()
                raise
        raise AssertionError("the last attempt returns or raises")

    def channel(self) -> Any:
        """The channel in use. Raises StorageUnavailable after `close`."""
        if self._closed:
            raise StorageUnavailable("the store is closed")
        return self._channels[self._current]

    @contextmanager
    def watch_errors(self, revision: int) -> Iterator[None]:
        """Around the reads of a stream: errors as those of `call`, with failover."""
        channel = self.channel()
        try:
            yield
        except rpc.AioRpcError as error:
            self.fail_over(channel)
            raise translated(error, revision) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    def _raise_if_closed(self) -> None:
        """For handlers of CancelledError: grpc.aio raises that too when a channel is closed under
        a call, and then it is not this task that was cancelled. Raises StorageUnavailable."""
        task = asyncio.current_task()
        if self._closed and not (task and task.cancelling()):
            raise StorageUnavailable("the store is closed") from None

    def fail_over(self, channel: Any) -> None:
        """Use the next endpoint, unless another caller has already turned away from `channel`."""
        if channel is self._channels[self._current]:
            self._current = (self._current + 1) % len(self._channels)

    async def close(self) -> None:
        self._closed = True
        for channel in self._channels:
            await channel.close()


def _channel(endpoint: str, tls: EtcdTls) -> Any:
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    target = f"{host}:{parts.port or 2379}"
    make: dict[str, Callable[[], Any]] = {
        "http": lambda: rpc.insecure_channel(target, options=_CHANNEL_OPTIONS),
        "https": lambda: rpc.secure_channel(target, tls.credentials(), options=_CHANNEL_OPTIONS),
    }
    if parts.scheme not in make:
        raise ValueError(f"an etcd endpoint begins with http:// or https://, not {endpoint!r}")
    return make[parts.scheme]()
