"""Leader election against a Lease kept as a server would, with real but short times."""

import asyncio

import pytest

from kapi.api.errors import (
    resource_already_exists,
    resource_conflict,
    resource_not_found,
)
from kapi.client.leader_election import LeaderElection, LeaderElectionConfig, LeadershipLost


class Server:
    """One Lease with optimistic locking; can be cut off per holder."""

    def __init__(self):
        self.lease = None
        self.version = 0
        self.down = False
        self.writes = 0

    def _check(self):
        if self.down:
            raise ConnectionError("down")

    async def get(self, resource, namespace, name):
        self._check()
        await asyncio.sleep(0)
        if self.lease is None:
            raise resource_not_found("leases", "coordination.k8s.io", name)
        return self.lease

    async def create(self, resource, namespace, lease):
        self._check()
        if self.lease is not None:
            raise resource_already_exists("leases", "coordination.k8s.io", "x")
        return self._store(lease)

    async def update(self, resource, namespace, lease):
        self._check()
        await asyncio.sleep(0)
        if lease["metadata"]["resourceVersion"] != str(self.version):
            raise resource_conflict("leases", "coordination.k8s.io", "x")
        return self._store(lease)

    def _store(self, lease):
        self.version += 1
        self.writes += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**lease, "metadata": metadata}
        return self.lease


def candidate(server, identity):
    config = LeaderElectionConfig(
        "kube-scheduler",
        identity,
        lease_duration=0.3,
        renew_deadline=0.2,
        retry_period=0.03,
    )
    return LeaderElection(server, config)


async def hold(started):
    started.set()
    await asyncio.Event().wait()


async def stop(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_leads_renews_and_hands_over_at_once_when_it_stops():
    server = Server()
    first, second = asyncio.Event(), asyncio.Event()
    one = asyncio.ensure_future(candidate(server, "one").run(lambda: hold(first)))
    async with asyncio.timeout(2):
        await first.wait()
    two = asyncio.ensure_future(candidate(server, "two").run(lambda: hold(second)))
    await asyncio.sleep(0.5)
    assert not second.is_set()
    assert server.lease["spec"]["holderIdentity"] == "one"
    assert server.writes > 5
    await stop(one)
    assert server.lease["spec"]["holderIdentity"] in ("", "two")
    async with asyncio.timeout(0.25):
        await second.wait()
    assert server.lease["spec"]["leaseTransitions"] == 1
    assert server.lease["spec"]["renewTime"].endswith("Z")
    await stop(two)


async def test_a_holder_that_died_is_replaced_after_the_lease_ran_out():
    server = Server()
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "leaseTransitions": 4}
    server._store({"metadata": {"name": "kube-scheduler"}, "spec": spec})
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    began = loop.time()
    task = asyncio.ensure_future(candidate(server, "next").run(lambda: hold(started)))
    async with asyncio.timeout(3):
        await started.wait()
    assert loop.time() - began >= 0.95
    assert server.lease["spec"]["leaseTransitions"] == 5
    await stop(task)


async def test_who_cannot_renew_stops_leading():
    server = Server()
    started, ended = asyncio.Event(), asyncio.Event()

    async def lead():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(candidate(server, "one").run(lead))
    await started.wait()
    server.down = True
    with pytest.raises(LeadershipLost):
        await task
    assert ended.is_set()


async def test_two_that_start_together_never_both_lead():
    server = Server()
    leading = 0
    most = 0

    async def lead():
        nonlocal leading, most
        leading += 1
        most = max(most, leading)
        try:
            await asyncio.sleep(0.05)
        finally:
            leading -= 1

    await asyncio.gather(*(candidate(server, f"c{n}").run(lead) for n in range(4)))
    assert most == 1
    assert server.lease["spec"]["leaseTransitions"] == 3


def test_durations_must_make_sense():
    config = LeaderElectionConfig("x", "y", lease_duration=1, renew_deadline=2)
    with pytest.raises(ValueError, match="lease_duration"):
        LeaderElection(Server(), config)
