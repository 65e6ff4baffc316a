"""One probe of one container, and its verdict."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from kapi import KUBERNETES_VERSION
from kapi.api.object import Object
from kapi.kubelet.exec_command import exec_command
from kapi.kubelet.expansion import expand_known
from kapi.kubelet.hooks import HookTarget, resolve_port
from kapi.kubelet.http_get import (
    HttpFailure,
    dial_error,
    http_get,
    join_host_port,
    request_headers,
)
from kapi.kubelet.probes.grpc_health import check_health
from kapi.kubelet.runtime.interface import Runtime, RuntimeFailure

_MINOR = ".".join(KUBERNETES_VERSION.lstrip("v").split(".")[:2])


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` means the question could not be asked; `warning` goes with a success."""

    result: Literal["success", "failure", "error"]
    text: str = ""
    warning: bool = False


class Prober(Protocol):
    """How probes are carried out; simulated nodes bring their own."""

    async def probe(self, spec: Object, target: HookTarget) -> Verdict: ...


class AssumedHealthy:
    """For runtimes without processes: everything that runs is well."""

    async def probe(self, spec: Object, target: HookTarget) -> Verdict:
        return Verdict("success")


class RuntimeProber:
    """Real probes: commands through the runtime, connections from this machine."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def probe(self, spec: Object, target: HookTarget) -> Verdict:
        timeout = float(spec.get("timeoutSeconds") or 1)
        try:
            if spec.get("exec"):
                return await self._exec(spec["exec"].get("command") or [], target, timeout)
            if spec.get("httpGet"):
                return await _http(spec["httpGet"], target, timeout)
            if spec.get("tcpSocket"):
                return await _tcp(spec["tcpSocket"], target, timeout)
            if spec.get("grpc"):
                port = int(spec["grpc"]["port"])
                place = join_host_port(target.address, port)
                problem = await check_health(place, spec["grpc"].get("service") or "", timeout)
                return Verdict("failure", problem) if problem else Verdict("success")
        except ValueError as error:
            return Verdict("error", str(error))
        return Verdict("error", f"missing probe handler for {target.container['name']}")

    async def _exec(self, command: list[str], target: HookTarget, timeout: float) -> Verdict:
        literal = _literal_environment(target.container)
        argv = [expand_known(part, literal) for part in command]
        try:
            async with asyncio.timeout(timeout):
                code, output = await exec_command(self._runtime, target.container_id, argv)
        except TimeoutError:
            seconds = f"{timeout:g}s"
            return Verdict(
                "failure", f'command timed out: "{" ".join(argv)}" timed out after {seconds}'
            )
        except RuntimeFailure as error:
            return Verdict("error", str(error))
        return Verdict("success" if code == 0 else "failure", output)


def _literal_environment(container: Object) -> Mapping[str, str]:
    return {entry["name"]: entry.get("value") or "" for entry in container.get("env") or ()}


async def _http(action: Object, target: HookTarget, timeout: float) -> Verdict:
    port = resolve_port(action.get("port"), target.container)
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{join_host_port(action.get('host') or target.address, port)}{path}"
    headers = request_headers(action.get("httpHeaders") or (), f"kube-probe/{_MINOR}")
    try:
        answer = await http_get(url, headers, timeout)
    except HttpFailure as error:
        return Verdict("failure", str(error))
    if answer.left:
        text = f"Probe terminated redirects, Response body: {answer.body}"
        return Verdict("success", text, warning=True)
    if 200 <= answer.status < 400:
        return Verdict("success", answer.body)
    return Verdict("failure", f"HTTP probe failed with statuscode: {answer.status}")


async def _tcp(action: Object, target: HookTarget, timeout: float) -> Verdict:
    port = resolve_port(action.get("port"), target.container)
    host = action.get("host") or target.address
    place = join_host_port(host, port)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Verdict("failure", f"dial tcp {place}: i/o timeout")
    except OSError as error:
        return Verdict("failure", f"dial tcp {place}: {dial_error(error)}")
    writer.close()
    return Verdict("success")
