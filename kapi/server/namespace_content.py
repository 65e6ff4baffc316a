"""What a namespace holds from its first moment: the default ServiceAccount and the cluster's CA.

Upstream leaves both to controllers, so a pod created right after its namespace may be refused. The
controllers keep them afterwards (and make them where an older server made the namespace); here
they are only there sooner.
"""

import asyncio

from kapi.api.object import Object
from kapi.server.bootstrap import ensure
from kapi.server.call import Api

_MANAGER = "kube-controller-manager"
# The controller in `controllers/root_ca` keeps the same text.
_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


async def fill_namespace(api: Api, name: str) -> None:
    """Create what is missing; what is there stays as it is."""
    wanted = [ensure(api.store_of("serviceaccounts"), _account(name), _MANAGER)]
    if api.config.cluster_ca_pem:
        root_ca = _root_ca(name, api.config.cluster_ca_pem)
        wanted.append(ensure(api.store_of("configmaps"), root_ca, _MANAGER))
    await asyncio.gather(*wanted)


def _account(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
    }


def _root_ca(namespace: str, ca_pem: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "kube-root-ca.crt",
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": _CA_DESCRIPTION},
        },
        "data": {"ca.crt": ca_pem},
    }
