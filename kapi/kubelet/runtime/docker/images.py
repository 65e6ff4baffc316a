"""Images: the engine's own store is the node's store."""

import base64
import io
import tarfile
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kapi.kubelet.runtime.docker.engine import DockerEngine, EngineError
from kapi.kubelet.runtime.docker.pause import (
    PAUSE_IMAGE,
    PAUSE_REPOSITORY,
    PAUSE_TAG,
    pause_layer,
)
from kapi.kubelet.runtime.docker.translate import image_from
from kapi.kubelet.runtime.interface import Image, ImagePullFailed, RegistryAuth, RuntimeFailure


class DockerImages:
    """Finding, pulling, and making the one image kapi brings along."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._pause_id = ""

    async def find(self, reference: str) -> Image | None:
        try:
            return image_from(
                await self._engine.call(lambda client: client.inspect_image(reference))
            )
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def list(self) -> Sequence[Image]:
        """Without USER: the engine's list does not tell it."""
        rows = await self._engine.call(lambda client: client.images())
        return [image_from(row) for row in rows]

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image:
        repository, tag = split_reference(reference)
        query = {"fromImage": repository, "tag": tag}
        headers = {"X-Registry-Auth": _encoded(auth)} if auth else {}
        try:
            async with self._engine.exchange(
                "POST", "/images/create", query=query, headers=headers
            ) as answer:
                while line := await answer.reader.readline():
                    step: Any = orjson.loads(line)
                    if "error" in step:
                        raise ImagePullFailed(f"Error response from daemon: {step['error']}")
        except EngineError as error:
            raise ImagePullFailed(f"Error response from daemon: {error}") from error
        found = await self.find(reference)
        if found is None:
            raise ImagePullFailed(f"{reference} was pulled and is not in the store")
        return found

    async def unpack(self, image_id: str, target: str) -> None:
        """An image has no files of its own to read: a container is made of it, never started."""
        config = {"Image": image_id, "Entrypoint": ["none"], "Cmd": []}
        made = await self._engine.call(
            lambda client: client.create_container_from_config(config, None)
        )
        try:
            await self._engine.call(lambda client: _extract(client.export(made["Id"]), target))
        finally:
            await self._engine.call(
                lambda client: client.remove_container(made["Id"], force=True, v=True)
            )

    async def pause_image(self) -> str:
        """The id of the pause image, made on first use."""
        found = await self.find(PAUSE_IMAGE)
        if found is None:
            await self._engine.call(_import_pause)
            found = await self.find(PAUSE_IMAGE)
        assert found is not None
        return found.id


class _Pieces(io.RawIOBase):
    """A stream of byte pieces as the file that tarfile wants to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _extract(pieces: Iterable[bytes], target: str) -> None:
    """Owners and modes as in the image; nothing may land outside of `target`."""
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces)), mode="r|") as archive:
            for entry in archive:
                if entry.isdev():
                    continue
                archive.extract(entry, target, numeric_owner=True, filter="tar")
    except (tarfile.TarError, OSError) as error:
        raise RuntimeFailure(f"unpacking the image: {error}") from error


def _import_pause(client: Any) -> None:
    architecture = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(
        client.info()["Architecture"], client.info()["Architecture"]
    )
    client.import_image_from_data(
        pause_layer(architecture), repository=PAUSE_REPOSITORY, tag=PAUSE_TAG
    )


def split_reference(reference: str) -> tuple[str, str]:
    """(repository, tag or digest) of a complete reference; the tag defaults to latest."""
    repository, at, digest = reference.partition("@")
    if at:
        return repository, digest
    head, slash, tail = reference.rpartition("/")
    name, _, tag = tail.partition(":")
    return head + slash + name, tag or "latest"


def _encoded(auth: RegistryAuth) -> str:
    fields = {
        "username": auth.username,
        "password": auth.password,
        "serveraddress": auth.server,
    }
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode()
