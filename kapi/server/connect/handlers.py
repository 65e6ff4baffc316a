"""Which conversation answers which subresource."""

from collections.abc import Awaitable, Callable

from kapi.server.call import Call
from kapi.server.connect.log import get_log
from kapi.server.connect.proxy import proxy_node, proxy_pod, proxy_service
from kapi.server.connect.stream import attach, exec_, port_forward

CONNECT: dict[tuple[str, str], Callable[[Call], Awaitable[None]]] = {
    ("pods", "log"): get_log,
    ("pods", "exec"): exec_,
    ("pods", "attach"): attach,
    ("pods", "portforward"): port_forward,
    ("pods", "proxy"): proxy_pod,
    ("services", "proxy"): proxy_service,
    ("nodes", "proxy"): proxy_node,
}
