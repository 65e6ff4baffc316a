"""RBAC policy rules: compiled for matching, and compared with each other for escalation checks.

Pure. Upstream: pkg/apis/rbac/v1/evaluation_helpers.go and
component-helpers/auth/rbac/validation/policy_comparator.go.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kapi.auth.interface import Attributes

ANY = "*"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a role. The empty `names` means every name."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The rule as it is stored, for answers that show it."""

    def allows(self, wanted: Attributes) -> bool:
        """Does this rule grant the request?"""
        if wanted.verb not in self.verbs and ANY not in self.verbs:
            return False
        if not wanted.is_resource_request:
            return _path_matches(self.paths, wanted.path)
        if wanted.group not in self.groups and ANY not in self.groups:
            return False
        if self.names and wanted.name not in self.names:
            return False
        return _resource_matches(self.resources, wanted.resource, wanted.subresource)


def compile_rule(rule: dict[str, Any]) -> PolicyRule:
    """A PolicyRule object of the API, ready for matching."""
    return PolicyRule(
        verbs=frozenset(rule.get("verbs") or ()),
        groups=frozenset(rule.get("apiGroups") or ()),
        resources=frozenset(rule.get("resources") or ()),
        names=frozenset(rule.get("resourceNames") or ()),
        paths=frozenset(rule.get("nonResourceURLs") or ()),
        source=rule,
    )


def _resource_matches(resources: frozenset[str], resource: str, subresource: str) -> bool:
    if ANY in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def _path_matches(paths: frozenset[str], path: str) -> bool:
    if path in paths or ANY in paths:
        return True
    return any(held.endswith(ANY) and path.startswith(held[:-1]) for held in paths)


def uncovered_rules(
    held: Sequence[PolicyRule], wanted: Iterable[PolicyRule]
) -> tuple[PolicyRule, ...]:
    """What of `wanted` is in none of the `held` rules, as rules of one grant each.

    Empty means the holder may hand out all of `wanted` without gaining anything.
    """
    atoms = [atom for rule in wanted for atom in _atoms(rule)]
    return tuple(atom for atom in atoms if not any(_covers(rule, atom) for rule in held))


def _atoms(rule: PolicyRule) -> Iterable[PolicyRule]:
    for verb in sorted(rule.verbs):
        verbs = frozenset((verb,))
        for path in sorted(rule.paths):
            yield PolicyRule(verbs, paths=frozenset((path,)))
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                for name in sorted(rule.names) or ("",):
                    yield PolicyRule(
                        verbs,
                        frozenset((group,)),
                        frozenset((resource,)),
                        frozenset((name,)) if name else frozenset(),
                    )


def _covers(held: PolicyRule, atom: PolicyRule) -> bool:
    if not _holds(held.verbs, atom.verbs):
        return False
    if atom.paths:
        (path,) = atom.paths
        return _path_matches(held.paths, path)
    if not _holds(held.groups, atom.groups):
        return False
    if held.names and not (atom.names and atom.names <= held.names):
        return False
    (resource,) = atom.resources
    return resource in held.resources or _wildcard_resource_covers(held.resources, resource)


def _holds(held: frozenset[str], wanted: frozenset[str]) -> bool:
    return ANY in held or wanted <= held


def _wildcard_resource_covers(held: frozenset[str], resource: str) -> bool:
    if ANY in held:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in held


def describe_rules(rules: Iterable[PolicyRule]) -> list[str]:
    """Rules in the words of upstream's refusal, verbs of the same target on one line, sorted."""
    verbs: dict[tuple[frozenset[str], ...], set[str]] = {}
    for rule in rules:
        target = (rule.groups, rule.resources, rule.paths, rule.names)
        verbs.setdefault(target, set()).update(rule.verbs)
    return sorted(_described(target, held) for target, held in verbs.items())


def _described(target: tuple[frozenset[str], ...], verbs: set[str]) -> str:
    labels = ("APIGroups", "Resources", "NonResourceURLs", "ResourceNames")
    parts = [
        f"{label}:{_quoted(words)}" for label, words in zip(labels, target, strict=True) if words
    ]
    return "{" + ", ".join([*parts, f"Verbs:{_quoted(verbs)}"]) + "}"


def _quoted(words: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in sorted(words)) + "]"
