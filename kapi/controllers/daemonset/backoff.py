"""How long a node is left alone after its pod failed.

Deleting and making a pod that the kubelet rejects would otherwise go round without rest.
"""

from dataclasses import dataclass

from kapi import env

FIRST_SECONDS = 1.0
LAST_SECONDS = 15 * 60.0


@dataclass(frozen=True, slots=True)
class _Rest:
    since: float
    seconds: float


class FailedPodBackoff:
    """For each daemon set (by key) and node: 1 s, doubled for each failure up to 15 minutes.

    A node without failures for twice the longest rest starts over.
    """

    def __init__(self) -> None:
        self._rests: dict[str, dict[str, _Rest]] = {}

    def failed(self, key: str, node: str) -> None:
        now = env.monotonic()
        rests = self._rests.setdefault(key, {})
        last = rests.get(node)
        if last is None or now - last.since > 2 * LAST_SECONDS:
            rests[node] = _Rest(now, FIRST_SECONDS)
        else:
            rests[node] = _Rest(now, min(2 * last.seconds, LAST_SECONDS))

    def resting(self, key: str) -> dict[str, float]:
        """The nodes to leave alone, with the seconds that are left."""
        now = env.monotonic()
        rests = self._rests.get(key, {})
        left = {node: rest.since + rest.seconds - now for node, rest in rests.items()}
        return {node: seconds for node, seconds in left.items() if seconds > 0}

    def forget(self, key: str) -> None:
        self._rests.pop(key, None)
