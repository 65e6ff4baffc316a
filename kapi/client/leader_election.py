"""Leader election over a Lease, so that of several copies of a component one acts.

Follows client-go `tools/leaderelection`: the holder renews; others watch the clock, not the
holder's timestamps, so clocks need not agree.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from kapi import env
from kapi.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kapi.api.object import Object
from kapi.client.client import LEASES, Client
from kapi.client.events import NORMAL, EventRecorder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaderElectionConfig:
    """Durations in seconds; the defaults are upstream's. `identity` must differ per process."""

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class LeadershipLost(Exception):
    """The lease could not be renewed in time; the process should end and start afresh."""


class LeaderElection:
    """`run(lead)` waits until this identity holds the lease, then runs `lead` while it does."""

    def __init__(
        self,
        client: Client,
        config: LeaderElectionConfig,
        recorder: EventRecorder | None = None,
    ) -> None:
        if not config.lease_duration > config.renew_deadline > config.retry_period > 0:
            raise ValueError("need lease_duration > renew_deadline > retry_period > 0")
        self._client = client
        self._config = config
        self._recorder = recorder
        self._seen: Object | None = None
        self._seen_spec: dict[str, Any] = {}
        self._seen_at = 0.0

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Returns when `lead` does. Raises LeadershipLost after stopping `lead`.

        The lease is given back on the way out, so that another can take over at once.
        """
        await self._acquire()
        self._report("became leader")
        scope = env.TaskScope()
        leading = scope.spawn(lead(), f"leading as {self._config.name}")
        renewing = scope.spawn(self._renew_until_lost(), f"renewing {self._config.name}")
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not leading.done():
                raise LeadershipLost(f"lost lease {self._config.name}")
            leading.result()
        finally:
            await scope.close()
            self._report("stopped leading")
            await self._release()

    @property
    def holder(self) -> str:
        """Who held the lease when last looked at."""
        return str(self._seen_spec.get("holderIdentity") or "")

    async def _acquire(self) -> None:
        while not await self._attempt(self._try_to_hold):
            # Jitter keeps candidates from asking in step (client-go: factor 1.2).
            await env.sleep(self._config.retry_period * (1 + 1.2 * env.random().random()))
        _log.info("%s: %s leads", self._config.name, self._config.identity)

    async def _renew_until_lost(self) -> None:
        renewed = env.monotonic()
        while True:
            await env.sleep(self._config.retry_period)
            if await self._attempt(self._try_to_hold):
                renewed = env.monotonic()
            elif env.monotonic() - renewed > self._config.renew_deadline:
                _log.error("%s: lease not renewed in time", self._config.name)
                return

    async def _attempt(self, action: Callable[[], Awaitable[bool]]) -> bool:
        try:
            async with asyncio.timeout(self._config.renew_deadline):
                return await action()
        except (Conflict, AlreadyExists):
            return False
        except (ConnectionError, TimeoutError, ApiError) as error:
            _log.warning("%s: %s", self._config.name, error)
            return False

    async def _try_to_hold(self) -> bool:
        config = self._config
        try:
            lease = await self._client.get(LEASES, config.namespace, config.name)
        except NotFound:
            self._observe(await self._client.create(LEASES, config.namespace, self._new_lease()))
            return True
        self._observe(lease)
        spec = self._seen_spec
        mine = spec.get("holderIdentity") == config.identity
        if not mine and spec.get("holderIdentity"):
            duration = spec.get("leaseDurationSeconds") or config.lease_duration
            if env.monotonic() < self._seen_at + duration:
                return False
        self._observe(await self._client.update(LEASES, config.namespace, self._taken(lease, mine)))
        return True

    def _observe(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        if self._seen is None or spec != self._seen_spec:
            self._seen_at = env.monotonic()
        self._seen, self._seen_spec = lease, spec

    def _new_lease(self) -> Object:
        moment = env.micro_timestamp()
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._config.name, "namespace": self._config.namespace},
            "spec": {
                "holderIdentity": self._config.identity,
                "leaseDurationSeconds": int(self._config.lease_duration),
                "acquireTime": moment,
                "renewTime": moment,
                "leaseTransitions": 0,
            },
        }

    def _taken(self, lease: Object, mine: bool) -> Object:
        spec = dict(lease.get("spec") or {})
        moment = env.micro_timestamp()
        if not mine:
            spec["acquireTime"] = moment
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec["holderIdentity"] = self._config.identity
        spec["leaseDurationSeconds"] = int(self._config.lease_duration)
        spec["renewTime"] = moment
        return {**lease, "spec": spec}

    async def _release(self) -> None:
        lease = self._seen
        if lease is None or self.holder != self._config.identity:
            return
        spec = dict(self._seen_spec)
        spec.update(holderIdentity="", leaseDurationSeconds=1, renewTime=env.micro_timestamp())

        async def write() -> bool:
            self._observe(
                await self._client.update(LEASES, self._config.namespace, {**lease, "spec": spec})
            )
            return True

        # Runs also while being cancelled; a server that is gone must not hold us up.
        task = env.spawn(self._attempt(write), f"releasing {self._config.name}")
        await asyncio.wait({task}, timeout=self._config.retry_period)
        task.cancel()

    def _report(self, what: str) -> None:
        if self._recorder is None or self._seen is None:
            return
        lease = {**self._seen, "kind": LEASES.kind, "apiVersion": LEASES.api_version}
        message = f"{self._config.identity} {what}"
        self._recorder.event(lease, NORMAL, "LeaderElection", message)
