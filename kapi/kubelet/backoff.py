"""Doubling delays per key, forgotten after a quiet time. Pure but for the moments it is told.

Upstream: client-go util/flowcontrol Backoff, with 10 s, 300 s, and forgetting after twice the cap.
"""

from dataclasses import dataclass

from kapi.kubelet.config import (
    BACK_OFF_FIRST_SECONDS,
    BACK_OFF_FORGET_SECONDS,
    BACK_OFF_MAX_SECONDS,
)


@dataclass(slots=True)
class _Entry:
    delay: float
    updated: float


class BackOff:
    """`moment`s are seconds on any one clock."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def delay(self, key: str) -> float:
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def expiry(self, key: str, since: float) -> float:
        """When the wait counted from `since` is over."""
        return since + self.delay(key)

    def waiting(self, key: str, since: float, now: float) -> bool:
        """Whether an event of the time `since` is still being waited for at `now`."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > BACK_OFF_FORGET_SECONDS:
            return False
        return now - since < entry.delay

    def next(self, key: str, since: float, now: float) -> None:
        """Double the delay, or begin anew after a quiet time."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > BACK_OFF_FORGET_SECONDS:
            self._entries[key] = _Entry(BACK_OFF_FIRST_SECONDS, now)
        else:
            entry.delay = min(entry.delay * 2, BACK_OFF_MAX_SECONDS)
            entry.updated = now

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    def pending(self, key: str, now: float) -> bool:
        """Whether the wait counted from the last failure is still on."""
        entry = self._entries.get(key)
        return entry is not None and now - entry.updated < entry.delay
