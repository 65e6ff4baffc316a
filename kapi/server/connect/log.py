"""GET pods/NAME/log: the kubelet's answer, passed on as it comes.

Source of options and texts: k8s.io/kubernetes `pkg/registry/core/pod/{strategy,rest/log}.go`.
"""

import re
from urllib.parse import urlencode

from kapi.api import errors
from kapi.api.object import Object
from kapi.server.call import Call
from kapi.server.connect.kubelet import http_request, kubelet_of
from kapi.server.exchange import Exchange, ended_by_disconnect, int_param

_TEXT = "text/plain"
_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = {"tailLines": 0, "sinceSeconds": 1, "limitBytes": 1}
_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


async def get_log(call: Call) -> None:
    exchange = call.exchange
    options = log_options(exchange)
    pod = await call.store.get(call.namespace, call.name)
    container = choose_container(pod, exchange.param("container"))
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        # As upstream: a pod that is not scheduled has no log yet, which is an empty one.
        await exchange.respond(200, b"", _TEXT)
        return
    target = f"/containerLogs/{call.namespace}/{call.name}/{container}"
    if options:
        target += f"?{urlencode(options)}"
    destination = kubelet_of(call, node)
    async with (
        ended_by_disconnect(exchange),
        http_request(destination, "GET", target, []) as answer,
    ):
        if answer.status != 200:
            body = b"".join([piece async for piece in answer.body])
            raise errors.from_status(
                {"message": body.decode("utf-8", "replace").strip()}, answer.status
            )
        await exchange.start(200, _TEXT, [(b"cache-control", b"no-cache, private")])
        async for piece in answer.body:
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})


def log_options(exchange: Exchange) -> list[tuple[str, str]]:
    """The options for the kubelet, in its own query. Raises Invalid with upstream's causes."""
    options: list[tuple[str, str]] = []
    problems = []
    for name in _FLAGS:
        if exchange.flag(name):
            options.append((name, "true"))
    for name, least in _NUMBERS.items():
        if not exchange.param(name):
            continue
        value = int_param(exchange, name)
        if value < least:
            must = "greater than or equal to 0" if least == 0 else "greater than 0"
            problems.append(errors.invalid(name, value, f"must be {must}"))
        options.append((name, str(value)))
    since = exchange.param("sinceTime")
    if since:
        if not _RFC3339.match(since):
            raise errors.BadRequest(f'parsing time "{since}" as RFC3339: cannot parse it')
        if exchange.param("sinceSeconds"):
            problems.append(
                errors.forbidden(
                    "sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified"
                )
            )
        options.append(("sinceTime", since))
    if problems:
        raise errors.object_invalid("PodLogOptions", "", exchange.info.name, problems)
    return options


def choose_container(pod: Object, wanted: str) -> str:
    """The container to use; one must be named where the pod has several. Raises BadRequest."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    plain = [str(item["name"]) for item in spec.get("containers") or ()]
    initial = [str(item["name"]) for item in spec.get("initContainers") or ()]
    ephemeral = [str(item["name"]) for item in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted in (*plain, *initial, *ephemeral):
            return wanted
        raise errors.BadRequest(f"container {wanted} is not valid for pod {name}")
    if len(plain) == 1:
        return plain[0]
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(plain)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise errors.BadRequest(text)
