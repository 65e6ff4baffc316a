"""Publishes the cluster CA. Source: upstream `pkg/controller/certificates/rootcacertpublisher`."""

from kapi.api.errors import AlreadyExists, NotFound
from kapi.api.object import Object, annotations_of, name_of, namespace_of
from kapi.client.client import CONFIG_MAPS, NAMESPACES
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.ownership import namespace_terminating
from kapi.controllers.service_account.controller import is_active_namespace

NAME = "root-ca-cert-publisher"
CONFIG_MAP = "kube-root-ca.crt"
_DESCRIPTION_KEY = "kubernetes.io/description"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


class RootCaPublisher:
    """Keys are namespaces. `ca_pem` is the bundle to publish."""

    def __init__(self, context: ControllerContext, ca_pem: str) -> None:
        self._client = context.client
        self._ca_pem = ca_pem
        self._namespaces = context.informers.get(NAMESPACES)
        # Only the published maps are followed, not every ConfigMap of the cluster.
        self._maps = context.informers.get(
            CONFIG_MAPS, field_selector=f"metadata.name={CONFIG_MAP}"
        )
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=1))
        add = self._loop.queue.add
        self._namespaces.add_handler(
            lambda ns: add(name_of(ns)), lambda _, ns: add(name_of(ns)), lambda _: None
        )
        self._maps.add_handler(
            lambda _: None, lambda _, new: add(namespace_of(new)), lambda cm: add(namespace_of(cm))
        )

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._maps.wait_synced()
        await self._loop.run()

    async def reconcile(self, name: str) -> float | None:
        namespace = self._namespaces.get(name)
        if namespace is None or not is_active_namespace(namespace):
            return None
        found = self._maps.get(f"{name}/{CONFIG_MAP}")
        try:
            if found is None:
                await self._client.create(CONFIG_MAPS, name, self._config_map(name))
            elif found.get("data") != self._data or not _described(found):
                annotations = {**annotations_of(found), _DESCRIPTION_KEY: _DESCRIPTION}
                metadata = {**found["metadata"], "annotations": annotations}
                fixed = {**found, "metadata": metadata, "data": self._data}
                fixed.pop("binaryData", None)
                await self._client.update(CONFIG_MAPS, name, fixed)
        except (AlreadyExists, NotFound):
            return None
        except Exception as error:
            if not namespace_terminating(error):
                raise
        return None

    @property
    def _data(self) -> dict[str, str]:
        return {"ca.crt": self._ca_pem}

    def _config_map(self, namespace: str) -> Object:
        metadata = {
            "name": CONFIG_MAP,
            "namespace": namespace,
            "annotations": {_DESCRIPTION_KEY: _DESCRIPTION},
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data}


def _described(config_map: Object) -> bool:
    return annotations_of(config_map).get(_DESCRIPTION_KEY) == _DESCRIPTION
