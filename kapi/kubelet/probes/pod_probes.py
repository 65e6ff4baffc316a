"""All probe workers of one pod."""

from collections.abc import Callable

from kapi import env
from kapi.api.object import Object
from kapi.kubelet.pod_view import ProbeKind
from kapi.kubelet.probes.prober import Prober
from kapi.kubelet.probes.worker import ProbedPod, ProbeHooks, ProbeWorker
from kapi.kubelet.restarts import is_sidecar

_KINDS: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")


class PodProbes:
    """Starts a worker per probe; `record(container name)` gives the event function for it."""

    def __init__(
        self,
        owner: ProbedPod,
        prober: Prober,
        record: Callable[[str], Callable[[str, str, str], None]],
        news: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._prober = prober
        self._record = record
        self._news = news
        self._workers: dict[tuple[str, ProbeKind], ProbeWorker] = {}
        self._scope = env.TaskScope()

    def ensure(self) -> None:
        """Workers for every probed main container and sidecar."""
        spec = self._owner.pod["spec"]
        sidecars = [c for c in spec.get("initContainers") or () if is_sidecar(c)]
        for container in (*spec["containers"], *sidecars):
            for kind in _KINDS:
                if container.get(f"{kind}Probe"):
                    self._ensure_one(container, kind)

    def _ensure_one(self, container: Object, kind: ProbeKind) -> None:
        key = (container["name"], kind)
        if key in self._workers:
            return
        hooks = ProbeHooks(self._record(container["name"]), self._news)
        worker = ProbeWorker(kind, container["name"], self._owner, self._prober, hooks)
        self._workers[key] = worker
        self._scope.spawn(worker.run(), f"{kind} probe of {container['name']}")

    def hurry(self) -> None:
        """Probes that decide whether a running container counts are not left to the next tick.

        Readiness is asked again each time, as upstream does; startup once per container.
        """
        for (name, kind), worker in self._workers.items():
            newest = self._owner.view.newest(name)
            if newest is None or newest.state != "running":
                continue
            unready = kind == "readiness" and not self._owner.probes.get(newest.id, kind)
            if unready or (kind == "startup" and not worker.knows(newest.id)):
                worker.trigger()

    async def close(self) -> None:
        await self._scope.close()
        self._workers.clear()
