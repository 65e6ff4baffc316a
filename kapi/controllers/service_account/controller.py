"""Creates the `default` ServiceAccount. Source: upstream `pkg/controller/serviceaccount`."""

from kapi.api.errors import AlreadyExists
from kapi.api.object import Object, name_of, namespace_of
from kapi.client.client import NAMESPACES, SERVICE_ACCOUNTS
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.ownership import namespace_terminating

NAME = "service-account-controller"
ACCOUNT = "default"


def is_active_namespace(namespace: Object) -> bool:
    return bool((namespace.get("status") or {}).get("phase", "Active") == "Active")


class ServiceAccountController:
    """Keys are namespaces."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._namespaces = context.informers.get(NAMESPACES)
        self._accounts = context.informers.get(SERVICE_ACCOUNTS)
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=1))
        add = self._loop.queue.add
        self._namespaces.add_handler(
            lambda ns: add(name_of(ns)), lambda _, ns: add(name_of(ns)), lambda _: None
        )
        self._accounts.add_handler(lambda _: None, lambda _, __: None, self._account_gone)

    def _account_gone(self, account: Object) -> None:
        if name_of(account) == ACCOUNT:
            self._loop.queue.add(namespace_of(account))

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._accounts.wait_synced()
        await self._loop.run()

    async def reconcile(self, name: str) -> float | None:
        namespace = self._namespaces.get(name)
        if namespace is None or not is_active_namespace(namespace):
            return None
        if self._accounts.get(f"{name}/{ACCOUNT}") is not None:
            return None
        metadata = {"name": ACCOUNT, "namespace": name}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        try:
            await self._client.create(SERVICE_ACCOUNTS, name, account)
        except AlreadyExists:
            return None
        except Exception as error:
            if not namespace_terminating(error):
                raise
        return None
