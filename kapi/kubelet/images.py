"""Getting a container's image: pull policies, back-off, events.

Upstream: pkg/kubelet/images/image_manager.go. Pulls are serial, as upstream's default is.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kapi import env
from kapi.api.object import Object
from kapi.client.events import NORMAL, WARNING
from kapi.kubelet.backoff import BackOff
from kapi.kubelet.go_text import go_duration
from kapi.kubelet.image_reference import InvalidImageName, parse_image, pull_policy
from kapi.kubelet.pull_credentials import credentials_for
from kapi.kubelet.runtime.interface import (
    Image,
    ImagePullFailed,
    RegistryAuth,
    Runtime,
    RuntimeFailure,
    RuntimeUnavailable,
)

Record = Callable[[str, str, str], None]
"""(type, reason, message) of an event about the container at hand."""


class ImageFailure(Exception):
    """`reason` is the waiting reason, the text its message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """`owner` is the pod's uid: back-off is counted per pod and image."""

    image: str
    policy: str
    owner: str
    secrets: tuple[Object, ...] = ()


def _made_here(image: Image) -> bool:
    """An image no registry knows: it was built or imported on this machine.

    The engine's store is the node's, so `docker build` and `kubectl run` need no registry between
    them, even where the policy (by the tag `latest`) is Always: there is nothing to pull. A pulled
    image has a digest of its registry and is pulled again.
    """
    return not image.repo_digests


class ImagePuller:
    """One per node."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._back_off = BackOff()
        self._errors: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def ensure(self, request: ImageRequest, record: Record) -> Image:
        """The image, present on the node. Raises ImageFailure, RuntimeUnavailable."""
        image = request.image
        try:
            reference = parse_image(image)
        except InvalidImageName as error:
            record(WARNING, "InspectFailed", str(error))
            raise ImageFailure("InvalidImageName", str(error)) from error
        policy = pull_policy(request.policy, reference)
        try:
            found = await self._runtime.find_image(reference.complete)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as error:
            text = f'Failed to inspect image "": {error}'
            record(WARNING, "InspectFailed", text)
            raise ImageFailure("ImageInspectError", text) from error
        if found is not None and (policy != "Always" or _made_here(found)):
            record(
                NORMAL,
                "Pulled",
                f'Container image "{image}" already present on machine '
                "and can be accessed by the pod",
            )
            return found
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            record(WARNING, "ErrImageNeverPull", text)
            raise ImageFailure("ErrImageNeverPull", text)
        return await self._pull(request, reference.complete, record)

    async def _pull(self, request: ImageRequest, complete: str, record: Record) -> Image:
        image, key = request.image, f"{request.owner}_{request.image}"
        now = env.monotonic()
        if self._back_off.pending(key, now):
            record(NORMAL, "BackOff", f'Back-off pulling image "{image}"')
            before = self._errors.get(key, "")
            raise ImageFailure(
                "ImagePullBackOff",
                f'Back-off pulling image "{image}": ErrImagePull: {before}',
            )
        record(NORMAL, "Pulling", f'Pulling image "{image}"')
        async with self._turn:
            begun = env.monotonic()
            try:
                found = await self._try_each(complete, request)
            except ImagePullFailed as error:
                record(WARNING, "Failed", f'Failed to pull image "{image}": {error}')
                self._errors[key] = str(error)
                self._back_off.next(key, env.monotonic(), env.monotonic())
                raise ImageFailure("ErrImagePull", str(error)) from error
        end = env.monotonic()
        record(
            NORMAL,
            "Pulled",
            f'Successfully pulled image "{image}" in {go_duration(end - begun)} '
            f"({go_duration(end - now)} including waiting). Image size: {found.size_bytes} bytes.",
        )
        self._back_off.forget(key)
        self._errors.pop(key, None)
        return found

    async def _try_each(self, complete: str, request: ImageRequest) -> Image:
        """With each credential in turn; without any, anonymously."""
        found = credentials_for(parse_image(complete), request.secrets)
        choices: Iterable[RegistryAuth | None] = found or [None]
        errors: list[str] = []
        for auth in choices:
            try:
                return await self._runtime.pull_image(complete, auth)
            except ImagePullFailed as error:
                errors.append(str(error))
        unique = list(dict.fromkeys(errors))
        raise ImagePullFailed(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")

    def forget_pod(self, uid: str) -> None:
        """The pod is gone: its back-off no longer matters."""
        for key in [key for key in self._errors if key.startswith(f"{uid}_")]:
            del self._errors[key]
            self._back_off.forget(key)
