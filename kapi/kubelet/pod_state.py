"""One pod as its worker knows it: the API's copy, the runtime's view, and what follows."""

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from kapi import env
from kapi.api.object import Object, namespace_of, uid_of
from kapi.kubelet import labels
from kapi.kubelet.backoff import BackOff
from kapi.kubelet.container_status import RESTARTING_ALL_REASON, Reason, StatusFacts
from kapi.kubelet.environment import references
from kapi.kubelet.images import ImageFailure, ImageRequest
from kapi.kubelet.object_cache import CacheNotSynced, Key
from kapi.kubelet.pod_view import PodView, ProbeResults, pod_view
from kapi.kubelet.resize import (
    Pending,
    actual_resources,
    allocated_resources,
    resize_conditions,
    with_resources,
)
from kapi.kubelet.restarts import has_restart_all_rule
from kapi.kubelet.runtime.interface import (
    Container,
    ImageUnpacker,
    LogOptions,
    RuntimeFailure,
    RuntimeUnavailable,
)
from kapi.kubelet.services import PodServices, record_pod
from kapi.kubelet.status import compute_status
from kapi.kubelet.volumes.payloads import VolumeFailure, object_references
from kapi.kubelet.volumes.pod_volumes import PodVolumes, used_volumes

_MESSAGE_BYTES = 4096
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048


class PodState:
    """`api_pod` is the API's version; `pod` the same with the resources it was given so far.

    `status` is the last one computed; before the first, what the API has.
    """

    def __init__(self, services: PodServices, pod: Object) -> None:
        self.services = services
        self.api_pod = pod
        self.pod = pod
        self.uid = uid_of(pod)
        self.view = PodView()
        self.probes = ProbeResults()
        self.status: Object = pod.get("status") or {}
        self.reasons: dict[str, Reason] = {}
        self.messages: dict[str, str] = {}
        self.actual_resources: dict[str, Object] = {}
        self.allocated = allocated_resources(pod)
        self.resize_pending: Pending | None = None
        self.resize_error = ""
        self.resizing = False
        self.removed_attempts: dict[str, int] = {}
        """Attempt numbers of instances that were removed to restart the pod in place."""
        self.back_off = BackOff()
        self.volumes = PodVolumes(
            services.client, services.objects, services.pod_root(self.uid), self._unpack_image
        )
        self.observed = False

    def update(self, pod: Object) -> None:
        """The API has a new version; resources stay as they were allocated."""
        self.api_pod = pod
        self.pod = with_resources(pod, self.allocated)

    def allocate(self, resources: dict[str, Object]) -> None:
        """From now on the pod has these resources, by container name."""
        self.allocated = resources
        self.pod = with_resources(self.api_pod, resources)

    def address(self) -> str:
        """Where probes and hooks reach the pod."""
        if self.pod["spec"].get("hostNetwork"):
            return "".join(self.services.node.host_ips[:1])
        return "".join(self.view.ips[:1])

    async def observe(self) -> None:
        """Look at the runtime. Raises RuntimeUnavailable."""
        self.view = pod_view(await self.services.runtime.list_sandboxes(self.uid))
        present = {container.id for container in self.view.containers()}
        self.probes.forget_except(present)
        self.messages = {key: text for key, text in self.messages.items() if key in present}
        for container in self.view.containers():
            if container.state == "exited" and container.id not in self.messages:
                self.messages[container.id] = await self._last_words(container)
        if not self.observed:
            self.observed = True
            self._carry_over()

    def _carry_over(self) -> None:
        """After a restart of the kubelet: what was ready stays ready until a probe says no.

        What a container was given is told by its labels, later changes by the last report.
        """
        reported = (
            *(self.status.get("containerStatuses") or ()),
            *(self.status.get("initContainerStatuses") or ()),
        )
        for status in reported:
            newest = self.view.newest(status["name"])
            if newest is None or not status.get("containerID", "").endswith(newest.id):
                continue
            self.actual_resources[newest.id] = dict(status.get("resources") or {})
            actual = actual_resources(newest, self.actual_resources)
            self.allocate({**self.allocated, status["name"]: actual})
            if status.get("started"):
                self.probes.set(newest.id, "startup", True)
            if status.get("ready"):
                self.probes.set(newest.id, "readiness", True)

    async def _last_words(self, container: Container) -> str:
        """The termination message: the end of the file, or of the log where that is the policy.

        A container may write what it likes into the file, so no more than the message is read.
        """
        path, text = container.labels.get(labels.TERMINATION_FILE, ""), ""
        if path:
            try:
                data = await env.in_thread(env.read_tail, path, _MESSAGE_BYTES)
                text = data.decode(errors="replace")
            except OSError:
                pass
        policy = container.labels.get(labels.TERMINATION_POLICY)
        if text or policy != "FallbackToLogsOnError" or container.exit_code == 0:
            return text
        return await self._log_tail(container.id)

    async def _log_tail(self, container_id: str) -> str:
        data = b""
        try:
            pieces: Any = self.services.runtime.logs(
                container_id, LogOptions(tail_lines=_FALLBACK_LINES)
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    data = (data + piece)[-_FALLBACK_BYTES:]
        except RuntimeUnavailable:
            raise
        except RuntimeFailure:
            return ""
        return data.decode(errors="replace")

    def compute(self, *, terminal: bool = False) -> Object:
        """The status that follows from the last look."""
        facts = StatusFacts(
            view=self.view,
            probes=self.probes,
            now=env.timestamp(),
            runtime_name=self.services.runtime.name,
            host_ips=self.services.node.host_ips,
            reasons=self.reasons,
            messages=self.messages,
            resources=self.actual_resources,
            terminal=terminal,
            extra_conditions=[
                *resize_conditions(
                    self.resize_pending,
                    self.resize_error,
                    self.resizing,
                    self.api_pod["metadata"].get("generation"),
                ),
                *self._restarting_condition(),
            ],
        )
        return compute_status(self.pod, self.status, facts)

    def _restarting_condition(self) -> list[Object]:
        """AllContainersRestarting, for pods that can be restarted in place."""
        if not has_restart_all_rule(self.pod):
            return []
        under_way = any(reason.reason == RESTARTING_ALL_REASON for reason in self.reasons.values())
        condition: Object = {"type": "AllContainersRestarting", "status": "False"}
        if under_way:
            condition["status"] = "True"
            condition["reason"] = "RestartAllContainersStarted"
            condition["message"] = "container exited with restart policy rule"
        return [condition]

    def reported_status(self, name: str) -> Mapping[str, Any]:
        """The last status of a container by name, or an empty mapping."""
        for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for status in self.status.get(group) or ():
                if status["name"] == name:
                    found: Mapping[str, Any] = status
                    return found
        return {}

    async def pull_secrets(self) -> tuple[tuple[Object, ...], list[str]]:
        """(the pod's pull secrets that exist, the names of those that do not)."""
        found, missing = [], []
        for entry in self.pod["spec"].get("imagePullSecrets") or ():
            name = entry.get("name") or ""
            try:
                secret = await self.services.objects.get(("Secret", namespace_of(self.pod), name))
            except CacheNotSynced:
                secret = None
            if secret is None:
                missing.append(name)
            else:
                found.append(secret)
        return tuple(found), missing

    async def _unpack_image(self, volume: Object, target: Path) -> None:
        """For an image volume. Raises VolumeFailure.

        A pull that fails shows as the reason of the containers that mount the volume.
        """
        source, runtime = volume["image"], self.services.runtime
        if not isinstance(runtime, ImageUnpacker):
            raise VolumeFailure(f"the {runtime.name} runtime cannot mount images")
        request = ImageRequest(
            image=source.get("reference", ""),
            policy=source.get("pullPolicy") or "",
            owner=self.uid,
            secrets=(await self.pull_secrets())[0],
        )

        def record(kind: str, reason: str, message: str) -> None:
            record_pod(self.services, self.pod, kind, reason, message)

        try:
            image = await self.services.images.ensure(request, record)
            await runtime.unpack_image(image.id, str(target))
        except RuntimeUnavailable:
            raise
        except ImageFailure as error:
            spec = self.pod["spec"]
            for container in (*spec["containers"], *(spec.get("initContainers") or ())):
                mounts = container.get("volumeMounts") or ()
                if any(mount["name"] == volume["name"] for mount in mounts):
                    self.reasons[container["name"]] = Reason(error.reason, str(error))
            raise VolumeFailure(str(error)) from error
        except RuntimeFailure as error:
            raise VolumeFailure(str(error)) from error

    def object_keys(self) -> set[Key]:
        """Every ConfigMap and Secret the pod may need on this node."""
        namespace, spec = namespace_of(self.pod), self.pod["spec"]
        keys: set[Key] = set()
        for group in ("containers", "initContainers", "ephemeralContainers"):
            for container in spec.get(group) or ():
                keys.update((kind, namespace, name) for kind, name in references(container))
        if self.services.config.manage_volumes:
            for volume in used_volumes(self.pod):
                keys.update((kind, namespace, name) for kind, name in object_references(volume))
        keys.update(
            ("Secret", namespace, secret["name"])
            for secret in spec.get("imagePullSecrets") or ()
            if secret.get("name")
        )
        return {key for key in keys if key[2]}
