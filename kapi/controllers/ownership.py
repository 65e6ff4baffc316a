"""Which dependents belong to a controller: keep, adopt, release. Pure.

Source: k8s.io/kubernetes `pkg/controller/controller_ref_manager.go`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kapi.api.errors import ApiError
from kapi.api.object import (
    Object,
    controller_of,
    is_deleting,
    labels_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from kapi.api.selectors import LabelSelector

NO_CONTROLLER = "orphans of "


@dataclass(frozen=True, slots=True)
class Claim:
    """What to do with the candidates. `kept` are mine already."""

    kept: tuple[Object, ...]
    adopt: tuple[Object, ...]
    release: tuple[Object, ...]


def claim(owner: Object, selector: LabelSelector, candidates: Iterable[Object]) -> Claim:
    """Sort `candidates` (of the owner's namespace) by what `owner` has to do with them."""
    kept, adopt, release = [], [], []
    leaving = is_deleting(owner)
    for candidate in candidates:
        controller = controller_of(candidate)
        matches = selector.matches(labels_of(candidate))
        if controller is not None:
            if controller.get("uid") != uid_of(owner):
                continue
            if matches:
                kept.append(candidate)
            elif not leaving:
                release.append(candidate)
        elif (
            matches
            and not leaving
            and not is_deleting(candidate)
            and namespace_of(candidate) == namespace_of(owner)
        ):
            adopt.append(candidate)
    return Claim(tuple(kept), tuple(adopt), tuple(release))


def adoption_patch(owner: Object, dependent: Object, finalizer: str = "") -> Object:
    """A strategic merge patch; the uid is a precondition."""
    metadata: Object = {"uid": uid_of(dependent), "ownerReferences": [owner_reference(owner)]}
    if finalizer:
        metadata["finalizers"] = [finalizer]
    return {"metadata": metadata}


def release_patch(owner: Object, dependent: Object, finalizer: str = "") -> Object:
    reference = {"$patch": "delete", "uid": uid_of(owner)}
    metadata: Object = {"uid": uid_of(dependent), "ownerReferences": [reference]}
    if finalizer:
        metadata["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    return {"metadata": metadata}


def by_controller(obj: Object) -> Iterable[str]:
    """Index values: the uid of the controller, or a mark for `namespace`'s orphans."""
    controller = controller_of(obj)
    if controller is not None:
        return (str(controller.get("uid", "")),)
    return (NO_CONTROLLER + namespace_of(obj),)


def namespace_terminating(error: Exception) -> bool:
    """Was a creation refused because the namespace is going away?"""
    if not isinstance(error, ApiError):
        return False
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
