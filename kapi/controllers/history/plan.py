"""What a revision records, which one is current and which are too many. Pure.

Source: k8s.io/kubernetes `pkg/controller/history` and `pkg/controller/daemon/update.go`.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from kapi.api.object import Object, annotations_of, labels_of, name_of, owner_reference

POD_REVISION = "controller-revision-hash"
"""The pod label that says which revision a pod is made from."""

# Upstream cuts the owner's name so that any hash fits.
_OWNER_CHARS = 223


def snapshot(owner: Object) -> Object:
    """The data of a revision: a patch that puts the owner's present template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Object) -> Object:
    """The pod template that a revision recorded."""
    recorded = revision["data"]["spec"]["template"]
    return {key: value for key, value in recorded.items() if key != "$patch"}


def number_of(revision: Object) -> int:
    return int(revision.get("revision") or 0)


def in_order(revisions: Iterable[Object]) -> list[Object]:
    """Oldest first: by number, then age, then name."""
    return sorted(
        revisions,
        key=lambda each: (
            number_of(each),
            each["metadata"].get("creationTimestamp") or "~",
            name_of(each),
        ),
    )


@dataclass(frozen=True, slots=True)
class Current:
    """The revision of the owner's present template, if recorded; `number` is what it must have.

    `duplicates` recorded the same template under lower numbers.
    """

    revision: Object | None
    number: int
    duplicates: tuple[Object, ...]


def find_current(revisions: Iterable[Object], data: Object) -> Current:
    """A template that returns keeps its revision but takes a new, highest number."""
    ordered = in_order(revisions)
    equal = [revision for revision in ordered if revision.get("data") == data]
    others = [number_of(revision) for revision in ordered if revision.get("data") != data]
    number = max(others, default=0) + 1
    if not equal:
        return Current(None, number, ())
    return Current(equal[-1], max(number, number_of(equal[-1])), tuple(equal[:-1]))


def new_revision(owner: Object, number: int, suffix: str, hash_label: str) -> Object:
    """The ControllerRevision to create; its name is deterministic."""
    labels = labels_of(owner["spec"]["template"])
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name_of(owner)[:_OWNER_CHARS]}-{suffix}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**labels, hash_label: suffix},
            "annotations": annotations_of(owner),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": snapshot(owner),
        "revision": number,
    }


def oldest_unused(revisions: Sequence[Object], count: int, live: Container[str]) -> list[Object]:
    """At most `count` revisions to delete, oldest first, sparing the names in `live`."""
    unused = [revision for revision in in_order(revisions) if name_of(revision) not in live]
    return unused[: max(0, count)]
