"""Claims get the default StorageClass, Ingresses the default IngressClass.

Sources: k8s.io/kubernetes `plugin/pkg/admission/storage/storageclass/setdefault` and
`plugin/pkg/admission/network/defaultingressclass`.
"""

from kapi.admission.plugin import AdmissionPlugin
from kapi.api.object import Object, annotations_of, name_of
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"
_STORAGE_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_INGRESS_DEFAULT = ("ingressclass.kubernetes.io/is-default-class",)


def default_class(classes: list[Object], annotations: tuple[str, ...]) -> str:
    """The newest class that is marked, the first by name of equals; empty if none is."""
    marked = [
        item
        for item in classes
        if any(annotations_of(item).get(key) == "true" for key in annotations)
    ]
    by_name = sorted(marked, key=name_of)
    newest = sorted(by_name, key=_created, reverse=True)
    return name_of(newest[0]) if newest else ""


def _created(obj: Object) -> str:
    return str(obj["metadata"].get("creationTimestamp") or "")


class DefaultStorageClass(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.operation == "CREATE"
            and not request.subresource
            and request.resource.qualified == "persistentvolumeclaims"
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj.setdefault("spec", {})
        chosen = _BETA_STORAGE_CLASS in annotations_of(request.obj)
        if chosen or spec.get("storageClassName") is not None:
            return
        classes = list(self._lookup.list("storageclasses.storage.k8s.io"))
        name = default_class(classes, _STORAGE_DEFAULT)
        if name:
            spec["storageClassName"] = name


class DefaultIngressClass(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return (
            request.operation == "CREATE"
            and not request.subresource
            and request.resource.qualified == "ingresses.networking.k8s.io"
        )

    async def mutate(self, request: AdmissionRequest) -> None:
        assert request.obj is not None
        spec = request.obj.setdefault("spec", {})
        if spec.get("ingressClassName") or _OLD_INGRESS_CLASS in annotations_of(request.obj):
            return
        classes = list(self._lookup.list("ingressclasses.networking.k8s.io"))
        name = default_class(classes, _INGRESS_DEFAULT)
        if name:
            spec["ingressClassName"] = name
