"""The times of a schedule. Pure.

The fields are read by the grammar of github.com/robfig/cron/v3, which upstream uses, and walked by
cronsim. Given a field for seconds, cronsim steps through real time, so that around a change of
daylight saving time it does what upstream does: times that the clock skips do not occur, times
that it shows twice occur twice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
# Upstream gives up the search for a time after so many years.
_HORIZON = timedelta(days=5 * 366)


class UnknownTimeZone(ValueError):
    """The time zone is not one of the IANA database."""


class UnreadableSchedule(ValueError):
    """The text is no schedule."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `expression` for cronsim in `zone`, or a fixed distance `every`."""

    expression: str
    every: timedelta | None
    zone: tzinfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times later than `moment`, in UTC. Ends where none comes within five years."""
        if self.every is not None:
            return self._regular(moment, self.every)
        return self._walked(moment)

    def next(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`."""
        return next(self.after(moment), None)

    @staticmethod
    def _regular(moment: datetime, every: timedelta) -> Iterator[datetime]:
        current = moment.astimezone(UTC).replace(microsecond=0)
        while True:
            current += every
            yield current

    def _walked(self, moment: datetime) -> Iterator[datetime]:
        try:
            walk = CronSim(self.expression, moment.astimezone(self.zone))
        except CronSimError:
            # A day that no month has.
            return
        last = moment.astimezone(UTC)
        for local in walk:
            found = local.astimezone(UTC)
            if found.astimezone(self.zone).replace(tzinfo=None) != local.replace(tzinfo=None):
                # A time that the clock skips.
                continue
            if found - last > _HORIZON:
                return
            if found > last:
                yield found
                last = found


def time_zone(name: str | None) -> tzinfo:
    """UTC for None: the zone of this process is not for users to guess.

    Raises UnknownTimeZone.
    """
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UnknownTimeZone(f"unknown time zone {name}") from error


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """Raises UnreadableSchedule. A zone in the text (`TZ=Asia/Tokyo 0 3 * * *`) goes before."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        text = text.strip()
        try:
            zone = time_zone(prefix.partition("=")[2])
        except UnknownTimeZone as error:
            raise UnreadableSchedule(str(error)) from error
    if text.startswith("@every "):
        return Schedule("", _duration(text.removeprefix("@every ")), zone)
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise UnreadableSchedule(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        found = f"found {len(fields)}: [{' '.join(fields)}]"
        raise UnreadableSchedule(f"expected exactly 5 fields, {found}")
    read = [_field(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)]
    return Schedule(" ".join(["0", *read]), None, zone)


def _duration(text: str) -> timedelta:
    """Go's duration text; whole seconds, at least one."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UnreadableSchedule(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=max(1, int(seconds)))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> str:
    """The field as cronsim understands it: `*`, or every value by itself.

    The two differ in what a step, `?` and names mean, and in when the two fields for days must
    both fit: for upstream a star with a step is no star.
    """
    values: set[int] = set()
    star = False
    for part in text.split(","):
        span, *steps = part.split("/")
        first, *rest = span.split("-")
        step = _number(steps[0], {}) if steps else 1
        if first in ("*", "?"):
            start, end = low, high
            star = star or step == 1
        else:
            start = _number(first, names)
            end = _number(rest[0], names) if rest else start
            if steps and not rest:
                end = high
        if step < 1 or start < low or end > high or start > end:
            raise UnreadableSchedule(f"not a range between {low} and {high}: {part}")
        values.update(range(start, end + 1, step))
    return "*" if star else ",".join(str(value) for value in sorted(values))


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not text.isdecimal():
        raise UnreadableSchedule(f"failed to parse int from {text}")
    return int(text)
