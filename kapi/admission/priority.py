"""A pod's priority comes from its PriorityClass.

Source: k8s.io/kubernetes `plugin/pkg/admission/priority`.
"""

from kapi.admission.plugin import AdmissionPlugin, is_pod_create, refuse
from kapi.api.object import Object, name_of
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest
from kapi.registry.scheduling.priority_class import SYSTEM_PRIORITIES

_CLASSES = "priorityclasses.scheduling.k8s.io"


class Priority(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod_create(request) or request.resource.qualified == _CLASSES

    async def validate(self, request: AdmissionRequest) -> None:
        """There is one default class at most, and the system's classes stay."""
        if request.resource.qualified != _CLASSES:
            return
        if request.operation == "DELETE":
            # Upstream refuses in the storage of the kind, which comes to the same.
            if request.name in SYSTEM_PRIORITIES:
                raise refuse(request, "this is a system priority class and cannot be deleted")
            return
        assert request.obj is not None
        if not request.obj.get("globalDefault"):
            return
        if request.old is not None and request.old.get("globalDefault"):
            return
        for item in self._lookup.list(_CLASSES):
            if item.get("globalDefault") and name_of(item) != request.name:
                raise refuse(
                    request,
                    f"PriorityClass {name_of(item)} is already marked as default. "
                    "Only one default can exist",
                )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        if request.resource.qualified == _CLASSES:
            return
        spec = request.obj["spec"]
        name, value, policy = self._resolved(request, spec)
        given = spec.get("priority")
        if given is not None and given != value:
            raise refuse(
                request,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        asked = spec.get("preemptionPolicy")
        if asked is not None and asked != policy:
            raise refuse(
                request,
                f"the string value of PreemptionPolicy ({asked}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass "
                "name",
            )
        if name:
            spec["priorityClassName"] = name
        spec["priority"] = value
        spec.setdefault("preemptionPolicy", policy)

    def _resolved(self, request: AdmissionRequest, spec: Object) -> tuple[str, int, str]:
        """Class name, value and preemption policy for this pod."""
        name = spec.get("priorityClassName") or ""
        if not name:
            found = self._global_default()
            if found is None:
                return "", 0, "PreemptLowerPriority"
        else:
            found = self._lookup.get(_CLASSES, "", name)
            if found is None and name in SYSTEM_PRIORITIES:
                return name, SYSTEM_PRIORITIES[name], "PreemptLowerPriority"
            if found is None:
                raise refuse(request, f"no PriorityClass with name {name} was found")
        policy = found.get("preemptionPolicy") or "PreemptLowerPriority"
        return name_of(found), int(found.get("value") or 0), policy

    def _global_default(self) -> Object | None:
        defaults = [item for item in self._lookup.list(_CLASSES) if item.get("globalDefault")]
        return min(defaults, key=lambda item: int(item.get("value") or 0), default=None)
