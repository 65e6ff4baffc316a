"""Keeps count of ready nodes per zone, and hands out permits to evict."""

from kapi import env
from kapi.api.object import Object, name_of
from kapi.controllers.node_lifecycle.plan import Zone, is_counted, ready_status, zone_of


class Zones:
    """`put` and `remove` nodes as they change; counts are kept, not recomputed."""

    def __init__(self) -> None:
        self._where: dict[str, tuple[str, bool]] = {}
        self._zones: dict[str, Zone] = {}
        self._next_permit: dict[str, float] = {}

    def put(self, node: Object) -> None:
        self.remove(node)
        if not is_counted(node):
            return
        zone, ready = zone_of(node), ready_status(node) == "True"
        self._where[name_of(node)] = (zone, ready)
        counts = self._zones.setdefault(zone, Zone())
        if ready:
            counts.ready += 1
        else:
            counts.not_ready += 1

    def remove(self, node: Object) -> None:
        known = self._where.pop(name_of(node), None)
        if known is None:
            return
        zone, ready = known
        counts = self._zones[zone]
        if ready:
            counts.ready -= 1
        else:
            counts.not_ready -= 1
        if counts.ready + counts.not_ready == 0:
            del self._zones[zone]

    @property
    def all_down(self) -> bool:
        """Then the trouble is more likely ours than theirs, and nothing is evicted."""
        return bool(self._zones) and all(zone.is_down for zone in self._zones.values())

    def permit(self, node: Object) -> float | None:
        """0 if one more node of the zone may be tainted NoExecute now; else the seconds to wait;
        None if none may be for the time being."""
        if self.all_down:
            return None
        zone = zone_of(node)
        rate = self._zones.get(zone, Zone()).eviction_rate
        if rate <= 0:
            return None
        now = env.monotonic()
        due = self._next_permit.get(zone, now)
        if due > now:
            return due - now
        self._next_permit[zone] = now + 1 / rate
        return 0.0
