"""Service: defaults, table and the blanks around its address allocation."""

from datetime import datetime
from typing import Any

from kapi.api.errors import FieldError
from kapi.api.names import dns_label_errors
from kapi.api.object import Object, name_of
from kapi.registry.cells import NONE, key_values
from kapi.registry.core.service_allocation import ServiceRanges, release_all
from kapi.registry.core.service_types import is_externally_reachable
from kapi.registry.core.service_update import (
    drop_type_dependent,
    keep_allocated,
    link_cluster_ips,
)
from kapi.registry.core.service_validation import (
    service_warnings,
    validate_service,
    validate_service_status,
    validate_service_update,
)
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Allocation,
    Column,
    RequestContext,
    Strategy,
    age,
)
from kapi.storage.interface import Store

_CLIENT_IP_TIMEOUT_SECONDS = 10800


class ServiceStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/core/service/strategy.go`."""

    returns_deleted_object = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column("Type", about="=api.core.v1.ServiceSpec.type"),
        Column("Cluster-IP", about="=api.core.v1.ServiceSpec.clusterIP"),
        Column("External-IP", about="=api.core.v1.ServiceSpec.externalIPs"),
        Column("Port(s)", about="=api.core.v1.ServiceSpec.ports"),
        AGE_COLUMN,
        Column("Selector", priority=1, about="=api.core.v1.ServiceSpec.selector"),
    )

    def __init__(self, service_cidr: str, node_port_range: tuple[int, int]) -> None:
        self.ranges = ServiceRanges.of(service_cidr, node_port_range)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return dns_label_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        default_service(obj)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"loadBalancer": {}}
        link_cluster_ips(obj["spec"], None)

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})
        spec, before = obj["spec"], old["spec"]
        link_cluster_ips(spec, before)
        keep_allocated(spec, before)
        drop_type_dependent(spec, before)

    def validate(self, obj: Object) -> list[FieldError]:
        return validate_service(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_service_update(obj, old)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_service_status(obj, old)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return service_warnings(obj)

    async def allocate(
        self, storage: Store, ctx: RequestContext, obj: Object, old: Object | None
    ) -> Allocation | None:
        return await self.ranges.allocate(storage, ctx, obj, old)

    async def after_delete(self, storage: Store, obj: Object) -> None:
        await release_all(storage, obj)

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        return [
            name_of(obj),
            spec.get("type") or "",
            _cluster_ip(spec),
            _external_ip(obj),
            _ports_cell(spec.get("ports") or []),
            age(obj, now),
            key_values(spec.get("selector")),
        ]


def default_service(obj: Object) -> None:
    """Source: `SetDefaults_Service` in `pkg/apis/core/v1/defaults.go`."""
    spec = obj.setdefault("spec", {})
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig")
        if not ((config or {}).get("clientIP") or {}).get("timeoutSeconds"):
            spec["sessionAffinityConfig"] = {
                "clientIP": {"timeoutSeconds": _CLIENT_IP_TIMEOUT_SECONDS}
            }
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if is_externally_reachable(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if not spec.get("internalTrafficPolicy") and spec["type"] != "ExternalName":
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode") is None:
            ingress["ipMode"] = "VIP"


def _cluster_ip(spec: Object) -> str:
    addresses = spec.get("clusterIPs") or ()
    return str(addresses[0] if addresses else spec.get("clusterIP") or "") or NONE


def _external_ip(obj: Object) -> str:
    spec = obj.get("spec") or {}
    addresses = list(spec.get("externalIPs") or ())
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    if kind == "LoadBalancer":
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        given = [item.get("ip") or item.get("hostname") for item in balancer.get("ingress") or ()]
        addresses = [*filter(None, given), *addresses]
        return ",".join(addresses) if addresses else "<pending>"
    return ",".join(addresses) if addresses else NONE


def _ports_cell(ports: list[Object]) -> str:
    shown = []
    for port in ports:
        number, node_port = port.get("port", 0), port.get("nodePort")
        text = f"{number}:{node_port}" if node_port else str(number)
        shown.append(f"{text}/{port.get('protocol') or 'TCP'}")
    return ",".join(shown) or NONE
