"""The endpoints of the Service `kubernetes`: every API server that is alive, and no other.

One server writes its own address. Servers that share a store each keep a Lease in kube-system, and
whoever renews its own also writes the addresses of all whose leases hold. Upstream does the same
with keys that expire (`pkg/controlplane/reconcilers/lease.go`); its Leases for the identity of API
servers have the same name and label as these.
"""

import hashlib
import ipaddress
import logging
from collections.abc import Iterable

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, labels_of, metadata, name_of, namespace_of
from kapi.registry.options import DeleteOptions
from kapi.registry.store import GenericStore
from kapi.server.bootstrap import ensure, internal_context
from kapi.server.call import Api
from kapi.server.decoding import apply_defaults, private_copy
from kapi.storage.errors import StorageError

_log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
LEASE_SECONDS = 30
_IDENTITY = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
_LEASES = "leases.coordination.k8s.io"
_SLICES = "endpointslices.discovery.k8s.io"


class KubernetesEndpoints:
    """Keeps the endpoints while the server runs. `shared`: other servers may use the store."""

    def __init__(self, api: Api, *, shared: bool) -> None:
        self._api, self._shared = api, shared
        config = api.config
        self._own = (config.advertise_address, config.advertise_port)
        digest = hashlib.sha256(f"{self._own[0]}:{self._own[1]}".encode()).hexdigest()
        self._lease_name = f"apiserver-{digest[:26]}"
        self._tasks = env.TaskScope()

    async def start(self) -> None:
        """Write the endpoints now, and keep them if the store is shared."""
        if ipaddress.ip_address(self._own[0]).is_loopback:
            # Endpoints may not be loopback addresses: no pod could reach this server so.
            _log.warning(
                "the Service kubernetes has no endpoint: %s is a loopback address", self._own[0]
            )
            return
        await self._round()
        if self._shared:
            self._tasks.spawn(self._keep(), "endpoints of the Service kubernetes")

    async def stop(self) -> None:
        """Take this server out, so that nobody is sent to it."""
        await self._tasks.close()
        if not self._shared or ipaddress.ip_address(self._own[0]).is_loopback:
            return
        try:
            leases = self._api.store_of(_LEASES)
            await leases.delete(internal_context("kube-system"), self._lease_name, DeleteOptions())
            await self._write(self._alive())
        except (errors.ApiError, StorageError) as error:
            _log.info("the endpoint of this server is left to its lease: %s", error)

    async def _keep(self) -> None:
        while True:
            await env.sleep(RENEW_SECONDS)
            try:
                await self._round()
            except (errors.ApiError, StorageError) as error:
                _log.warning("the endpoints of the Service kubernetes are not kept: %s", error)

    async def _round(self) -> None:
        if not self._shared:
            await self._write([self._own])
            return
        await self._renew()
        await self._write(self._alive())

    async def _renew(self) -> None:
        leases = self._api.store_of(_LEASES)
        spec = {
            "holderIdentity": f"{self._own[0]}:{self._own[1]}",
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": env.micro_timestamp(),
        }
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._lease_name,
                "namespace": "kube-system",
                "labels": dict(_IDENTITY),
            },
            "spec": spec,
        }
        if await ensure(leases, lease):
            return

        async def build(old: Object) -> Object:
            old["spec"] = {**old.get("spec", {}), **spec}
            return old

        await leases.update(internal_context("kube-system"), self._lease_name, build)

    def _alive(self) -> list[tuple[str, int]]:
        return alive(self._api.lookup.list(_LEASES, "kube-system"), env.now().timestamp())

    async def _write(self, servers: list[tuple[str, int]]) -> None:
        await _ensure_same(self._api.store_of("endpoints"), endpoints_of(servers))
        await _ensure_same(self._api.store_of(_SLICES), slice_of(servers))


def alive(leases: Iterable[Object], now: float) -> list[tuple[str, int]]:
    """Address and port of every API server whose lease holds at `now` (seconds since 1970)."""
    found = []
    for lease in leases:
        if not _IDENTITY.items() <= labels_of(lease).items():
            continue
        spec = lease.get("spec") or {}
        renewed, holder = spec.get("renewTime"), str(spec.get("holderIdentity") or "")
        address, _, port = holder.rpartition(":")
        if not renewed or not address or not port.isdigit():
            continue
        if env.parse_time(renewed).timestamp() + int(spec["leaseDurationSeconds"]) >= now:
            found.append((address, int(port)))
    return sorted(found)


def endpoints_of(servers: Iterable[tuple[str, int]]) -> Object:
    """The Endpoints object: one subset for each port."""
    by_port: dict[int, list[Object]] = {}
    for address, port in servers:
        by_port.setdefault(port, []).append({"ip": address})
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": addresses,
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
            for port, addresses in sorted(by_port.items())
        ],
    }


def slice_of(servers: Iterable[tuple[str, int]]) -> Object:
    """The EndpointSlice. A slice has one port, so servers on other ports than the first are left
    out of it, as upstream's are."""
    found = list(servers)
    port = found[0][1] if found else 0
    addresses = [address for address, number in found if number == port]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}} for address in addresses
        ],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}] if found else [],
    }


async def _ensure_same(store: GenericStore, wanted: Object) -> None:
    """Create the object, or bring everything but its metadata to what is wanted."""
    if await ensure(store, private_copy(wanted)):
        return

    async def build(old: Object) -> Object:
        new = private_copy(wanted)
        metadata(new).update(metadata(old))
        apply_defaults(new, store.resource.kind_schema(), store.resource.strategy)
        return new

    await store.update(internal_context(namespace_of(wanted)), name_of(wanted), build)
