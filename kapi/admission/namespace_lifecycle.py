"""Nothing is created in a namespace that is missing or going; system namespaces stay.

Source: k8s.io/apiserver `pkg/admission/plugin/namespace/lifecycle`.
"""

from kapi import env
from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.errors import Forbidden, resource_forbidden, resource_not_found
from kapi.api.object import is_deleting
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

_PROTECTED = ("default", "kube-system", "kube-public")
_CACHE_LAG_SECONDS = 0.05


class NamespaceLifecycle(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        if request.resource.qualified == "namespaces":
            return request.operation == "DELETE" and not request.subresource
        return request.resource.namespaced and request.operation in ("CREATE", "UPDATE")

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation == "DELETE":
            return
        namespace = self._lookup.get("namespaces", "", request.namespace)
        if namespace is None and request.operation == "CREATE":
            # Another server may have created it a moment ago.
            await env.sleep(_CACHE_LAG_SECONDS)
            namespace = self._lookup.get("namespaces", "", request.namespace)
        if namespace is None:
            raise resource_not_found("namespaces", "", request.namespace)
        if request.operation == "CREATE" and not request.subresource:
            terminating = namespace.get("status", {}).get("phase") == "Terminating"
            if terminating or is_deleting(namespace):
                raise _terminating(request)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation == "DELETE" and request.name in _PROTECTED:
            raise refuse(request, "this namespace may not be deleted")


def _terminating(request: AdmissionRequest) -> Forbidden:
    name, resource = request.namespace, request.resource
    error = resource_forbidden(
        resource.plural,
        resource.group,
        request.name,
        f"unable to create new content in namespace {name} because it is being terminated",
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
