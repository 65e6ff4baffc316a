"""Who uses what, and what that means for the finalizer."""

from collections.abc import Iterable, Iterator
from typing import Literal

from kapi.api.object import Object, is_deleting, metadata, name_of

Step = Literal["add", "remove", ""]


def plan_finalizer(obj: Object, finalizer: str, *, in_use: bool) -> Step:
    """Protect what lives; let go of what is being deleted once nothing uses it."""
    present = finalizer in (obj["metadata"].get("finalizers") or ())
    if is_deleting(obj):
        return "remove" if present and not in_use else ""
    return "" if present else "add"


def with_step(obj: Object, finalizer: str, step: Step) -> Object:
    """A copy with the finalizer added or removed."""
    finalizers = [item for item in obj["metadata"].get("finalizers") or () if item != finalizer]
    if step == "add":
        finalizers.append(finalizer)
    new = {**obj, "metadata": {**metadata(obj), "finalizers": finalizers}}
    if not finalizers:
        del new["metadata"]["finalizers"]
    return new


def claims_of(pod: Object) -> Iterator[str]:
    """Names of the claims that a pod mounts, its own ephemeral ones included."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        source = volume.get("persistentVolumeClaim")
        if source is not None:
            yield str(source.get("claimName") or "")
        elif volume.get("ephemeral") is not None:
            yield f"{name_of(pod)}-{volume.get('name', '')}"


def claim_in_use(claim: Object, pods: Iterable[Object]) -> bool:
    """Does a pod with a node mount it? One that has ended may still hold its mounts."""
    name = name_of(claim)
    return any((pod.get("spec") or {}).get("nodeName") and name in claims_of(pod) for pod in pods)


def volume_in_use(volume: Object) -> bool:
    return bool((volume.get("status") or {}).get("phase") == "Bound")


def attribute_classes(obj: Object) -> set[str]:
    """The VolumeAttributesClasses that a claim or a volume names."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    names = {
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        target,
    }
    return {str(name) for name in names if name}
