"""How long to wait before a failed pod is replaced. Pure.

Source: k8s.io/kubernetes `pkg/controller/job/backoff_utils.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kapi.api.object import Object
from kapi.controllers.job.pods import all_failures_of, finish_time

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    last_failure: datetime | None = None

    def after(self, succeeded: Sequence[Object], failed: Sequence[Object]) -> "Backoff":
        """With pods that ended since."""
        ends = [finish_time(pod) for pod in failed]
        if not succeeded:
            if not ends:
                return self
            latest = max([*ends, self.last_failure] if self.last_failure else ends)
            return Backoff(self.failures + len(ends), latest)
        success = max(finish_time(pod) for pod in succeeded)
        since = [end for end in ends if end > success]
        return Backoff(len(since), max(since, default=None))

    def remaining(self, now: datetime) -> float:
        """Seconds until the next pod may be created."""
        if self.last_failure is None:
            return 0.0
        return _remaining(self.failures, self.last_failure, now)


def remaining_for_index(last_failed: Object | None, now: datetime) -> float:
    """Seconds until the index whose newest failed pod this is may be tried again."""
    if last_failed is None:
        return 0.0
    return _remaining(all_failures_of(last_failed) + 1, finish_time(last_failed), now)


def _remaining(failures: int, since: datetime, now: datetime) -> float:
    if failures <= 0:
        return 0.0
    # 2**10 times the first delay is past the longest; larger powers only waste digits.
    delay: float = min(FIRST_SECONDS * 2 ** min(failures - 1, 10), LONGEST_SECONDS)
    return max(0.0, delay - (now - since).total_seconds())
