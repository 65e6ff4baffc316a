"""Frees pods that no Job will count any more, so that they can be deleted.

Source: `syncOrphanPod` in k8s.io/kubernetes `pkg/controller/job/job_controller.go`.
"""

from kapi.api.errors import NotFound
from kapi.api.object import Object, controller_of, namespace_of, uid_of
from kapi.client.client import JOBS, PODS
from kapi.client.informer import key_of
from kapi.client.reconcile import ReconcileLoop
from kapi.controllers.context import ControllerContext
from kapi.controllers.job.pod_writer import drop_finalizer
from kapi.controllers.job.pods import is_managed_elsewhere, is_tracked
from kapi.controllers.job.verdict import finished
from kapi.controllers.ownership import by_controller


class OrphanPods:
    """Takes the finalizer off pods whose Job is gone or finished. Acts as the Job controller."""

    def __init__(self, context: ControllerContext) -> None:
        self._jobs = context.informers.get(JOBS)
        self._pods = context.informers.get(PODS)
        self._pods.add_index("controller", by_controller)
        self._client = context.client
        self._loop = ReconcileLoop("job-orphans", self.reconcile)
        self._jobs.add_handler(self._job_seen, self._job_changed, self._job_seen)
        self._pods.add_handler(self._pod_seen, self._pod_changed, self._pod_gone)

    async def run(self) -> None:
        # Before all Jobs are known, every pod would look forsaken.
        await self._jobs.wait_synced()
        await self._pods.wait_synced()
        await self._loop.run()

    def _job_seen(self, job: Object) -> None:
        """Also for a Job that is gone: its pods are looked up again."""
        for pod in self._pods.by_index("controller", uid_of(job)):
            self._pod_seen(pod)

    def _job_changed(self, old: Object, new: Object) -> None:
        if finished(new):
            self._job_seen(new)

    def _pod_seen(self, pod: Object) -> None:
        if is_tracked(pod):
            self._loop.queue.add(key_of(pod))

    def _pod_changed(self, old: Object, new: Object) -> None:
        self._pod_seen(new)

    def _pod_gone(self, pod: Object) -> None:
        """Without finalizers now, whatever they were."""

    async def reconcile(self, key: str) -> float | None:
        """Free one pod, if it is an orphan."""
        pod = self._pods.get(key)
        if pod is not None and is_tracked(pod) and self._is_orphan(pod):
            try:
                await drop_finalizer(self._client, pod)
            except NotFound:
                pass
        return None

    def _is_orphan(self, pod: Object) -> bool:
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != JOBS.kind:
            return True
        job = self._jobs.get(f"{namespace_of(pod)}/{reference['name']}")
        if job is None or uid_of(job) != reference["uid"]:
            return True
        return not is_managed_elsewhere(job) and bool(finished(job))
