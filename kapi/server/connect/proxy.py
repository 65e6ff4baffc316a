"""The proxy subresources: an HTTP request passed on to a pod, a Service's endpoint or a kubelet.

Source: k8s.io/kubernetes `pkg/registry/core/{pod,service,node}` (ResourceLocation) and the
Kubernetes docs ("Access services running on clusters") for the `scheme:name:port` form.
"""

import ipaddress
import ssl
from urllib.parse import quote

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, labels_of
from kapi.server.call import Call
from kapi.server.connect.kubelet import Destination, http_request, kubelet_of
from kapi.server.exchange import ended_by_disconnect

_DROPPED = (b"authorization", b"cookie")
# What Go leaves as it is when it writes a path.
_PLAIN_IN_PATHS = "/$&+,:;=@!'()*~"
_PORT_MAX = 65535
_SLICES = "endpointslices.discovery.k8s.io"


def split_name(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` -> (scheme, name, port). Raises BadRequest."""
    parts = text.split(":")
    if len(parts) < 3:
        scheme, name, port = "", parts[0], parts[1] if len(parts) == 2 else ""
    elif len(parts) == 3 and parts[0] in ("http", "https", ""):
        scheme, name, port = parts
    else:
        raise errors.BadRequest(f'invalid proxy request "{text}"')
    if _is_number(port) and (len(port) > 5 or int(port) > _PORT_MAX):
        raise errors.BadRequest(f'invalid proxy request "{text}": no such port')
    return scheme, name, port


def _is_number(port: str) -> bool:
    return port.isascii() and port.isdigit()


def _check_address(host: str) -> None:
    """Refuse what only this very machine or link knows: pods' addresses are claims of others.

    Source: `IsProxyableIP` in k8s.io/kubernetes `pkg/proxy/util`. Raises BadRequest.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise errors.BadRequest("address not allowed") from None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    multicast = address.is_multicast and address in _LINK_MULTICAST[address.version]
    if address.is_loopback or address.is_link_local or address.is_unspecified or multicast:
        raise errors.BadRequest("address not allowed")


_LINK_MULTICAST = {
    4: ipaddress.ip_network("224.0.0.0/24"),
    6: ipaddress.ip_network("ff02::/16"),
}


def _tls(scheme: str) -> ssl.SSLContext | None:
    """Backends show certificates of their own making; like upstream, they are not verified."""
    if scheme != "https":
        return None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def proxy_pod(call: Call) -> None:
    scheme, name, port = split_name(call.name)
    pod = await call.store.get(call.namespace, name)
    host = (pod.get("status") or {}).get("podIP")
    if not host:
        raise errors.ServiceUnavailable("address not allowed: the pod has no address yet")
    _check_address(host)
    number = int(port) if _is_number(port) else _pod_port(pod, port)
    await _pass_on(call, Destination(host, number, _tls(scheme)))


def _pod_port(pod: Object, name: str) -> int:
    """A named port, or the first one when none is named."""
    ports = [
        item
        for container in (pod.get("spec") or {}).get("containers") or ()
        for item in container.get("ports") or ()
    ]
    for item in ports:
        if not name or item.get("name") == name:
            return int(item["containerPort"])
    if name:
        raise errors.BadRequest(f'pod has no port named "{name}"')
    return 80


async def proxy_service(call: Call) -> None:
    scheme, name, port = split_name(call.name)
    service = await call.store.get(call.namespace, name)
    wanted = _service_port(service, name, port)
    candidates: list[tuple[str, int]] = []
    for endpoint_slice in call.api.lookup.list(_SLICES, call.namespace):
        if labels_of(endpoint_slice).get("kubernetes.io/service-name") != name:
            continue
        for item in endpoint_slice.get("ports") or ():
            if (item.get("name") or "") != wanted:
                continue
            candidates += [
                (endpoint["addresses"][0], int(item["port"]))
                for endpoint in endpoint_slice.get("endpoints") or ()
                if (endpoint.get("conditions") or {}).get("ready") is not False
            ]
    if not candidates:
        raise errors.ServiceUnavailable(f'no endpoints available for service "{call.name}"')
    host, number = env.random().choice(candidates)
    _check_address(host)
    await _pass_on(call, Destination(host, number, _tls(scheme)))


def _service_port(service: Object, name: str, port: str) -> str:
    """The name of the chosen Service port, which is how EndpointSlices name theirs."""
    ports = (service.get("spec") or {}).get("ports") or []
    if not port:
        if ports:
            return str(ports[0].get("name") or "")
        raise errors.ServiceUnavailable(f'service "{name}" has no ports')
    for item in ports:
        if port in (item.get("name"), str(item.get("port"))):
            return str(item.get("name") or "")
    raise errors.ServiceUnavailable(f'no service port "{port}" found for service "{name}"')


async def proxy_node(call: Call) -> None:
    _scheme, name, port = split_name(call.name)
    destination = kubelet_of(call, name)
    if _is_number(port) and int(port) != destination.port:
        _check_address(destination.host)
        destination = Destination(destination.host, int(port), None)
    await _pass_on(call, destination)


async def _pass_on(call: Call, destination: Destination) -> None:
    """Send the request to where it belongs and stream the answer back."""
    exchange = call.exchange
    if exchange.scope["type"] == "websocket":
        raise errors.NotBuilt("proxying of WebSockets is not built")
    rest = exchange.info.rest
    raw_query = exchange.scope["query_string"].decode("latin-1")
    target = quote(f"/{rest}", safe=_PLAIN_IN_PATHS) + (f"?{raw_query}" if raw_query else "")
    headers = [
        (key, value)
        for key, value in exchange.scope["headers"]
        if key not in _DROPPED and not key.startswith(b"impersonate-")
    ]
    client = (exchange.scope.get("client") or ("",))[0]
    if client:
        headers.append((b"x-forwarded-for", str(client).encode()))
    body = await exchange.body()
    try:
        async with (
            ended_by_disconnect(exchange),
            http_request(destination, exchange.method, target, headers, body) as answer,
        ):
            exchange.started, exchange.status = True, answer.status
            await exchange.send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": answer.headers,
                }
            )
            async for piece in answer.body:
                await exchange.send(
                    {"type": "http.response.body", "body": piece, "more_body": True}
                )
            await exchange.send({"type": "http.response.body", "body": b""})
    except errors.InternalError as error:
        raise errors.ServiceUnavailable(
            f"error trying to reach service: {error.message}"
        ) from error
