"""The extension points of the scheduler and the values that pass through them.

Plugins are pure: they read the cache and the pod, and return verdicts and scores. There are two
sorts. A *node* plugin looks at one node and its pods only; what it says is kept per equivalence
class of pods until that node changes. A *cluster* plugin may look at every node and is asked anew
for each pod. Names, order and weights are upstream's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from kapi.scheduler.cache import Cache
from kapi.scheduler.node_info import NodeInfo
from kapi.scheduler.pod_info import PodInfo

MAX_NODE_SCORE = 100


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a plugin refuses a node. `resolvable`: removing other pods might help."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = True


class EventKind(Enum):
    """What may let a waiting pod be scheduled after all."""

    NODE_ADD = "node added"
    NODE_UPDATE = "node changed"
    ASSIGNED_POD_ADD = "a pod was bound"
    ASSIGNED_POD_UPDATE = "a bound pod changed"
    ASSIGNED_POD_DELETE = "a bound pod went away"
    POD_UPDATE = "the waiting pod itself changed"
    NAMESPACE_CHANGE = "namespace labels changed"
    VOLUME_CHANGE = "a volume, claim or storage class changed"
    RETRY = "waited long enough"


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """`node` for node events; `pod` for pod events, `old_pod` where it changed."""

    kind: EventKind
    node: NodeInfo | None = None
    pod: PodInfo | None = None
    old_pod: PodInfo | None = None


NODE_EVENTS = frozenset({EventKind.NODE_ADD, EventKind.NODE_UPDATE})


class WakeUp(Protocol):
    """A plugin's part in deciding whether an event is worth another try."""

    name: str

    def may_help(self, pod: PodInfo, event: ClusterEvent) -> bool:
        """Whether this event could turn this plugin's refusal of `pod` into a yes."""


class NodeFilter(WakeUp, Protocol):
    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """None if the node is acceptable."""


@dataclass(frozen=True, slots=True)
class PreFilterResult:
    """`state` None: the plugin has nothing to say about this pod. `nodes`: only these can fit."""

    state: Any = None
    nodes: frozenset[str] | None = None
    rejection: Rejection | None = None


SKIP = PreFilterResult()


class PreFilter(Protocol):
    """A plugin that may narrow the search before any node is asked."""

    name: str

    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult: ...


class ClusterFilter(WakeUp, Protocol):
    def pre_filter(self, pod: PodInfo, cache: Cache) -> PreFilterResult: ...

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None: ...


class NodeScore(Protocol):
    """`score` is kept per node; `normalize` sees the feasible nodes' scores and may be costly."""

    name: str
    weight: int
    normalized: bool

    def score(self, pod: PodInfo, node: NodeInfo) -> int:
        """0..100, or any number >= 0 if `normalized`."""

    def normalize(self, scores: Sequence[int]) -> list[int]:
        """The final scores, 0..100. Only called if `normalized`."""


class ClusterScore(Protocol):
    name: str
    weight: int

    def scores(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """One score, 0..100, for each node; None if the plugin has no opinion on this pod."""


@dataclass(frozen=True, slots=True)
class FitError:
    """No node took the pod. `verdicts` has the first refusal of each node that was asked;
    nodes that PreFilter left out count as `absent`."""

    total_nodes: int
    verdicts: Mapping[str, Rejection]
    absent: Rejection | None = None
    pre_filter: Rejection | None = None

    def plugins(self) -> frozenset[str]:
        """Every plugin that refused something; only their events matter."""
        found = {rejection.plugin for rejection in self.verdicts.values()}
        found.update(r.plugin for r in (self.absent, self.pre_filter) if r is not None)
        return frozenset(found)

    def verdict(self, node: str) -> Rejection | None:
        return self.verdicts.get(node) or self.absent or self.pre_filter


@dataclass(frozen=True, slots=True)
class Placement:
    """The node chosen, how many nodes were looked at and how many would have done."""

    node: str
    evaluated: int
    feasible: int
