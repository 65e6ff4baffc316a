"""Mirrors Endpoints that people write for services without a selector into slices.

Source: upstream `pkg/controller/endpointslicemirroring`.
"""

from kapi.api.errors import ApiError
from kapi.api.object import Object, annotations_of, is_deleting, labels_of, name_of
from kapi.client.client import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.backends import LAST_CHANGE
from kapi.controllers.context import ControllerContext
from kapi.controllers.endpointslice.controller import by_service
from kapi.controllers.endpointslice.plan import (
    MANAGED_BY,
    SERVICE_NAME,
    Frame,
    Groups,
    SlicePlan,
    managed_by,
    plan_family,
    ports_key,
)
from kapi.controllers.endpointslice.writer import SliceWriter
from kapi.controllers.ownership import namespace_terminating

NAME = "endpointslicemirroring-controller"
MANAGER = "endpointslicemirroring-controller.k8s.io"
_MAX_ADDRESSES = 1000
_OPTIONS = LoopOptions(workers=5, max_retries=15, base_delay=1.0, pace=0.05)
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration", LAST_CHANGE})


def should_mirror(endpoints: Object | None, service: Object | None) -> bool:
    """Only what no controller fills, and nobody asked to leave alone."""
    if endpoints is None or service is None or is_deleting(endpoints):
        return False
    return (
        service["spec"].get("selector") is None
        and labels_of(endpoints).get(_SKIP) != "true"
        and _LEADER not in annotations_of(endpoints)
    )


def plan_mirror(endpoints: Object, existing: list[Object]) -> SlicePlan:
    """The slices that say what `endpoints` says. Pure."""
    labels = {k: v for k, v in labels_of(endpoints).items() if k not in (SERVICE_NAME, MANAGED_BY)}
    labels[SERVICE_NAME] = name_of(endpoints)
    labels[MANAGED_BY] = MANAGER
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in _NOT_COPIED}
    own = frozenset(key for slice_ in existing for key in annotations_of(slice_)) - _NOT_COPIED
    frame = Frame(endpoints, labels, annotations, own, placeholder=False)
    result = SlicePlan()
    for family in ("IPv4", "IPv6"):
        plan_family(frame, family, _groups(endpoints, family), existing, result)
    return result


def _groups(endpoints: Object, family: str) -> Groups:
    groups: Groups = {}
    for subset in endpoints.get("subsets") or ():
        ports = list(subset.get("ports") or ())
        _, into = groups.setdefault(ports_key(ports), (ports, []))
        known = {endpoint["addresses"][0] for endpoint in into}
        addresses = [(a, True) for a in subset.get("addresses") or ()]
        addresses += [(a, False) for a in subset.get("notReadyAddresses") or ()]
        for address, ready in addresses[:_MAX_ADDRESSES]:
            ip = address["ip"]
            if (":" in ip) == (family == "IPv6") and ip not in known:
                known.add(ip)
                into.append(_endpoint(address, ready))
    return {key: group for key, group in groups.items() if group[1]}


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


class EndpointSliceMirroringController:
    """Keys are Endpoints, which are those of their services."""

    def __init__(self, context: ControllerContext) -> None:
        self._loop = ReconcileLoop(NAME, self.reconcile, _OPTIONS)
        self._services = context.informers.get(SERVICES)
        self._endpoints = context.informers.get(ENDPOINTS)
        self._slices = context.informers.get(ENDPOINT_SLICES)
        self._slices.add_index("service", by_service)
        self._writer = SliceWriter(context.client, self._slices)
        self._is_mine = managed_by(MANAGER)
        for informer in (self._services, self._endpoints):
            informer.add_handler(self._seen, lambda _, new: self._seen(new), self._seen)
        self._slices.add_handler(self._slice, lambda _, new: self._slice(new), self._slice)

    def _seen(self, obj: Object) -> None:
        self._loop.queue.add(key_of(obj))

    def _slice(self, slice_: Object) -> None:
        if self._is_mine(slice_):
            for key in by_service(slice_):
                self._loop.queue.add(key)

    async def run(self) -> None:
        for informer in (self._services, self._endpoints, self._slices):
            await informer.wait_synced()
        await self._loop.run()

    async def reconcile(self, key: str) -> float | None:
        endpoints = self._endpoints.get(key)
        existing = [s for s in self._slices.by_index("service", key) if self._is_mine(s)]
        if self._writer.is_behind(key):
            return None
        if endpoints is None or not should_mirror(endpoints, self._services.get(key)):
            await self._writer.carry_out(key, SlicePlan(delete=existing))
            self._writer.forget(key)
            return None
        try:
            await self._writer.carry_out(key, plan_mirror(endpoints, existing))
        except ApiError as error:
            if not namespace_terminating(error):
                raise
        return None
