"""Reading pods the way every check does, and the words they share."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kapi.api.object import Object


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod, or a pod template, under judgement. `minor` is the version of the standard."""

    metadata: Object
    spec: Object
    minor: int

    @property
    def context(self) -> Object:
        return self.spec.get("securityContext") or {}

    @property
    def on_windows(self) -> bool:
        return bool((self.spec.get("os") or {}).get("name") == "windows") and self.minor >= 25

    @property
    def in_user_namespace(self) -> bool:
        return self.spec.get("hostUsers") is False

    def containers(self) -> Iterator[Object]:
        """Init, regular, then ephemeral ones."""
        for field in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(field) or ()


@dataclass(frozen=True, slots=True)
class Violation:
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Subject], Violation | None]


def context_of(container: Object) -> Object:
    return container.get("securityContext") or {}


def quoted(values: Iterable[Any]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def named(noun: str, names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural(noun, len(names))} {quoted(names)}"


def names_where(subject: Subject, bad: Callable[[Object], Any]) -> list[str]:
    """Names of the containers that `bad` says yes to."""
    return [str(item.get("name", "")) for item in subject.containers() if bad(item)]


def setters(subject: Subject, value: Callable[[Object], Any]) -> tuple[str, list[Any]]:
    """Who sets a value of its security context that is wrong, and the values set.

    `value` gives the wrong value of a security context, None if it has none.
    """
    who: list[str] = []
    values: list[Any] = []
    own = value(subject.context)
    if own is not None:
        who.append("pod")
        values.append(own)
    containers: list[str] = []
    for container in subject.containers():
        found = value(context_of(container))
        if found is not None:
            containers.append(str(container.get("name", "")))
            values.append(found)
    if containers:
        who.append(named("container", containers))
    return " and ".join(who), list(dict.fromkeys(values))
