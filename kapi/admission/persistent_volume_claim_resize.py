"""Only bound claims grow, and only if their StorageClass lets them.

Source: k8s.io/kubernetes `plugin/pkg/admission/storage/persistentvolume/resize`.
"""

from decimal import Decimal

from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.object import Object, annotations_of
from kapi.api.quantity import parse_quantity
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.operation == "UPDATE"
            and not request.subresource
            and request.resource.qualified == "persistentvolumeclaims"
        )

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        assert request.old is not None
        if _requested(request.obj) <= _requested(request.old):
            return
        if (request.old.get("status") or {}).get("phase") != "Bound":
            raise refuse(request, "Only bound persistent volume claims can be expanded")
        if not self._may_grow(_class_of(request.obj), _class_of(request.old)):
            raise refuse(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that "
                "provisions the pvc must support resize",
            )

    def _may_grow(self, name: str, before: str) -> bool:
        if not name or name != before:
            return False
        found = self._lookup.get("storageclasses.storage.k8s.io", "", name)
        return bool(found and found.get("allowVolumeExpansion"))


def _requested(claim: Object) -> Decimal:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return parse_quantity(requests.get("storage") or "0")


def _class_of(claim: Object) -> str:
    beta = annotations_of(claim).get(_BETA_STORAGE_CLASS)
    return str(beta or (claim.get("spec") or {}).get("storageClassName") or "")
