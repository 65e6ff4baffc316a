"""Times evictions with the loop's timers and carries them out."""

from dataclasses import dataclass

from kapi import env
from kapi.api.errors import Conflict, NotFound
from kapi.api.object import Object, is_deleting, name_of, namespace_of, uid_of
from kapi.client.client import NODES, PODS, STRATEGIC_MERGE_PATCH
from kapi.client.events import NORMAL
from kapi.client.informer import key_of
from kapi.client.reconcile import LoopOptions, ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.node_lifecycle.controller import by_node
from kapi.controllers.pods import node_of
from kapi.controllers.taint_eviction.plan import FOREVER, no_execute_taints, seconds_to_stay

NAME = "taint-eviction-controller"


@dataclass(frozen=True, slots=True)
class Sentence:
    """When the taints were first seen on this pod, and when its time is up."""

    uid: str
    since: float
    due: float


class TaintEvictionController:
    """Keys are pods."""

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._pods = context.informers.get(PODS)
        self._nodes = context.informers.get(NODES)
        self._pods.add_index("node", by_node)
        self._sentences: dict[str, Sentence] = {}
        self._loop = ReconcileLoop(NAME, self.reconcile, LoopOptions(workers=8, max_retries=5))
        self._pods.add_handler(self._pod_seen, self._pod_changed, self._pod_gone)
        self._nodes.add_handler(self._node_seen, self._node_changed, lambda _: None)

    async def run(self) -> None:
        await self._pods.wait_synced()
        await self._nodes.wait_synced()
        await self._loop.run()

    def _pod_seen(self, pod: Object) -> None:
        if node_of(pod) and no_execute_taints(self._nodes.get(node_of(pod))):
            self._loop.queue.add(key_of(pod))

    def _pod_changed(self, old: Object, new: Object) -> None:
        same = (old.get("spec") or {}).get("tolerations") == (new.get("spec") or {}).get(
            "tolerations"
        )
        if not same or node_of(old) != node_of(new):
            self._pod_seen(new)

    def _pod_gone(self, pod: Object) -> None:
        self._sentences.pop(key_of(pod), None)

    def _node_seen(self, node: Object) -> None:
        if no_execute_taints(node):
            self._add_pods_of(node)

    def _node_changed(self, old: Object, new: Object) -> None:
        if no_execute_taints(old) != no_execute_taints(new):
            self._add_pods_of(new)

    def _add_pods_of(self, node: Object) -> None:
        for pod in self._pods.by_index("node", name_of(node)):
            self._loop.queue.add(key_of(pod))

    async def reconcile(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or is_deleting(pod):
            self._sentences.pop(key, None)
            return None
        taints = no_execute_taints(self._nodes.get(node_of(pod)))
        stay = seconds_to_stay(taints, pod["spec"].get("tolerations") or ())
        sentence = self._sentences.get(key)
        if sentence is not None and sentence.uid != uid_of(pod):
            sentence = None
        if stay == FOREVER:
            if sentence is not None:
                del self._sentences[key]
                self._report(pod, "Cancelling deletion of Pod")
            return None
        now = env.monotonic()
        since = sentence.since if sentence is not None else now
        due = since + stay
        if sentence is not None and sentence.due <= due:
            due = sentence.due
        self._sentences[key] = Sentence(uid_of(pod), since, due)
        if due > now:
            return due - now
        await self._evict(pod)
        self._sentences.pop(key, None)
        return None

    async def _evict(self, pod: Object) -> None:
        self._report(pod, "Marking for deletion Pod")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": env.timestamp(),
        }
        uid, namespace, name = uid_of(pod), namespace_of(pod), name_of(pod)
        patch = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(
                PODS,
                namespace,
                name,
                patch,
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
            options = {"preconditions": {"uid": uid}}
            await self._client.delete(PODS, namespace, name, options=options)
        except (NotFound, Conflict):
            # Gone already, or another pod by that name, which is judged by itself.
            return

    def _report(self, pod: Object, what: str) -> None:
        message = f"{what} {namespace_of(pod)}/{name_of(pod)}"
        self._recorder.event(pod, NORMAL, "TaintManagerEviction", message)
