"""Writes the summed-up rules of ClusterRoles that aggregate others (admin, edit, view)."""

from kapi.api.errors import NotFound
from kapi.api.object import Object, name_of
from kapi.client.client import APPLY_PATCH, CLUSTER_ROLES
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.cluster_role_aggregation.plan import aggregated_rules, same_rules
from kapi.controllers.context import ControllerContext

NAME = "clusterrole-aggregation-controller"


class ClusterRoleAggregationController:
    """Keys are names of aggregated roles; a change of any role looks at all of them."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._roles = context.informers.get(CLUSTER_ROLES)
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=1))
        self._roles.add_handler(self._changed, lambda _, role: self._changed(role), self._changed)

    def _changed(self, _role: Object) -> None:
        for role in self._roles.list():
            if role.get("aggregationRule"):
                self._loop.queue.add(name_of(role))

    async def run(self) -> None:
        await self._roles.wait_synced()
        await self._loop.run()

    async def reconcile(self, name: str) -> float | None:
        role = self._roles.get(name)
        if role is None or not role.get("aggregationRule"):
            return None
        rules = aggregated_rules(role, self._roles.list())
        if same_rules(rules, role.get("rules") or ()):
            return None
        applied = {
            "apiVersion": CLUSTER_ROLES.api_version,
            "kind": CLUSTER_ROLES.kind,
            "metadata": {"name": name},
            "rules": rules,
        }
        try:
            await self._client.patch(
                CLUSTER_ROLES,
                "",
                name,
                applied,
                content_type=APPLY_PATCH,
                params={"fieldManager": NAME, "force": "true"},
            )
        except NotFound:
            return None  # deleted meanwhile
        return None
