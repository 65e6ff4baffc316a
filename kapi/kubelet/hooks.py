"""Lifecycle hooks: exec, httpGet, sleep.

Upstream: pkg/kubelet/lifecycle/handlers.go. Any HTTP answer is a success; only transport errors
fail.
"""

from dataclasses import dataclass

from kapi import KUBERNETES_VERSION, env
from kapi.api.object import Object
from kapi.kubelet.exec_command import exec_command
from kapi.kubelet.http_get import HttpFailure, http_get, join_host_port, request_headers
from kapi.kubelet.runtime.interface import Runtime, RuntimeFailure
from kapi.kubelet.security import pod_name

_MINOR = ".".join(KUBERNETES_VERSION.lstrip("v").split(".")[:2])
_HTTP_TIMEOUT_SECONDS = 0.0


class HookFailure(Exception):
    """The text is the waiting message of a failed postStart."""


@dataclass(frozen=True, slots=True)
class HookTarget:
    """The container a hook belongs to. `address` is the pod's, or the node's on its network."""

    pod: Object
    container: Object
    container_id: str
    address: str


async def run_hook(runtime: Runtime, handler: Object, target: HookTarget) -> None:
    """Raises HookFailure."""
    if handler.get("exec"):
        await _exec(runtime, handler["exec"].get("command") or [], target)
    elif handler.get("httpGet"):
        await _http(handler["httpGet"], target)
    elif handler.get("sleep"):
        await env.sleep(float(handler["sleep"].get("seconds") or 0))
    else:
        raise HookFailure("invalid handler: it must be exec, httpGet or sleep")


async def _exec(runtime: Runtime, command: list[str], target: HookTarget) -> None:
    try:
        code, output = await exec_command(runtime, target.container_id, command)
    except RuntimeFailure as error:
        code, output, problem = 1, "", str(error)
    else:
        problem = f"command '{' '.join(command)}' exited with {code}: {output}"
    if code != 0:
        raise HookFailure(
            f"Exec lifecycle hook ([{' '.join(command)}]) for Container "
            f'"{target.container["name"]}" in Pod "{pod_name(target.pod)}" failed - '
            f'error: {problem}, message: "{output}"'
        )


async def _http(action: Object, target: HookTarget) -> None:
    host = action.get("host") or target.address
    try:
        port = resolve_port(action.get("port"), target.container)
        scheme = str(action.get("scheme") or "HTTP").lower()
        path = action.get("path") or "/"
        path = path if path.startswith("/") else f"/{path}"
        url = f"{scheme}://{join_host_port(host, port)}{path}"
        headers = request_headers(action.get("httpHeaders") or (), f"kube-lifecycle/{_MINOR}")
        await http_get(url, headers, _HTTP_TIMEOUT_SECONDS)
    except (HttpFailure, ValueError) as error:
        raise HookFailure(
            f"HTTP lifecycle hook ({action.get('path', '')}) for Container "
            f'"{target.container["name"]}" in Pod "{pod_name(target.pod)}" failed - error: {error}'
        ) from error


def resolve_port(port: object, container: Object) -> int:
    """A number, or the name of one of the container's own ports. Raises ValueError."""
    if isinstance(port, int):
        return port
    text = str(port)
    if text.isdigit():
        return int(text)
    for entry in container.get("ports") or ():
        if entry.get("name") == text:
            return int(entry["containerPort"])
    raise ValueError(f"couldn't find port: {text} in container {container['name']}")
