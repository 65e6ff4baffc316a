"""Which endpoints of a service port get traffic on this machine.

Source of the rules: upstream's pkg/proxy/topology.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kapi.proxy.model import Endpoint, NodeContext, ServicePort


@dataclass(frozen=True, slots=True)
class Selection:
    """`cluster` serves policy Cluster, `local` policy Local; `any` tells whether anything serves.

    `any` decides between refusing a connection (nothing anywhere) and dropping it silently
    (something elsewhere, which a load balancer would find).
    """

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    any: bool


def select_endpoints(
    port: ServicePort, endpoints: Sequence[Endpoint], node: NodeContext
) -> Selection:
    """Ready endpoints; where none is ready, those that terminate but still serve."""
    usable = _usable(endpoints)
    cluster = usable
    if any(endpoint.ready for endpoint in usable):
        cluster = _follow_hints(usable, node)
    local: tuple[Endpoint, ...] = ()
    if port.internal_local or port.external_local:
        local = _usable([endpoint for endpoint in endpoints if endpoint.node in node.names])
    return Selection(cluster, local, bool(usable))


def _usable(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    ready = tuple(endpoint for endpoint in endpoints if endpoint.ready)
    if ready:
        return ready
    return tuple(item for item in endpoints if item.serving and item.terminating)


def _follow_hints(ready: tuple[Endpoint, ...], node: NodeContext) -> tuple[Endpoint, ...]:
    """Hints count only when every endpoint carries one and some endpoint is meant for us."""
    if all(endpoint.node_hints for endpoint in ready):
        mine = tuple(item for item in ready if item.node_hints & node.names)
        if mine:
            return mine
    if node.zone and all(endpoint.zone_hints for endpoint in ready):
        near = tuple(item for item in ready if node.zone in item.zone_hints)
        if near:
            return near
    return ready
