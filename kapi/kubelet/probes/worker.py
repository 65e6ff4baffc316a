"""One probe of one container of a pod, asked again and again.

Upstream: pkg/kubelet/prober/worker.go.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kapi import env
from kapi.api.object import Object, is_deleting
from kapi.kubelet.hooks import HookTarget
from kapi.kubelet.pod_view import PodView, ProbeKind, ProbeResults
from kapi.kubelet.probes.prober import Prober, Verdict
from kapi.kubelet.runtime.interface import Container

_ERROR_TRIES = 3
_TITLES: dict[ProbeKind, str] = {
    "liveness": "Liveness",
    "readiness": "Readiness",
    "startup": "Startup",
}


class ProbedPod(Protocol):
    """What a probe must know of its pod, always as it is now."""

    pod: Object
    view: PodView
    probes: ProbeResults

    def address(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ProbeHooks:
    """`record(type, reason, message)` writes an event about the container; `news` is called when a
    result has changed."""

    record: Callable[[str, str, str], None]
    news: Callable[[], None]


class ProbeWorker:
    """`run` ends when the probe has nothing left to ask."""

    def __init__(
        self, kind: ProbeKind, name: str, owner: ProbedPod, prober: Prober, hooks: ProbeHooks
    ) -> None:
        self.kind = kind
        self.name = name
        self._owner = owner
        self._prober = prober
        self._hooks = hooks
        self._now = asyncio.Event()
        self._container_id = ""
        self._on_hold = False
        self._last = ""
        self._run_length = 0

    def trigger(self) -> None:
        """Ask at once instead of at the next tick."""
        self._now.set()

    def knows(self, container_id: str) -> bool:
        """Whether this instance has been looked at already."""
        return self._container_id == container_id

    async def run(self) -> None:
        while True:
            spec = self._spec()
            if spec is None or not await self._step(spec[0], spec[1]):
                return
            self._now.clear()
            try:
                async with asyncio.timeout(float(spec[1].get("periodSeconds") or 10)):
                    await self._now.wait()
            except TimeoutError:
                pass

    def _spec(self) -> tuple[Object, Object] | None:
        spec = self._owner.pod["spec"]
        for container in (*spec["containers"], *(spec.get("initContainers") or ())):
            if container["name"] == self.name:
                probe = container.get(f"{self.kind}Probe")
                return (container, probe) if probe else None
        return None

    async def _step(self, container: Object, probe: Object) -> bool:
        """False when probing is over for good."""
        found = self._owner.view.newest(self.name)
        if found is None or found.state == "created":
            return True
        if found.id != self._container_id:
            self._container_id = found.id
            self._on_hold, self._last, self._run_length = False, "", 0
        if self._on_hold:
            return True
        if found.state != "running":
            if self.kind == "readiness":
                self._set(found, False)
            return True
        if is_deleting(self._owner.pod) and self.kind != "readiness":
            self._set(found, True)
            return False
        if self._too_early(container, probe, found):
            return True
        verdict = await self._ask(probe, HookTarget(
            self._owner.pod, container, found.id, self._owner.address()
        ))  # fmt: skip
        self._judge(probe, found, verdict)
        return True

    def _too_early(self, container: Object, probe: Object, found: Container) -> bool:
        if found.started_at is not None:
            age = (env.now() - found.started_at).total_seconds()
            if int(age) < int(probe.get("initialDelaySeconds") or 0):
                return True
        started = not container.get("startupProbe") or bool(
            self._owner.probes.get(found.id, "startup")
        )
        # The startup probe falls silent once it has succeeded; the others wait for it.
        return started if self.kind == "startup" else not started

    async def _ask(self, probe: Object, target: HookTarget) -> Verdict:
        for _ in range(_ERROR_TRIES):
            verdict = await self._prober.probe(probe, target)
            if verdict.result != "error":
                break
        self._tell(verdict)
        return verdict

    def _tell(self, verdict: Verdict) -> None:
        title = _TITLES[self.kind]
        if verdict.result == "failure":
            self._hooks.record("Warning", "Unhealthy", f"{title} probe failed: {verdict.text}")
        elif verdict.result == "error":
            text = f"{title} probe errored and resulted in unknown state: {verdict.text}"
            self._hooks.record("Warning", "Unhealthy", text)
        elif verdict.warning:
            self._hooks.record("Warning", "ProbeWarning", f"{title} probe warning: {verdict.text}")

    def _judge(self, probe: Object, found: Container, verdict: Verdict) -> None:
        if verdict.result == "error":
            return
        self._run_length = self._run_length + 1 if verdict.result == self._last else 1
        self._last = verdict.result
        success = verdict.result == "success"
        threshold = probe.get("successThreshold" if success else "failureThreshold")
        if self._run_length < int(threshold or (1 if success else 3)):
            return
        self._set(found, success)
        if self.kind != "readiness" and not success:
            # The container is about to be killed: wait for its successor.
            self._on_hold, self._run_length = True, 0

    def _set(self, found: Container, success: bool) -> None:
        if self._owner.probes.set(found.id, self.kind, success):
            self._hooks.news()
