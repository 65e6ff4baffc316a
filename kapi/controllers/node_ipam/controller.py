"""Writes spec.podCIDR of new nodes and takes the block back from deleted ones."""

from kapi.api.errors import Invalid, NotFound
from kapi.api.object import Object, name_of, uid_of
from kapi.client.client import NODES, STRATEGIC_MERGE_PATCH
from kapi.client.events import NORMAL
from kapi.client.reconcile import LoopOptions, ReconcileLoop, TerminalError
from kapi.controllers.context import ControllerContext
from kapi.controllers.node_ipam.plan import Blocks, BlocksExhausted

NAME = "node-ipam-controller"


class NodeIpamController:
    """Keys are node names; one worker, as the blocks are one shared state."""

    def __init__(self, context: ControllerContext, blocks: Blocks, service_cidr: str = "") -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._blocks = blocks
        if service_cidr:
            blocks.occupy(service_cidr)
        self._given: dict[str, str] = {}
        self._nodes = context.informers.get(NODES)
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=1))
        self._nodes.add_handler(self._seen, lambda _, new: self._seen(new), self._gone)

    def _seen(self, node: Object) -> None:
        cidr = (node.get("spec") or {}).get("podCIDR")
        if cidr:
            self._blocks.occupy(cidr)
            self._given[name_of(node)] = cidr
        else:
            self._loop.queue.add(name_of(node))

    def _gone(self, node: Object) -> None:
        cidr = self._given.pop(name_of(node), "")
        if not cidr:
            return
        self._blocks.release(cidr)
        for other in self._nodes.list():
            # Perhaps one that came when no block was left.
            if not (other.get("spec") or {}).get("podCIDR"):
                self._loop.queue.add(name_of(other))

    async def run(self) -> None:
        # Blocks in use must be known before the first is given out.
        await self._nodes.wait_synced()
        await self._loop.run()

    async def reconcile(self, name: str) -> float | None:
        node = self._nodes.get(name)
        if node is None or (node.get("spec") or {}).get("podCIDR"):
            return None
        cidr = self._given.get(name)
        if cidr is None:
            try:
                cidr = self._given[name] = self._blocks.take()
            except BlocksExhausted:
                message = f"Node {name} status is now: CIDRNotAvailable"
                self._recorder.event(node, NORMAL, "CIDRNotAvailable", message)
                raise TerminalError("no pod CIDR is left for this node") from None
        # The uid is a precondition: another node of that name is given its own.
        patch = {"metadata": {"uid": uid_of(node)}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
        try:
            await self._client.patch(NODES, "", name, patch, content_type=STRATEGIC_MERGE_PATCH)
        except (NotFound, Invalid):
            # Gone, or somebody else gave it a block: either way ours is free again.
            if self._given.get(name) == cidr:
                del self._given[name]
            self._blocks.release(cidr)
        return None
