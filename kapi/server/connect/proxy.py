"""The proxy subresources: an HTTP request passed on to a pod, a Service's endpoint or a kubelet.

Source: k8s.io/kubernetes `pkg/registry/core/{pod,service,node}` (ResourceLocation) and the
Kubernetes docs ("Access services running on clusters") for the `scheme:name:port` form.
"""

import ssl

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, labels_of
from kapi.server.call import Call
from kapi.server.connect.kubelet import Destination, http_request, kubelet_of

_DROPPED = (b"authorization", b"cookie", b"impersonate-user", b"impersonate-group")
_SLICES = "endpointslices.discovery.k8s.io"


def split_name(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` -> (scheme, name, port). Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0], parts[1], parts[2]
    raise errors.BadRequest(f'invalid proxy request "{text}"')


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
    number = int(port) if port.isdigit() else _pod_port(pod, port)
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
    await _pass_on(call, Destination(host, number, _tls(scheme)))


def _service_port(service: Object, name: str, port: str) -> str:
    """The name of the chosen Service port, which is how EndpointSlices name theirs."""
    ports = (service.get("spec") or {}).get("ports") or []
    if not port:
        if len(ports) == 1 or ports:
            return str(ports[0].get("name") or "")
        raise errors.ServiceUnavailable(f'service "{name}" has no ports')
    for item in ports:
        if port in (item.get("name"), str(item.get("port"))):
            return str(item.get("name") or "")
    raise errors.ServiceUnavailable(f'no service port "{port}" found for service "{name}"')


async def proxy_node(call: Call) -> None:
    _scheme, name, port = split_name(call.name)
    destination = kubelet_of(call, name)
    if port and port.isdigit() and int(port) != destination.port:
        destination = Destination(destination.host, int(port), None)
    await _pass_on(call, destination)


async def _pass_on(call: Call, destination: Destination) -> None:
    """Send the request to where it belongs and stream the answer back."""
    exchange = call.exchange
    if exchange.scope["type"] == "websocket":
        raise errors.NotBuilt("proxying of WebSockets is not built")
    rest = exchange.info.rest
    raw_query = exchange.scope["query_string"].decode("latin-1")
    target = f"/{rest}" + (f"?{raw_query}" if raw_query else "")
    headers = [(key, value) for key, value in exchange.scope["headers"] if key not in _DROPPED]
    client = (exchange.scope.get("client") or ("",))[0]
    if client:
        headers.append((b"x-forwarded-for", str(client).encode()))
    body = await exchange.body()
    try:
        async with http_request(destination, exchange.method, target, headers, body) as answer:
            exchange.started = True
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
