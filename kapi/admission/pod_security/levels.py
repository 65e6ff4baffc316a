"""Levels, versions, and what a namespace's labels ask for.

That the labels can be read is checked with the namespace itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = ("privileged", "baseline", "restricted")
LATEST_MINOR = 36
"""The newest Kubernetes whose standards are known here."""

_PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Standard:
    """A level as it was in one minor version of Kubernetes; `version` is how it was spelled."""

    level: str = "privileged"
    version: str = "latest"

    @property
    def minor(self) -> int:
        match = _VERSION.fullmatch(self.version)
        return min(int(match[1]), LATEST_MINOR) if match else LATEST_MINOR

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a namespace enforces, and what it only wants to hear of."""

    enforce: Standard
    audit: Standard
    warn: Standard


def policy_of(labels: Mapping[str, str]) -> Policy:
    """An enforce label that cannot be read means the strictest; others then mean nothing."""
    enforce = _standard(labels, "enforce", Standard("restricted"))
    audit = _standard(labels, "audit", Standard())
    warn = _standard(labels, "warn", Standard())
    if f"{_PREFIX}warn" not in labels and enforce.strictness > warn.strictness:
        warn = enforce
    return Policy(enforce, audit, warn)


def _standard(labels: Mapping[str, str], mode: str, bad: Standard) -> Standard:
    level = labels.get(f"{_PREFIX}{mode}", "privileged")
    version = labels.get(f"{_PREFIX}{mode}-version", "latest")
    if level not in LEVELS or not _known_version(version):
        return bad
    return Standard(level, version)


def _known_version(text: str) -> bool:
    return text == "latest" or _VERSION.fullmatch(text) is not None
