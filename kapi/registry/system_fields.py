"""The fields of an object that the server keeps: what an update may not change, and what follows.

Functions of the generic store's update and deletion; none of them does I/O. Source:
k8s.io/apiserver `pkg/registry/rest/update.go`.
"""

from kapi.api import errors
from kapi.api.go_numbers import NumberError, parse_uint
from kapi.api.object import Object, annotations_of, metadata, name_of
from kapi.registry.options import Preconditions
from kapi.registry.resource import Resource
from kapi.registry.strategy import Strategy


def check_version(resource: Resource, strategy: Strategy, new: Object, old: Object) -> None:
    """The optimistic lock: the version the writer saw must be the stored one. Raises Conflict."""
    meta = metadata(new)
    version = meta.get("resourceVersion")
    name = name_of(old)
    if version and version != "0":
        try:
            parse_uint(str(version))
        except NumberError as error:
            raise errors.UntypedError(str(error)) from error
        if version != metadata(old).get("resourceVersion"):
            raise errors.resource_conflict(resource.plural, resource.group, name)
    elif not strategy.allow_unconditional_update:
        problem = errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        # Upstream names the resource here where its other messages name the kind.
        raise errors.object_invalid(resource.plural, resource.group, name, [problem])


def restore_system_fields(resource: Resource, namespace: str, new: Object, old: Object) -> None:
    """Put back what the server keeps, and fill in what the writer may leave out."""
    meta, before = metadata(new), metadata(old)
    for field in ("uid", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if (not meta.get(field) or meta[field] == "0") and field in before:
            meta[field] = before[field]
    for field in ("creationTimestamp", "generation"):
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)
    meta.pop("selfLink", None)
    if not meta.get("name"):
        meta["name"] = before["name"]
    if resource.namespaced and not meta.get("namespace"):
        meta["namespace"] = namespace
    new["kind"], new["apiVersion"] = resource.kind, resource.gvk.api_version


def restore_status(new: Object, old: Object) -> None:
    """Status is written through its own endpoint only."""
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def set_generation(strategy: Strategy, new: Object, old: Object, *, subresource: str) -> None:
    """Count the changes of what the user wants (spec, and for some kinds annotations)."""
    outside = ["metadata", "kind", "apiVersion"]
    if not strategy.status_counts_for_generation:
        outside.append("status")
    changed = {k: v for k, v in new.items() if k not in outside} != {
        k: v for k, v in old.items() if k not in outside
    }
    if strategy.annotations_count_for_generation and not subresource:
        changed = changed or annotations_of(new) != annotations_of(old)
    before = int(metadata(old).get("generation") or 0)
    metadata(new)["generation"] = before + 1 if changed else before
    if not metadata(new)["generation"]:
        del metadata(new)["generation"]


def check_preconditions(resource: Resource, obj: Object, wanted: Preconditions) -> None:
    """Raises Conflict when the object is not the one the request means."""
    meta = metadata(obj)
    complaint = ""
    if wanted.uid and wanted.uid != meta.get("uid"):
        complaint = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record "
            f"({meta.get('uid')}). The object might have been deleted and then recreated"
        )
    elif wanted.resource_version and wanted.resource_version != meta.get("resourceVersion"):
        complaint = (
            f"the ResourceVersion in the precondition ({wanted.resource_version}) does not "
            f"match the ResourceVersion in record ({meta.get('resourceVersion')}). The object "
            "might have been modified"
        )
    if complaint:
        raise errors.resource_conflict(resource.kind, resource.group, name_of(obj), complaint)


def same(new: Object, old: Object) -> bool:
    """Would this update change nothing? The resourceVersion is the store's."""
    meta, before = metadata(new), metadata(old)
    return all(
        meta.get(key) == before.get(key) for key in {*meta, *before} - {"resourceVersion"}
    ) and {key: value for key, value in new.items() if key != "metadata"} == {
        key: value for key, value in old.items() if key != "metadata"
    }
