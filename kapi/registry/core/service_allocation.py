"""What a write of a Service reserves and gives back.

Source: `allocateCreate`, `allocateUpdate` and `initIPFamilyFields` in k8s.io/kubernetes
`pkg/registry/core/service/storage/alloc.go`. The cluster has one IP family, that of the service
range.
"""

import ipaddress
from dataclasses import dataclass

from kapi.api.errors import FieldError, InternalError, invalid, object_invalid
from kapi.api.object import Object, name_of
from kapi.registry.core.service_allocator import (
    Band,
    Reservations,
    Unavailable,
    address_band,
    address_key,
    next_address,
    next_port,
    port_band,
    port_key,
    release,
    reservations,
    take_address,
    take_port,
)
from kapi.registry.core.service_types import (
    HEADLESS,
    is_headless,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_ports,
)
from kapi.registry.strategy import RequestContext
from kapi.storage.interface import Store


@dataclass(frozen=True, slots=True)
class ServiceRanges:
    """Where this cluster's Services get their addresses and ports."""

    family: str
    addresses: Band
    ports: Band

    @classmethod
    def of(cls, service_cidr: str, node_port_range: tuple[int, int]) -> "ServiceRanges":
        family = f"IPv{ipaddress.ip_network(service_cidr).version}"
        return cls(family, address_band(service_cidr), port_band(node_port_range))

    async def allocate(
        self, storage: Store, ctx: RequestContext, new: Object, old: Object | None
    ) -> Reservations:
        """Fill in and reserve what `new` needs and `old` did not have.

        Raises Invalid for values that cannot be had, InternalError when a range is exhausted.
        """
        spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
        wrong = self._choose_families(spec)
        if wrong:
            raise object_invalid("Service", "", name_of(new), wrong)
        taken = reservations(storage, ctx, new)
        try:
            await self._addresses(taken, spec, before)
            await self._node_ports(taken, spec, before)
            await self._health_check_port(taken, spec, before)
        except Unavailable as error:
            await taken.revert()
            raise InternalError(
                f"Internal error occurred: {error}", details={"causes": [{"message": str(error)}]}
            ) from error
        except _Refused as error:
            await taken.revert()
            raise object_invalid("Service", "", name_of(new), [error.problem]) from error
        except BaseException:
            await taken.revert()
            raise
        return taken

    def _choose_families(self, spec: Object) -> list[FieldError]:
        if spec.get("type") == "ExternalName":
            return []
        headless = is_headless(spec)
        if headless and not spec.get("selector"):
            self._choose_for_manual_headless(spec)
            return []
        addresses, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or ())
        wrong = _policy_errors(spec, addresses, families)
        if wrong:
            return wrong
        for index, address in enumerate([] if headless else addresses):
            family = f"IPv{ipaddress.ip_address(address).version}"
            if index < len(families):
                continue
            if family != self.family:
                text = f"{family} is not configured on this cluster"
                wrong.append(invalid(f"spec.clusterIPs[{index}]", addresses, text))
            else:
                families.append(family)
        for index, family in enumerate(families):
            if family != self.family:
                text = "not configured on this cluster"
                wrong.append(invalid(f"spec.ipFamilies[{index}]", family, text))
        if wrong:
            return wrong
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec["ipFamilies"] = families[:1] or [self.family]
        return []

    def _choose_for_manual_headless(self, spec: Object) -> None:
        """Endpoints written by hand may be of any family, so both are assumed."""
        families = list(spec.get("ipFamilies") or (self.family,))
        policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack")
        if policy != "SingleStack" and len(families) == 1:
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        spec["ipFamilies"] = families

    async def _addresses(self, taken: Reservations, spec: Object, before: Object) -> None:
        had, needs = needs_cluster_ip(before), needs_cluster_ip(spec)
        if had and not needs:
            taken.released += [
                address_key(item) for item in before.get("clusterIPs") or () if item != HEADLESS
            ]
        if had or not needs:
            return
        given = spec.get("clusterIPs") or []
        if is_headless(spec):
            spec["clusterIP"], spec["clusterIPs"] = HEADLESS, [HEADLESS]
            return
        if not given:
            try:
                address = await next_address(taken, self.addresses)
            except Unavailable as error:
                raise Unavailable(f"failed to allocate a serviceIP: {error}") from error
            spec["clusterIP"], spec["clusterIPs"] = address, [address]
            return
        for address in given:
            try:
                await take_address(taken, self.addresses, address)
            except Unavailable as error:
                text = f"failed to allocate IP {address}: {error}"
                raise _Refused(invalid("spec.clusterIPs", [address], text)) from error

    async def _node_ports(self, taken: Reservations, spec: Object, before: Object) -> None:
        owned = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
        kept: set[int] = set()
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            chosen: dict[int, int] = {}
            for index, port in enumerate(spec.get("ports") or ()):
                await self._node_port(taken, spec, index, owned | kept, chosen)
                if port.get("nodePort"):
                    kept.add(port["nodePort"])
        taken.released += [port_key(number) for number in sorted(owned - kept)]

    async def _node_port(
        self,
        taken: Reservations,
        spec: Object,
        index: int,
        owned: set[int],
        chosen: dict[int, int],
    ) -> None:
        """One port; `chosen` maps ports already served to their node port.

        Two protocols of one port share a node port.
        """
        port = spec["ports"][index]
        number, wanted = port.get("port", 0), port.get("nodePort") or 0
        if not wanted and not needs_node_ports(spec):
            return
        if not wanted:
            wanted = chosen.get(number) or _requested(number, spec["ports"][index + 1 :])
        kept = wanted in owned and not _repeats(spec, index, wanted)
        if wanted and (kept or chosen.get(number) == wanted):
            port["nodePort"] = wanted
        elif wanted:
            try:
                await take_port(taken, self.ports, wanted)
            except Unavailable as error:
                path = f"spec.ports[{index}].nodePort"
                raise _Refused(invalid(path, wanted, str(error))) from error
            port["nodePort"] = wanted
        else:
            try:
                port["nodePort"] = await next_port(taken, self.ports)
            except Unavailable as error:
                raise Unavailable(f"failed to allocate a nodePort: {error}") from error
        chosen.setdefault(number, port["nodePort"])

    async def _health_check_port(self, taken: Reservations, spec: Object, before: Object) -> None:
        had, needs = needs_health_check_port(before), needs_health_check_port(spec)
        if had and not needs and before.get("healthCheckNodePort"):
            taken.released.append(port_key(before["healthCheckNodePort"]))
        if had or not needs:
            return
        wanted = spec.get("healthCheckNodePort") or 0
        try:
            if wanted:
                await take_port(taken, self.ports, wanted)
            else:
                spec["healthCheckNodePort"] = await next_port(taken, self.ports)
        except Unavailable as error:
            what = (
                f"requested HealthCheck NodePort {wanted}" if wanted else "a HealthCheck NodePort"
            )
            raise Unavailable(f"failed to allocate {what}: {error}") from error


class _Refused(Exception):
    """A value the client asked for cannot be had."""

    def __init__(self, problem: FieldError) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _policy_errors(spec: Object, addresses: list[str], families: list[str]) -> list[FieldError]:
    path, policy = "spec.ipFamilyPolicy", spec.get("ipFamilyPolicy")
    if policy == "RequireDualStack":
        return [invalid(path, policy, "this cluster is not configured for dual-stack services")]
    if policy in (None, "PreferDualStack"):
        return []
    text = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
    if len(addresses) > 1:
        return [invalid(path, policy, text.format("cluster IPs"))]
    if len(families) > 1:
        return [invalid(path, policy, text.format("IP families"))]
    return []


def _requested(number: int, later: list[Object]) -> int:
    """The node port a later entry of the same port asks for."""
    return next((p["nodePort"] for p in later if p.get("port") == number and p.get("nodePort")), 0)


def _repeats(spec: Object, index: int, wanted: int) -> bool:
    """Does an earlier entry for another port already use this node port?"""
    port = spec["ports"][index]
    return any(
        earlier.get("nodePort") == wanted and earlier.get("port") != port.get("port")
        for earlier in spec["ports"][:index]
    )


async def release_all(storage: Store, service: Object) -> None:
    """Give back everything a deleted Service had."""
    spec = service.get("spec") or {}
    for address in spec.get("clusterIPs") or ():
        if address != HEADLESS:
            await release(storage, address_key(address), service)
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        ports.append(spec["healthCheckNodePort"])
    for port in dict.fromkeys(ports):
        await release(storage, port_key(port), service)
