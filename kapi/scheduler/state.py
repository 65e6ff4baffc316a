"""All that the scheduler remembers, in one value that its parts share."""

from dataclasses import dataclass, field

from kapi.scheduler.algorithm import Plugins
from kapi.scheduler.cache import Cache
from kapi.scheduler.nominations import Nominations
from kapi.scheduler.profile import default_plugins
from kapi.scheduler.queue import SchedulingQueue
from kapi.scheduler.volumes import Volumes
from kapi.scheduler.workloads import Workloads


@dataclass(slots=True)
class State:
    """Everything here is changed synchronously, on one event loop."""

    cache: Cache = field(default_factory=Cache)
    nominations: Nominations = field(default_factory=Nominations)
    workloads: Workloads = field(default_factory=Workloads)
    volumes: Volumes = field(default_factory=Volumes)
    plugins: Plugins = field(init=False)
    queue: SchedulingQueue = field(init=False)

    def __post_init__(self) -> None:
        self.plugins = default_plugins(self.workloads, self.volumes)
        self.queue = SchedulingQueue(self.plugins.by_name())

    def generation(self) -> tuple[int, int]:
        """Equal as long as no verdict can have changed."""
        return self.cache.generation, self.nominations.generation
