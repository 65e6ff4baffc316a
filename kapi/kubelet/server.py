"""The kubelet's HTTPS server as an ASGI application: logs, exec, attach, port-forward, pods.

Paths and answers follow upstream's kubelet (k8s.io/kubernetes `pkg/kubelet/server`). The engine
that serves it is chosen by who starts the process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
from prometheus_client import REGISTRY, generate_latest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from kapi import env
from kapi.api.errors import ApiError, BadRequest, InternalError, NotFound
from kapi.api.object import Object, uid_of
from kapi.kubelet.pod_view import pod_view
from kapi.kubelet.runtime.interface import Container, LogOptions, Runtime, RuntimeFailure, Sandbox
from kapi.kubelet.server_channels import (
    SUBPROTOCOLS,
    end_with,
    failure_status,
    serve_channels,
)
from kapi.kubelet.server_port_forward import (
    CHANNEL_SUBPROTOCOLS,
    SPDY_SUBPROTOCOL,
    ChannelPortForward,
    SpdyPortForward,
)

_UPGRADE_REQUIRED = (
    "Upgrade request required: this server speaks WebSocket for streams "
    "(kubectl 1.31 and later do by default)"
)


class PodDirectory(Protocol):
    """What the kubelet knows of its pods."""

    def find_pod(self, namespace: str, name: str) -> Object | None: ...

    def list_pods(self) -> list[Object]: ...

    def runtime_of(self, pod: Object) -> Runtime: ...


class Access(Protocol):
    async def check(self, connection: HTTPConnection, subresource: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Target:
    """The container a request is about, with the runtime that has it."""

    runtime: Runtime
    pod: Object
    sandbox: Sandbox
    container: Container
    spec: Object


class KubeletServer:
    """Answers for the pods in `directory`."""

    def __init__(self, directory: PodDirectory, access: Access) -> None:
        self._directory, self._access = directory, access
        container = "{namespace}/{pod}/{container}"
        with_uid = "{namespace}/{pod}/{uid}/{container}"
        self.app = Starlette(
            routes=[
                Route("/healthz", self._guarded("healthz", self._healthz)),
                Route("/healthz/{check}", self._guarded("healthz", self._healthz)),
                Route("/pods", self._guarded("proxy", self._pods)),
                Route("/metrics", self._guarded("metrics", self._metrics)),
                Route(f"/containerLogs/{container}", self._guarded("proxy", self._logs)),
                WebSocketRoute(f"/exec/{container}", self._exec),
                WebSocketRoute(f"/exec/{with_uid}", self._exec),
                WebSocketRoute(f"/attach/{container}", self._attach),
                WebSocketRoute(f"/attach/{with_uid}", self._attach),
                Route(f"/exec/{container}", self._guarded("proxy", self._plain_stream)),
                Route(f"/attach/{container}", self._guarded("proxy", self._plain_stream)),
                Route(
                    "/portForward/{namespace}/{pod}", self._guarded("proxy", self._plain_forward)
                ),
                WebSocketRoute("/portForward/{namespace}/{pod}", self._port_forward),
                WebSocketRoute("/portForward/{namespace}/{pod}/{uid}", self._port_forward),
            ]
        )

    def _guarded(
        self, subresource: str, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                await self._access.check(request, subresource)
                return await handler(request)
            except ApiError as error:
                return PlainTextResponse(error.message, error.code)
            except RuntimeFailure as error:
                return PlainTextResponse(str(error), 500)

        return guarded

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _pods(self, request: Request) -> Response:
        document = {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {},
            "items": self._directory.list_pods(),
        }
        return Response(orjson.dumps(document), media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type="text/plain; version=0.0.4")

    # Finding things ----------------------------------------------------------------------------

    def _pod(self, connection: HTTPConnection) -> Object:
        namespace = connection.path_params["namespace"]
        name = connection.path_params["pod"]
        pod = self._directory.find_pod(namespace, name)
        uid = connection.path_params.get("uid")
        if pod is None or (uid and uid != uid_of(pod)):
            raise NotFound(f'pod "{name}" not found in namespace "{namespace}"')
        return pod

    async def _sandbox(self, pod: Object) -> tuple[Runtime, Sandbox]:
        runtime = self._directory.runtime_of(pod)
        sandboxes = await runtime.list_sandboxes(uid_of(pod))
        if not sandboxes:
            raise BadRequest(f'pod "{pod["metadata"]["name"]}" is waiting to start')
        return runtime, sandboxes[0]

    async def _target(self, connection: HTTPConnection, *, previous: bool = False) -> _Target:
        """The container named in the path. Raises with the texts kubectl users know."""
        pod = self._pod(connection)
        name = connection.path_params["container"]
        spec = _container_spec(pod, name)
        pod_name = pod["metadata"]["name"]
        if spec is None:
            raise NotFound(f'container "{name}" not found in pod "{pod_name}"')
        runtime = self._directory.runtime_of(pod)
        sandboxes = await runtime.list_sandboxes(uid_of(pod))
        view = pod_view(sandboxes)
        found = [item for item in view.containers() if item.name == name]
        found.sort(key=lambda item: item.created_at, reverse=True)
        started = [item for item in found if item.state != "created"]
        if previous:
            started = started[1:]
            if not started:
                raise BadRequest(
                    f'previous terminated container "{name}" in pod "{pod_name}" not found'
                )
        if not started or not sandboxes:
            why = _waiting_reason(pod, name)
            raise BadRequest(f'container "{name}" in pod "{pod_name}" is waiting to start: {why}')
        return _Target(runtime, pod, sandboxes[0], started[0], spec)

    # Logs --------------------------------------------------------------------------------------

    async def _logs(self, request: Request) -> Response:
        query = request.query_params
        target = await self._target(request, previous=query.get("previous") == "true")
        try:
            options = LogOptions(
                follow=query.get("follow") == "true",
                tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
                since=_since(query.get("sinceSeconds"), query.get("sinceTime")),
                timestamps=query.get("timestamps") == "true",
                limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
            )
        except ValueError:
            raise BadRequest('{"message": "Unable to decode query."}') from None
        pieces = target.runtime.logs(target.container.id, options)
        return StreamingResponse(_safely(pieces), media_type="text/plain")

    # Streams -----------------------------------------------------------------------------------

    async def _refuse(self, websocket: WebSocket, error: ApiError) -> None:
        await websocket.send_denial_response(
            Response(orjson.dumps(error.status()), error.code, media_type="application/json")
        )

    async def _plain_stream(self, request: Request) -> Response:
        """kubectl asks once more without WebSocket when it was refused, and shows this answer."""
        await self._running(request)
        raise BadRequest(_UPGRADE_REQUIRED)

    async def _plain_forward(self, request: Request) -> Response:
        await self._sandbox(self._pod(request))
        raise BadRequest(_UPGRADE_REQUIRED)

    async def _running(self, connection: HTTPConnection) -> _Target:
        target = await self._target(connection)
        if target.container.state != "running":
            raise BadRequest(f"container {target.container.name} is not running: it has exited")
        return target

    async def _exec(self, websocket: WebSocket) -> None:
        await self._container_stream(websocket, attach=False)

    async def _attach(self, websocket: WebSocket) -> None:
        await self._container_stream(websocket, attach=True)

    async def _container_stream(self, websocket: WebSocket, *, attach: bool) -> None:
        query = websocket.query_params
        try:
            await self._access.check(websocket, "proxy")
            target = await self._running(websocket)
        except ApiError as error:
            await self._refuse(websocket, error)
            return
        except RuntimeFailure as error:
            await self._refuse(websocket, InternalError(str(error)))
            return
        stdin = query.get("input") == "1"
        tty = query.get("tty") == "1"
        if attach:
            # An attachment takes the terminal the container was started with.
            tty = bool(target.spec.get("tty"))
            stdin = stdin and bool(target.spec.get("stdin"))
        output = tuple(
            channel for channel, name in ((1, "output"), (2, "error")) if query.get(name) == "1"
        )
        await websocket.accept(_chosen(websocket, SUBPROTOCOLS))
        runtime, container_id = target.runtime, target.container.id
        try:
            if attach:
                stream = await runtime.attach(container_id, stdin=stdin, tty=tty)
            else:
                command = query.getlist("command")
                stream = await runtime.exec(container_id, command, stdin=stdin, tty=tty)
        except RuntimeFailure as error:
            await end_with(websocket, failure_status(str(error)))
            return
        await serve_channels(websocket, stream, output)

    async def _port_forward(self, websocket: WebSocket) -> None:
        try:
            await self._access.check(websocket, "proxy")
            pod = self._pod(websocket)
            runtime, sandbox = await self._sandbox(pod)
            ports = [int(port) for port in websocket.query_params.getlist("port")]
        except ApiError as error:
            await self._refuse(websocket, error)
            return
        except RuntimeFailure as error:
            await self._refuse(websocket, InternalError(str(error)))
            return
        except ValueError:
            await self._refuse(websocket, BadRequest("a port must be a number"))
            return
        if SPDY_SUBPROTOCOL in websocket.scope["subprotocols"]:
            await websocket.accept(SPDY_SUBPROTOCOL)
            await SpdyPortForward(websocket, runtime, sandbox.id).run()
            return
        if not ports:
            await self._refuse(websocket, BadRequest("you must specify at least 1 port"))
            return
        await websocket.accept(_chosen(websocket, CHANNEL_SUBPROTOCOLS))
        await ChannelPortForward(websocket, runtime, sandbox.id, ports).run()


def _chosen(websocket: WebSocket, known: tuple[str, ...]) -> str | None:
    offered = websocket.scope["subprotocols"]
    return next((item for item in known if item in offered), None)


def _container_spec(pod: Object, name: str) -> Object | None:
    spec = pod.get("spec") or {}
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            if container.get("name") == name:
                found: Object = container
                return found
    return None


def _waiting_reason(pod: Object, name: str) -> str:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for item in status.get(field) or ():
            if item.get("name") == name:
                waiting = (item.get("state") or {}).get("waiting") or {}
                return str(waiting.get("message") or waiting.get("reason") or "ContainerCreating")
    return "ContainerCreating"


def _since(seconds: str | None, moment: str | None) -> datetime | None:
    if seconds:
        return env.from_timestamp(env.now().timestamp() - int(seconds))
    return env.parse_time(moment) if moment else None


async def _safely(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A log whose container goes away in the middle ends; the answer's head is already sent."""
    try:
        async for piece in pieces:
            yield piece
    except RuntimeFailure as error:
        yield f"\nthe log ended: {error}\n".encode()
