"""A pod takes overhead and scheduling constraints from its RuntimeClass.

Source: k8s.io/kubernetes `plugin/pkg/admission/runtimeclass`.
"""

from typing import Any

from kapi.admission.plugin import AdmissionPlugin, is_pod_create, refuse
from kapi.api.object import Object
from kapi.api.quantity import parse_quantity
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod_create(request)

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj["spec"]
        found = self._class_of(request, spec)
        if found is None:
            return
        overhead = _overhead(found)
        if overhead:
            if spec.get("overhead") and not _same(spec["overhead"], overhead):
                raise refuse(request, _MISMATCH)
            spec["overhead"] = dict(overhead)
        self._schedule(request, spec, found.get("scheduling") or {})

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj["spec"]
        found = self._class_of(request, spec)
        wanted = _overhead(found) if found is not None else {}
        given = spec.get("overhead") or {}
        if wanted and not _same(given, wanted):
            raise refuse(request, _MISMATCH)
        if given and not wanted:
            raise refuse(
                request,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
                "Overhead",
            )

    def _class_of(self, request: AdmissionRequest, spec: Object) -> Object | None:
        name = spec.get("runtimeClassName")
        if name is None:
            return None
        found = self._lookup.get("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise refuse(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _schedule(self, request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in sorted((scheduling.get("nodeSelector") or {}).items()):
            own = selector.setdefault(key, value)
            if own != value:
                raise refuse(
                    request,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {own}",
                )
        if selector:
            spec["nodeSelector"] = selector
        tolerations = list(spec.get("tolerations") or ())
        added = [item for item in scheduling.get("tolerations") or () if item not in tolerations]
        if added:
            spec["tolerations"] = tolerations + [dict(item) for item in added]


def _overhead(runtime_class: Object) -> dict[str, Any]:
    return dict((runtime_class.get("overhead") or {}).get("podFixed") or {})


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return {key: parse_quantity(value) for key, value in first.items()} == {
        key: parse_quantity(value) for key, value in second.items()
    }
