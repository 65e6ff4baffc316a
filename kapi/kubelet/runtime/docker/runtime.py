"""The runtime interface over a Docker engine."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson

from kapi import env
from kapi.kubelet.runtime.docker.engine import DEFAULT_URL, DockerEngine, EngineError
from kapi.kubelet.runtime.docker.images import DockerImages
from kapi.kubelet.runtime.docker.network import DockerNetwork, SocketStream, connect_in_namespace
from kapi.kubelet.runtime.docker.sandboxes import DockerSandboxes, may_lower_oom_score
from kapi.kubelet.runtime.docker.streams import DockerStream, frames, limited
from kapi.kubelet.runtime.docker.translate import (
    LABEL_NODE,
    LABEL_POD_UID,
    LABEL_SANDBOX,
    LABEL_SCOPE,
    LABEL_SHARE_PID,
    LABEL_TYPE,
    Joined,
    container_config,
    container_from,
    container_name,
    limits,
    lost_sandbox,
    sandbox_from,
)
from kapi.kubelet.runtime.interface import (
    Container,
    ContainerSpec,
    ContainerStartFailed,
    Image,
    LogOptions,
    RegistryAuth,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeUnavailable,
    Sandbox,
    SandboxSpec,
)

_KILL_WAIT_SECONDS = 30
# Not "destroy": a running container dies first, and Docker also destroys what it failed to create,
# so that a pod woken by it would try again at once, without end.
_EVENTS = ("start", "die", "oom")
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class DockerRuntime:
    """One node's pods on a Docker engine.

    `scope` separates clusters that share an engine: a runtime sees only what carries its node name
    and its scope.
    """

    name = "docker"

    def __init__(
        self,
        node_name: str,
        *,
        url: str = DEFAULT_URL,
        network: DockerNetwork | None = None,
        scope: str = "kapi",
    ) -> None:
        self._owner = {LABEL_NODE: node_name, LABEL_SCOPE: scope}
        self.network = network or DockerNetwork()
        self._engine = DockerEngine(url)
        self._images = DockerImages(self._engine)
        self._sandboxes = DockerSandboxes(self._engine, self._images, self.network, self._owner)
        self._inspected: dict[tuple[str, str], Container] = {}
        # Docker tells of an end before its list shows it: these are asked for one by one.
        self._died: set[str] = set()

    async def version(self) -> str:
        return str((await self._engine.call(lambda client: client.version()))["Version"])

    async def update_pod_cidr(self, cidr: str) -> None:
        await self._sandboxes.update_pod_cidr(cidr)

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        wanted = {**self._owner, **({LABEL_POD_UID: pod_uid} if pod_uid else {})}
        labels = [f"{name}={value}" for name, value in wanted.items()]
        rows = await self._engine.call(
            lambda client: client.containers(all=True, filters={"label": labels})
        )
        for row in rows:
            is_sandbox = row["Labels"].get(LABEL_TYPE) == "podsandbox"
            if is_sandbox and row["State"] == "running" and row["Id"] in self._died:
                row["State"] = "exited"
        members: dict[str, list[Container]] = defaultdict(list)
        for row in rows:
            if row["Labels"].get(LABEL_TYPE) == "container":
                found = await self._container(row)
                if found is not None:
                    members[row["Labels"].get(LABEL_SANDBOX, "")].append(found)
        if not pod_uid:
            known = {row["Id"] for row in rows}
            self._inspected = {k: v for k, v in self._inspected.items() if k[0] in known}
            self._died &= known
        sandboxes = [row for row in rows if row["Labels"].get(LABEL_TYPE) == "podsandbox"]
        sandboxes.sort(key=lambda row: (row["State"] == "running", row["Created"]), reverse=True)
        found_sandboxes = []
        for row in sandboxes:
            inside = members.pop(row["Id"], [])
            inside.sort(key=lambda container: container.created_at, reverse=True)
            found_sandboxes.append(sandbox_from(row, self.network.name, tuple(inside)))
        found_sandboxes += [lost_sandbox(key, tuple(left)) for key, left in members.items()]
        if not pod_uid:
            self._sandboxes.learn(ip for sandbox in found_sandboxes for ip in sandbox.ips)
        return found_sandboxes

    async def _container(self, row: Mapping[str, Any]) -> Container | None:
        """Details of one listed container; kept, as they change only with its state."""
        key = (row["Id"], row["State"])
        if row["State"] != "running":
            self._died.discard(row["Id"])
        if key not in self._inspected or row["Id"] in self._died:
            try:
                inspected = await self._engine.call(
                    lambda client: client.inspect_container(row["Id"])
                )
            except EngineError as error:
                if error.status == 404:
                    return None
                raise
            found = container_from(inspected)
            if inspected["State"]["Status"] != row["State"] or found.state == "created":
                return found
            self._inspected[key] = found
        return self._inspected[key]

    async def run_sandbox(self, spec: SandboxSpec) -> Sandbox:
        return await self._sandboxes.run(spec)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        for container_id in await self._members(sandbox_id):
            await self.stop_container(container_id, 0)
        await self.stop_container(sandbox_id, 1)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        for container_id in [*await self._members(sandbox_id), sandbox_id]:
            await self.remove_container(container_id)

    async def _members(self, sandbox_id: str) -> list[str]:
        label = f"{LABEL_SANDBOX}={sandbox_id}"
        rows = await self._engine.call(
            lambda client: client.containers(all=True, filters={"label": [label]})
        )
        return [row["Id"] for row in rows]

    async def create_container(self, sandbox_id: str, spec: ContainerSpec) -> str:
        sandbox = await self._engine.call(lambda client: client.inspect_container(sandbox_id))
        seccomp = await self._seccomp(spec)
        config = container_config(
            spec,
            _joined(sandbox, spec),
            seccomp=seccomp,
            may_lower_oom_score=may_lower_oom_score(),
        )
        config["Labels"].update(self._owner)
        name = container_name(spec.labels, spec.name)
        try:
            made = await self._engine.call(
                lambda client: client.create_container_from_config(config, name)
            )
        except EngineError as error:
            if error.status != 409:
                raise
            # Left by a start that was interrupted: the name is taken by a container never used.
            await self.remove_container(name)
            made = await self._engine.call(
                lambda client: client.create_container_from_config(config, name)
            )
        return str(made["Id"])

    async def _seccomp(self, spec: ContainerSpec) -> str:
        profile = spec.security.seccomp
        if profile.startswith("localhost/"):
            try:
                return await env.in_thread(env.read_text, profile.removeprefix("localhost/"))
            except OSError as error:
                raise RuntimeFailure(f"cannot load seccomp profile: {error}") from error
        return profile

    async def start_container(self, container_id: str) -> None:
        try:
            await self._engine.call(lambda client: client.start(container_id))
        except EngineError as error:
            raise ContainerStartFailed(str(error)) from error

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        if grace_seconds > 0:
            try:
                inspected = await self._engine.call(
                    lambda client: client.inspect_container(container_id)
                )
            except EngineError as error:
                if error.status == 404:
                    return
                raise
            signal = inspected["Config"].get("StopSignal") or "SIGTERM"
            await self._signal(container_id, signal)
            if await self._exited(container_id, grace_seconds):
                return
        await self._signal(container_id, "SIGKILL")
        await self._exited(container_id, _KILL_WAIT_SECONDS)

    async def _signal(self, container_id: str, signal: str) -> None:
        try:
            await self._engine.call(lambda client: client.kill(container_id, signal))
        except EngineError as error:
            # 404: gone; 409: not running. Both are what was wanted.
            if error.status not in (404, 409):
                raise

    async def _exited(self, container_id: str, seconds: float) -> bool:
        path = f"/containers/{container_id}/wait"
        try:
            async with (
                asyncio.timeout(seconds),
                self._engine.exchange("POST", path, query={"condition": "not-running"}) as answer,
            ):
                await answer.reader.read()
        except TimeoutError:
            return False
        except EngineError as error:
            if error.status != 404:
                raise
        return True

    async def remove_container(self, container_id: str) -> None:
        try:
            await self._engine.call(
                lambda client: client.remove_container(container_id, force=True, v=True)
            )
        except EngineError as error:
            # 404: gone; 409: somebody is removing it.
            if error.status not in (404, 409):
                raise

    async def update_container(self, container_id: str, resources: Resources) -> None:
        body = limits(resources)
        path = f"/containers/{container_id}/update"
        async with self._engine.exchange("POST", path, body=body) as answer:
            await answer.reader.read()

    async def find_image(self, reference: str) -> Image | None:
        return await self._images.find(reference)

    async def pull_image(self, reference: str, auth: RegistryAuth | None) -> Image:
        return await self._images.pull(reference, auth)

    async def unpack_image(self, image_id: str, target: str) -> None:
        await self._images.unpack(image_id, target)

    async def list_images(self) -> Sequence[Image]:
        return await self._images.list()

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """The first event names no pod: what happened before the connection is not told."""
        labels = [f"{name}={value}" for name, value in self._owner.items()]
        filters = {"type": ["container"], "event": list(_EVENTS), "label": labels}
        query = {"filters": orjson.dumps(filters).decode()}
        async with self._engine.exchange("GET", "/events", query=query) as answer:
            yield RuntimeEvent("", "", "connected")
            while line := await answer.reader.readline():
                event = orjson.loads(line)
                attributes = event["Actor"]["Attributes"]
                if event["Action"] == "die":
                    self._died.add(event["Actor"]["ID"])
                yield RuntimeEvent(attributes[LABEL_POD_UID], event["Actor"]["ID"], event["Action"])
        raise RuntimeUnavailable("the Docker engine ended its event stream")

    async def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        inspected = await self._engine.call(lambda client: client.inspect_container(container_id))
        query = {"stdout": "1", "stderr": "1", "follow": "1" if options.follow else "0"}
        query["timestamps"] = "1" if options.timestamps else "0"
        query["tail"] = "all" if options.tail_lines is None else str(options.tail_lines)
        if options.since is not None:
            query["since"] = f"{options.since.timestamp():.9f}"
        tty = bool(inspected["Config"]["Tty"])
        path = f"/containers/{container_id}/logs"
        async with self._engine.exchange("GET", path, query=query) as answer:

            async def pieces() -> AsyncIterator[bytes]:
                async for _, data in frames(answer.reader, tty=tty):
                    yield data

            async for piece in limited(pieces(), options.limit_bytes):
                yield piece

    async def exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> DockerStream:
        made = await self._engine.call(
            lambda client: client.exec_create(container_id, list(command), stdin=stdin, tty=tty)
        )
        exec_id = made["Id"]

        async def exit_code() -> int | None:
            while True:
                state = await self._engine.call(lambda client: client.exec_inspect(exec_id))
                if not state["Running"] and state["ExitCode"] is not None:
                    return int(state["ExitCode"])
                # The stream may close a moment before the engine has seen the exit.
                await env.sleep(0.02)

        async def resize(width: int, height: int) -> None:
            await self._engine.call(lambda client: client.exec_resize(exec_id, height, width))

        stack = AsyncExitStack()
        exchange = await stack.enter_async_context(
            self._engine.exchange(
                "POST",
                f"/exec/{exec_id}/start",
                body={"Detach": False, "Tty": tty},
                headers=_UPGRADE,
            )
        )
        return DockerStream(exchange, stack, tty=tty, resize=resize, exit_code=exit_code)

    async def attach(self, container_id: str, *, stdin: bool, tty: bool) -> DockerStream:
        async def exit_code() -> int | None:
            return None

        async def resize(width: int, height: int) -> None:
            await self._engine.call(lambda client: client.resize(container_id, height, width))

        query = {"stream": "1", "stdout": "1", "stderr": "1", "stdin": "1" if stdin else "0"}
        stack = AsyncExitStack()
        exchange = await stack.enter_async_context(
            self._engine.exchange(
                "POST", f"/containers/{container_id}/attach", query=query, headers=_UPGRADE
            )
        )
        return DockerStream(exchange, stack, tty=tty, resize=resize, exit_code=exit_code)

    @asynccontextmanager
    async def connect(self, sandbox_id: str, port: int) -> AsyncIterator[SocketStream]:
        inspected = await self._engine.call(lambda client: client.inspect_container(sandbox_id))
        process_id = int(inspected["State"]["Pid"])
        if not process_id:
            raise ConnectionError("the sandbox does not run")
        stream = await connect_in_namespace(process_id, port)
        try:
            yield stream
        finally:
            await stream.close()

    def close(self) -> None:
        """Let go of the engine; containers keep running."""
        self._engine.close()


def _joined(sandbox: Mapping[str, Any], spec: ContainerSpec) -> Joined:
    host = sandbox["HostConfig"]
    sandbox_id = sandbox["Id"]
    ipc = "host" if host.get("IpcMode") == "host" else f"container:{sandbox_id}"
    labels = sandbox["Config"].get("Labels") or {}
    if spec.process_namespace_of:
        pid = f"container:{spec.process_namespace_of}"
    elif host.get("PidMode") == "host":
        pid = "host"
    else:
        pid = f"container:{sandbox_id}" if labels.get(LABEL_SHARE_PID) == "true" else ""
    return Joined(sandbox_id, ipc, pid)
