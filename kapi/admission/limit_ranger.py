"""Containers get a namespace's default resources, and nothing leaves its limits.

Source: k8s.io/kubernetes `plugin/pkg/admission/limitranger/admission.go`.
"""

from collections.abc import Callable, Iterable

from kapi.admission.plugin import AdmissionPlugin, is_pod_create, refuse
from kapi.api.object import Object, annotations_of, metadata, name_of
from kapi.api.quantity import canonical_quantity
from kapi.api.quota.pods import pod_resources
from kapi.api.quota.resource_list import ResourceList, amount
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_ANNOTATION = "kubernetes.io/limit-ranger"
Check = Callable[[str, str, str, ResourceList, ResourceList], str]


class LimitRanger(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        if is_pod_create(request) or _is_resize(request):
            return True
        return (
            request.resource.qualified == "persistentvolumeclaims"
            and not request.subresource
            and request.operation in ("CREATE", "UPDATE")
        )

    def _ranges(self, request: AdmissionRequest) -> list[Object]:
        return sorted(self._lookup.list("limitranges", request.namespace), key=name_of)

    async def mutate(self, request: AdmissionRequest) -> None:
        if not is_pod_create(request):
            return
        assert request.obj is not None
        for limit_range in self._ranges(request):
            apply_defaults(request.obj, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        judge = _pod_problems if request.resource.qualified == "pods" else _claim_problems
        for limit_range in self._ranges(request):
            items = (limit_range.get("spec") or {}).get("limits") or ()
            found = [text for item in items for text in judge(item, request.obj)]
            problems = list(dict.fromkeys(found))
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise refuse(request, text)


def _is_resize(request: AdmissionRequest) -> bool:
    return (
        request.operation == "UPDATE"
        and request.subresource == "resize"
        and request.resource.qualified == "pods"
    )


def apply_defaults(pod: Object, limit_range: Object) -> None:
    """Give each container what it lacks, and note in an annotation what that was."""
    defaults: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            defaults["limits"].update(item.get("default") or {})
            defaults["requests"].update(item.get("defaultRequest") or {})
    spec = pod.get("spec") or {}
    notes: list[str] = []
    for field, title in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            for kind, noun in (("requests", "request"), ("limits", "limit")):
                added = _fill(container, kind, defaults[kind])
                if added:
                    names = ", ".join(sorted(added))
                    notes.append(f"{names} {noun} for {title} {container.get('name', '')}")
    if notes:
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        metadata(pod)["annotations"] = {**annotations_of(pod), _ANNOTATION: text}


def _fill(container: Object, kind: str, defaults: ResourceList) -> list[str]:
    resources = container.get("resources") or {}
    given = dict(resources.get(kind) or {})
    added = [name for name in defaults if name not in given]
    if added:
        given.update({name: defaults[name] for name in added})
        container["resources"] = {**resources, kind: given}
    return added


def _pod_problems(item: Object, pod: Object) -> Iterable[str]:
    spec, kind = pod.get("spec") or {}, item.get("type")
    if kind == "Container":
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            yield from _problems(
                item, resources.get("requests") or {}, resources.get("limits") or {}
            )
    elif kind == "Pod":
        yield from _problems(item, pod_resources(spec, "requests"), pod_resources(spec, "limits"))


def _problems(item: Object, requests: ResourceList, limits: ResourceList) -> Iterable[str]:
    for field, check in _CHECKS:
        for name, bound in sorted((item.get(field) or {}).items()):
            text = check(str(item["type"]), name, canonical_quantity(str(bound)), requests, limits)
            if text:
                yield text


def _claim_problems(item: Object, claim: Object) -> Iterable[str]:
    if item.get("type") != "PersistentVolumeClaim":
        return
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    for name, bound in sorted((item.get("min") or {}).items()):
        text = _least("PersistentVolumeClaim", name, canonical_quantity(bound), requests, {})
        if text:
            yield text
    for name, bound in sorted((item.get("max") or {}).items()):
        start = f"maximum {name} usage per PersistentVolumeClaim is {canonical_quantity(bound)}"
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif amount(requests[name]) > amount(bound):
            yield f"{start}, but request is {requests[name]}"


def _least(kind: str, name: str, bound: str, requests: ResourceList, limits: ResourceList) -> str:
    start = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{start}.  No request is specified"
    if amount(requests[name]) < amount(bound):
        return f"{start}, but request is {requests[name]}"
    if name in limits and amount(limits[name]) < amount(bound):
        return f"{start}, but limit is {limits[name]}"
    return ""


def _most(kind: str, name: str, bound: str, requests: ResourceList, limits: ResourceList) -> str:
    start = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        return f"{start}.  No limit is specified"
    if amount(limits[name]) > amount(bound):
        return f"{start}, but limit is {limits[name]}"
    if name in requests and amount(requests[name]) > amount(bound):
        return f"{start}, but request is {requests[name]}"
    return ""


def _ratio(kind: str, name: str, bound: str, requests: ResourceList, limits: ResourceList) -> str:
    start = f"{name} max limit to request ratio per {kind} is {bound}"
    request, limit = amount(requests.get(name, "0")), amount(limits.get(name, "0"))
    if not request:
        return f"{start}, but no request is specified or request is 0"
    if not limit:
        return f"{start}, but no limit is specified or limit is 0"
    ratio = limit / request
    return f"{start}, but provided ratio is {ratio:.6f}" if ratio > amount(bound) else ""


_CHECKS: tuple[tuple[str, Check], ...] = (
    ("min", _least),
    ("max", _most),
    ("maxLimitRequestRatio", _ratio),
)
