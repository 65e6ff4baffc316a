"""Storage objects are born with a finalizer that keeps them while they are in use.

Source: k8s.io/kubernetes `plugin/pkg/admission/storage/storageobjectinuseprotection`.
"""

from kapi.admission.plugin import AdmissionPlugin
from kapi.api.object import metadata
from kapi.registry.admission import AdmissionRequest

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(AdmissionPlugin):
    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.operation == "CREATE"
            and not request.subresource
            and request.resource.qualified in FINALIZERS
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        meta = metadata(request.obj)
        finalizer = FINALIZERS[request.resource.qualified]
        present = list(meta.get("finalizers") or ())
        if finalizer not in present:
            meta["finalizers"] = [*present, finalizer]
