"""What the runtime has of one pod, and what probes found: the observations plans are made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kapi.kubelet.runtime.interface import Container, Sandbox

ProbeKind = Literal["liveness", "readiness", "startup"]


@dataclass(frozen=True, slots=True)
class PodView:
    """Sandboxes newest first; instances of each container newest first."""

    sandboxes: tuple[Sandbox, ...] = ()
    instances: Mapping[str, tuple[Container, ...]] = field(default_factory=dict)

    def newest(self, name: str) -> Container | None:
        found = self.instances.get(name, ())
        return found[0] if found else None

    def containers(self) -> Iterable[Container]:
        for group in self.instances.values():
            yield from group

    @property
    def ips(self) -> tuple[str, ...]:
        return self.sandboxes[0].ips if self.sandboxes else ()


def pod_view(sandboxes: Iterable[Sandbox]) -> PodView:
    """Group what the runtime listed for one pod."""
    ordered = tuple(
        sorted(sandboxes, key=lambda sandbox: (sandbox.running, sandbox.created_at), reverse=True)
    )
    groups: dict[str, list[Container]] = {}
    for sandbox in ordered:
        for container in sandbox.containers:
            groups.setdefault(container.name, []).append(container)
    instances = {
        name: tuple(sorted(group, key=lambda found: found.created_at, reverse=True))
        for name, group in groups.items()
    }
    return PodView(ordered, instances)


@dataclass(slots=True)
class ProbeResults:
    """Last decisive results by container id; a missing entry means: not decided yet."""

    results: dict[tuple[str, ProbeKind], bool] = field(default_factory=dict)

    def get(self, container_id: str, kind: ProbeKind) -> bool | None:
        return self.results.get((container_id, kind))

    def set(self, container_id: str, kind: ProbeKind, success: bool) -> bool:
        """True when this is news."""
        if self.results.get((container_id, kind)) is success:
            return False
        self.results[(container_id, kind)] = success
        return True

    def forget_except(self, container_ids: Iterable[str]) -> None:
        keep = set(container_ids)
        self.results = {key: value for key, value in self.results.items() if key[0] in keep}
