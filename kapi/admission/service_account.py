"""Pods run as a ServiceAccount, and get its token and the cluster CA mounted.

Source: k8s.io/kubernetes `plugin/pkg/admission/serviceaccount`.
"""

from kapi import env
from kapi.admission.plugin import AdmissionPlugin, is_pod_create, refuse
from kapi.api.object import Object, annotations_of
from kapi.auth.interface import ObjectLookup
from kapi.registry.admission import AdmissionRequest

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_MIRROR = "kubernetes.io/config.mirror"
_TOKEN_SECONDS = 3607
_RETRIES = 10
_RETRY_SECONDS = 0.1


class ServiceAccount(AdmissionPlugin):
    def __init__(self, lookup: ObjectLookup) -> None:
        self._lookup = lookup

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod_create(request)

    async def mutate(self, request: AdmissionRequest) -> None:
        pod = request.obj
        assert pod is not None
        if _MIRROR in annotations_of(pod):
            return
        spec = pod["spec"]
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec.get("serviceAccount") or "default"
        account = await self._account(request, spec["serviceAccountName"])
        # The old name of the field is kept in step, as upstream's conversion does.
        spec["serviceAccount"] = spec["serviceAccountName"]
        if _automounts(pod, account):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]

    async def _account(self, request: AdmissionRequest, name: str) -> Object:
        """The account; the default one may be a moment behind its namespace."""
        for _attempt in range(_RETRIES if name == "default" else 1):
            account = self._lookup.get("serviceaccounts", request.namespace, name)
            if account is not None:
                return account
            await env.sleep(_RETRY_SECONDS)
        raise refuse(
            request,
            f"error looking up service account {request.namespace}/{name}: "
            f'serviceaccount "{name}" not found',
        )


def _automounts(pod: Object, account: Object) -> bool:
    for source in (pod["spec"], account):
        if source.get("automountServiceAccountToken") is not None:
            return bool(source["automountServiceAccountToken"])
    return True


def _mount_token(spec: Object) -> None:
    """Add the projected volume, and mount it where a container has nothing at that path."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    lacking = [
        container
        for container in containers
        if not any(
            mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ()
        )
    ]
    if not lacking:
        return
    name = _existing_token_volume(spec)
    if name is None:
        name = f"kube-api-access-{env.name_suffix()}"
        spec.setdefault("volumes", []).append(_token_volume(name))
    for container in lacking:
        container.setdefault("volumeMounts", []).append(
            {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        )


def _existing_token_volume(spec: Object) -> str | None:
    """A pod copied from another one brings the volume along."""
    for volume in spec.get("volumes") or ():
        if str(volume.get("name", "")).startswith("kube-api-access-") and "projected" in volume:
            return str(volume["name"])
    return None


def _token_volume(name: str) -> Object:
    namespace_item = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [namespace_item]}},
            ],
            "defaultMode": 0o644,
        },
    }
