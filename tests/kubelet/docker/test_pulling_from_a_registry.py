"""Pulls from a registry that asks for a password, and an image mounted as a volume."""

import asyncio
import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from docker_bench import Bench, container

from kapi.api.object import Object
from kapi.client.client import SECRETS

pytestmark = pytest.mark.e2e
_PASSWORD = base64.b64encode(b"user:secret").decode()
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """One image of one file, by the distribution protocol's three reading calls."""

    def __init__(self, *, locked: bool) -> None:
        self._locked = locked
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            for name, data in {"data/greeting": b"hello\n", "other": b"x"}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        packed = gzip.compress(layer.getvalue(), mtime=0)
        config = orjson.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/none"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
            }
        )
        self.manifest = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _entry("application/vnd.docker.container.image.v1+json", config),
                "layers": [_entry("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
            }
        )
        self._blobs = {digest(config): config, digest(packed): packed}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"\x16":
                    # A TLS hello: Docker tries that first, and turns to plain HTTP when refused.
                    writer.close()
                    return
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                status, headers, body = self._answer(path, head)
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
                lines.append("Docker-Distribution-Api-Version: registry/2.0")
                payload = b"" if method == "HEAD" else body
                writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, path: str, head: str) -> tuple[int, list[str], bytes]:
        if self._locked and f"Authorization: Basic {_PASSWORD}" not in head:
            return 401, ['WWW-Authenticate: Basic realm="test"'], b""
        if path == "/v2/":
            return 200, [], b"{}"
        if "/manifests/" in path:
            name = f"Docker-Content-Digest: {digest(self.manifest)}"
            return 200, [f"Content-Type: {_MANIFEST}", name], self.manifest
        blob = self._blobs.get(path.rsplit("/", 1)[1])
        if blob is None:
            return 404, [], b""
        return 200, ["Content-Type: application/octet-stream"], blob


def _entry(media_type: str, data: bytes) -> Object:
    return {"mediaType": media_type, "size": len(data), "digest": digest(data)}


@asynccontextmanager
async def registry(engine: Any, *, locked: bool) -> AsyncIterator[tuple[str, Registry]]:
    """(image reference, the registry); the image is gone from the engine before and after."""
    made = Registry(locked=locked)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    image = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/greeting:1"
    try:
        yield image, made
    finally:
        server.close()
        if await asyncio.to_thread(engine.images, image):
            await asyncio.to_thread(engine.remove_image, image, force=True)


def waiting(pod: Object) -> str:
    state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
    return str(state.get("waiting", {}).get("reason", ""))


async def test_a_pull_secret_opens_the_registry(bench: Bench, engine: Any) -> None:
    async with registry(engine, locked=True) as (image, served):
        main = container("main", image=image)
        await bench.create("locked-out", main, restartPolicy="Never")
        await bench.wait("locked-out", lambda pod: waiting(pod) == "ImagePullBackOff")
        server = image.partition("/")[0]
        auths = orjson.dumps({"auths": {server: {"auth": _PASSWORD}}})
        secret = {
            "metadata": {"name": "door"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(auths).decode()},
        }
        await bench.admin.create(SECRETS, "default", secret)
        await bench.create(
            "let-in", main, restartPolicy="Never", imagePullSecrets=[{"name": "door"}]
        )
        # The image holds no program: that it was fetched is what counts.
        pod = await bench.wait(
            "let-in", lambda pod: waiting(pod) in ("RunContainerError", "CreateContainerError")
            or pod["status"]["phase"] == "Failed"
        )  # fmt: skip
        pulled = [text for reason, text in await bench.events("let-in") if reason == "Pulled"]
        assert pulled[0].startswith(f'Successfully pulled image "{image}" in ')
        assert pulled[0].endswith(" bytes.")
        status = pod["status"]["containerStatuses"][0]
        assert status["image"] == image
        assert status["imageID"].endswith(f"@{digest(served.manifest)}")


async def test_an_image_as_a_volume(bench: Bench, engine: Any) -> None:
    async with registry(engine, locked=False) as (image, _):
        script = "cat /files/data/greeting /one/greeting; touch /files/x 2>/dev/null || echo closed"
        await bench.create(
            "reader",
            container(
                "main", "sh", "-c", script,
                volumeMounts=[
                    {"name": "image", "mountPath": "/files"},
                    {"name": "image", "mountPath": "/one", "subPath": "data"},
                ],
            ),
            volumes=[{"name": "image", "image": {"reference": image, "pullPolicy": "Always"}}],
            restartPolicy="Never",
        )  # fmt: skip
        await bench.wait_phase("reader", "Succeeded")
        assert await bench.logs("reader") == "hello\nhello\nclosed\n"


async def test_an_image_volume_that_cannot_be_pulled(bench: Bench) -> None:
    volume = {"name": "image", "image": {"reference": "127.0.0.1:1/absent:1"}}
    main = container("main", "true", volumeMounts=[{"name": "image", "mountPath": "/files"}])
    await bench.create("volumeless", main, volumes=[volume])
    await bench.wait("volumeless", lambda pod: waiting(pod) in ("ErrImagePull", "ImagePullBackOff"))
