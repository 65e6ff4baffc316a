"""The conditions and accepted names of a CustomResourceDefinition, planned from what is there.

Sources: k8s.io/apiextensions-apiserver `pkg/controller/{status,establish,apiapproval,finalizer}`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kapi.api.object import Object, annotations_of, is_deleting, metadata

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"

NAMES_ACCEPTED = "NamesAccepted"
ESTABLISHED = "Established"
TERMINATING = "Terminating"
CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
CONVERTIBLE = "ConversionWebhookSupported"
"""kapi's own: False where a definition asks for conversion by webhook, which is not built."""

_NAME_FIELDS = ("plural", "singular", "shortNames", "kind", "listKind")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its time."""

    type: str
    status: str
    reason: str
    message: str


def condition(definition: Object, kind: str) -> Object | None:
    found = (definition.get("status") or {}).get("conditions") or ()
    return next((item for item in found if item["type"] == kind), None)


def is_true(definition: Object, kind: str) -> bool:
    found = condition(definition, kind)
    return found is not None and found["status"] == "True"


def is_terminating(definition: Object) -> bool:
    return is_deleting(definition) or is_true(definition, TERMINATING)


def is_served(definition: Object) -> bool:
    """Are the objects served? From the moment on when only the announcement of it is missing."""
    found = condition(definition, ESTABLISHED)
    return found is not None and (found["status"] == "True" or found["reason"] == "Installing")


def needs_approval(group: str) -> bool:
    """Is the group one of those that Kubernetes itself hands out?"""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def set_conditions(status: Object, wanted: Iterable[Condition], now: str) -> None:
    """Put the conditions into the status; the time changes only where the status does."""
    present: list[Object] = [dict(item) for item in status.get("conditions") or ()]
    for item in wanted:
        new = {
            "lastTransitionTime": now,
            "message": item.message,
            "reason": item.reason,
            "status": item.status,
            "type": item.type,
        }
        old = next((other for other in present if other["type"] == item.type), None)
        if old is None:
            present.append(new)
            continue
        if old["status"] == item.status:
            new["lastTransitionTime"] = old.get("lastTransitionTime", now)
        old.update(new)
    status["conditions"] = present


def planned_status(definition: Object, others: Iterable[Object], now: str) -> Object | None:
    """The status the definition should have, None if it has it.

    `others` are the other definitions of the same group: names are given to whoever is first.
    A definition is established in two steps, so that its objects are served before it says so.
    """
    status: Object = {**(definition.get("status") or {})}
    names, accepted = _accepted(definition, others)
    status["acceptedNames"] = names
    status.setdefault("storedVersions", [])
    wanted = [accepted, _established(definition, accepted)]
    group = definition["spec"]["group"]
    if needs_approval(group):
        wanted.append(_conformant(definition))
    if (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook":
        text = "conversion by webhook is not built: objects are served in their stored version only"
        wanted.append(Condition(CONVERTIBLE, "False", "NotBuilt", text))
    set_conditions(status, wanted, now)
    return status if status != (definition.get("status") or {}) else None


def _accepted(definition: Object, others: Iterable[Object]) -> tuple[Object, Condition]:
    """The names it gets: each wanted one that nobody else has, else the one it had before."""
    wanted: Object = definition["spec"]["names"]
    had: Object = (definition.get("status") or {}).get("acceptedNames") or {}
    resources: set[str | None] = set()
    kinds: set[str | None] = set()
    for other in others:
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {taken.get("plural"), taken.get("singular"), *(taken.get("shortNames") or ())}
        kinds |= {taken.get("kind"), taken.get("listKind")}
    names: Object = {}
    problem = Condition(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")
    for field in _NAME_FIELDS:
        mine: Any = wanted.get(field)
        asked = mine if isinstance(mine, list) else [mine] if mine else []
        pool = kinds if field in ("kind", "listKind") else resources
        clash = next((name for name in asked if name in pool), None)
        value = had.get(field) if clash is not None else mine
        if clash is not None:
            reason = f"{field[0].upper()}{field[1:]}Conflict"
            text = f'"{clash}" is already in use'
            problem = Condition(NAMES_ACCEPTED, "False", reason, text)
        if value or field in ("plural", "kind"):
            names[field] = value or ""
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    return names, problem


def _established(definition: Object, accepted: Condition) -> Condition:
    old = condition(definition, ESTABLISHED)
    text = "the initial names have been accepted"
    if old is not None and old["status"] == "True":
        return Condition(ESTABLISHED, "True", old["reason"], old["message"])
    if accepted.status != "True":
        return Condition(ESTABLISHED, "False", "NotAccepted", "not all names are accepted")
    if old is not None and old["reason"] == "Installing":
        return Condition(ESTABLISHED, "True", "InitialNamesAccepted", text)
    return Condition(ESTABLISHED, "False", "Installing", text)


def _conformant(definition: Object) -> Condition:
    value = annotations_of(definition).get(APPROVAL, "")
    group = f'protected groups must have approval annotation "{APPROVAL}"'
    if not value:
        text = f"{group}, see https://github.com/kubernetes/enhancements/pull/1111"
        return Condition(CONFORMANT, "False", "MissingAnnotation", text)
    if value.startswith("unapproved"):
        return Condition(CONFORMANT, "False", "UnapprovedAnnotation", f'not approved: "{value}"')
    return Condition(CONFORMANT, "True", "ApprovedAnnotation", f"approved in {value}")


def begin_termination(definition: Object, now: str) -> None:
    """At the moment of deletion: hold it back until its objects are gone, and say so."""
    meta = metadata(definition)
    finalizers = list(meta.get("finalizers") or ())
    if FINALIZER not in finalizers:
        meta["finalizers"] = [*finalizers, FINALIZER]
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    status = definition.setdefault("status", {})
    set_conditions(status, [Condition(TERMINATING, "True", "InstanceDeletionPending", text)], now)
