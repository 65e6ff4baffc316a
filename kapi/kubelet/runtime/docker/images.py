"""Images: the engine's own store is the node's store."""

import base64
from collections.abc import Sequence
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
from kapi.kubelet.runtime.interface import Image, ImagePullFailed, RegistryAuth


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

    async def pause_image(self) -> str:
        """The id of the pause image, made on first use."""
        found = await self.find(PAUSE_IMAGE)
        if found is None:
            await self._engine.call(_import_pause)
            found = await self.find(PAUSE_IMAGE)
        assert found is not None
        return found.id


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
