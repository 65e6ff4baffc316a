"""The claims of a StatefulSet's pods, and who owns them under the retention policy. Pure.

Source: k8s.io/kubernetes `pkg/controller/statefulset/stateful_set_utils.go`.
"""

from collections.abc import Callable
from typing import Any

from kapi.api.object import (
    Object,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from kapi.controllers.statefulset.identity import (
    claim_name,
    claim_templates,
    ordinal_of,
    ordinals,
)

FindClaim = Callable[[str], Object | None]
"""A claim of the set's namespace, by name."""


def deletes_with_set(stateful_set: Object) -> bool:
    return _policy(stateful_set, "whenDeleted") == "Delete"


def deletes_when_scaled(stateful_set: Object) -> bool:
    return _policy(stateful_set, "whenScaled") == "Delete"


def _policy(stateful_set: Object, moment: str) -> str:
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return str(policy.get(moment) or "Retain")


def claim_names(stateful_set: Object, ordinal: int) -> list[str]:
    return [
        claim_name(stateful_set, template, ordinal) for template in claim_templates(stateful_set)
    ]


def missing_claims(stateful_set: Object, ordinal: int, find: FindClaim) -> list[Object]:
    """The claims to create for the pod with this number.

    A pod that is to be made is within the range, so only the set can be the owner.
    """
    wanted = []
    for template in claim_templates(stateful_set):
        name = claim_name(stateful_set, template, ordinal)
        if find(name) is not None:
            continue
        metadata: Object = {
            **template["metadata"],
            "name": name,
            "namespace": namespace_of(stateful_set),
            "labels": {
                **labels_of(template),
                **((stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}),
            },
        }
        if deletes_with_set(stateful_set):
            metadata["ownerReferences"] = [owner_reference(stateful_set)]
        wanted.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": template["spec"],
            }
        )
    return wanted


def leaving_claim(stateful_set: Object, ordinal: int, find: FindClaim) -> str | None:
    """The name of a claim that must be gone before a pod may use one of that name again.

    It is being deleted, or belongs to an earlier pod of the name and will be.
    """
    pod_name = f"{name_of(stateful_set)}-{ordinal}"
    for name in claim_names(stateful_set, ordinal):
        found = find(name)
        if found is None:
            continue
        owners = found["metadata"].get("ownerReferences") or ()
        if is_deleting(found) or any(_is_pod(owner, pod_name) for owner in owners):
            return name
    return None


def _is_pod(reference: dict[str, Any], pod_name: str) -> bool:
    return reference.get("kind") == "Pod" and reference.get("name") == pod_name


def has_foreign_controller(stateful_set: Object, pod: Object, claim: Object) -> bool:
    mine = {uid_of(stateful_set), uid_of(pod)}
    return any(
        reference.get("controller") and reference.get("uid") not in mine
        for reference in claim["metadata"].get("ownerReferences") or ()
    )


def with_owner(stateful_set: Object, pod: Object, claim: Object) -> Object | None:
    """The claim as the retention policy wants it owned; None if it is so already.

    A claim that goes when the set shrinks belongs to its pod once that pod is surplus; before
    that, and for good if it only goes with the set, it belongs to the set.
    """
    ordinal = ordinal_of(name_of(stateful_set), name_of(pod))
    condemned = ordinal not in ordinals(stateful_set)
    owner: Object | None = None
    if condemned and deletes_when_scaled(stateful_set):
        owner = {**pod, "apiVersion": "v1", "kind": "Pod"}
    elif deletes_with_set(stateful_set):
        owner = stateful_set
    given = list(claim["metadata"].get("ownerReferences") or ())
    mine = {uid_of(stateful_set), uid_of(pod)}
    wanted = [reference for reference in given if reference.get("uid") not in mine]
    if owner is not None:
        already = [each for each in given if each.get("uid") == uid_of(owner)]
        wanted += already or [owner_reference(owner)]
    if {each.get("uid") for each in wanted} == {each.get("uid") for each in given}:
        return None
    return {**claim, "metadata": {**claim["metadata"], "ownerReferences": wanted}}
