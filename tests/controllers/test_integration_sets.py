"""StatefulSets and DaemonSets against the real API server."""

import asyncio

from kapi import env
from kapi.api.object import controller_of, labels_of, name_of, owner_reference, uid_of
from kapi.client.client import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    EVENTS,
    MERGE_PATCH,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from kapi.client.events import EventRecorder
from kapi.controllers.context import ControllerContext
from kapi.controllers.daemonset.controller import DaemonSetController


def template(image="web:v1", **spec):
    containers = [{"name": "web", "image": image}]
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers, **spec},
    }


def workload(kind, image="web:v1", **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            **spec,
        },
    }


def claim_template(name="data"):
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources}
    return {"metadata": {"name": name}, "spec": spec}


async def add_nodes(cluster, *names):
    for name in names:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        await cluster.client.create(NODES, "", node)


async def patch(cluster, resource, body):
    return await cluster.client.patch(resource, "default", "web", body, content_type=MERGE_PATCH)


def new_image(image):
    return {"spec": {"template": template(image)}}


async def names(cluster):
    return sorted(name_of(pod) for pod in await cluster.pods(app="web"))


async def settled(cluster, resource, **wanted):
    """Run pods until the status says `wanted` of the present generation."""

    async def check():
        await cluster.run_pods()
        found = await cluster.client.get(resource, "default", "web")
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        right = all((status.get(field) or 0) == value for field, value in wanted.items())
        return found if current and right else None

    return await cluster.until(check, f"{wanted}")


async def revisions(cluster):
    listed = await cluster.client.list(CONTROLLER_REVISIONS, "default")
    return sorted(listed["items"], key=lambda each: each["revision"])


async def images(cluster):
    pods = await cluster.pods(app="web")
    return {name_of(pod): pod["spec"]["containers"][0]["image"] for pod in pods}


async def event_messages(cluster, reason):
    async def check():
        listed = await cluster.client.list(EVENTS, "default")
        return [e["message"] for e in listed["items"] if e["reason"] == reason]

    return await cluster.until(check, f"an event {reason}")


async def stays(cluster, what, wanted):
    """Give the controllers time to do something wrong."""
    await asyncio.sleep(0.3)
    assert await what(cluster) == wanted


# StatefulSets


async def test_an_ordered_set_starts_one_pod_at_a_time(cluster):
    await cluster.client.create(STATEFUL_SETS, "default", workload("StatefulSet", replicas=3))

    async def first():
        return await names(cluster) == ["web-0"]

    await cluster.until(first, "the first pod")
    await stays(cluster, names, ["web-0"])
    found = await settled(
        cluster, STATEFUL_SETS, replicas=3, readyReplicas=3, availableReplicas=3, updatedReplicas=3
    )
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"]
    assert found["status"]["collisionCount"] == 0
    pods = await cluster.pods(app="web")
    assert sorted(map(name_of, pods)) == ["web-0", "web-1", "web-2"]
    [revision] = await revisions(cluster)
    assert controller_of(revision)["uid"] == uid_of(found)
    for pod in pods:
        labels = labels_of(pod)
        assert labels["statefulset.kubernetes.io/pod-name"] == name_of(pod)
        assert f"web-{labels['apps.kubernetes.io/pod-index']}" == name_of(pod)
        assert labels["controller-revision-hash"] == name_of(revision)
        assert pod["spec"]["hostname"] == name_of(pod)
    messages = await event_messages(cluster, "SuccessfulCreate")
    assert "Create Pod web-0 in StatefulSet web successful" in messages


async def test_a_set_rolls_from_the_top_and_back_to_its_earlier_revision(cluster):
    await cluster.client.create(STATEFUL_SETS, "default", workload("StatefulSet", replicas=2))
    first = await settled(cluster, STATEFUL_SETS, readyReplicas=2, updatedReplicas=2)
    await patch(cluster, STATEFUL_SETS, new_image("web:v2"))
    order = []

    async def done():
        await cluster.run_pods()
        for name, image in (await images(cluster)).items():
            if image == "web:v2" and name not in order:
                order.append(name)
        found = await cluster.client.get(STATEFUL_SETS, "default", "web")
        status = found["status"]
        return found if status["currentRevision"] != first["status"]["currentRevision"] else None

    second = await cluster.until(done, "the rollout")
    assert order == ["web-1", "web-0"]
    assert second["status"]["updateRevision"] == second["status"]["currentRevision"]
    assert [each["revision"] for each in await revisions(cluster)] == [1, 2]

    await patch(cluster, STATEFUL_SETS, new_image("web:v1"))
    back = first["status"]["updateRevision"]
    await settled(cluster, STATEFUL_SETS, readyReplicas=2, currentRevision=back)
    assert set((await images(cluster)).values()) == {"web:v1"}
    assert [(name_of(each), each["revision"]) for each in await revisions(cluster)] == [
        (second["status"]["updateRevision"], 2),
        (back, 3),
    ]


async def test_pods_below_the_partition_keep_their_revision_even_when_deleted(cluster):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    made = workload("StatefulSet", replicas=2, updateStrategy=strategy)
    await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=2)
    await patch(cluster, STATEFUL_SETS, new_image("web:v2"))
    await settled(cluster, STATEFUL_SETS, readyReplicas=2, updatedReplicas=1, currentReplicas=1)
    assert await images(cluster) == {"web-0": "web:v1", "web-1": "web:v2"}
    await cluster.client.delete(PODS, "default", "web-0")
    await cluster.client.delete(PODS, "default", "web-1")

    async def returned():
        await cluster.run_pods()
        return len(await images(cluster)) == 2

    await cluster.until(returned, "both pods")
    assert await images(cluster) == {"web-0": "web:v1", "web-1": "web:v2"}


async def test_on_delete_waits_for_the_user(cluster):
    made = workload("StatefulSet", replicas=1, updateStrategy={"type": "OnDelete"})
    await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=1)
    await patch(cluster, STATEFUL_SETS, new_image("web:v2"))
    await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=0)
    await stays(cluster, images, {"web-0": "web:v1"})
    await cluster.client.delete(PODS, "default", "web-0")

    async def updated():
        return await images(cluster) == {"web-0": "web:v2"}

    await cluster.until(updated, "the pod of the new revision")


async def test_a_parallel_set_scales_without_waiting(cluster):
    made = workload("StatefulSet", replicas=3, podManagementPolicy="Parallel")
    made["spec"]["ordinals"] = {"start": 5}
    await cluster.client.create(STATEFUL_SETS, "default", made)

    def count(wanted):
        async def check():
            return await names(cluster) == wanted

        return check

    await cluster.until(count(["web-5", "web-6", "web-7"]), "all pods at once")
    await patch(cluster, STATEFUL_SETS, {"spec": {"replicas": 1}})
    await cluster.until(count(["web-5"]), "the surplus to go")


async def test_a_failed_pod_is_made_again_under_its_name(cluster):
    await cluster.client.create(STATEFUL_SETS, "default", workload("StatefulSet", replicas=1))
    await settled(cluster, STATEFUL_SETS, readyReplicas=1)
    [pod] = await cluster.pods(app="web")
    failed = {"status": {"phase": "Failed"}}
    await cluster.client.patch(PODS, "default", "web-0", failed, subresource="status")

    async def replaced():
        pods = await cluster.pods(app="web")
        return [name_of(each) for each in pods if uid_of(each) != uid_of(pod)] == ["web-0"]

    await cluster.until(replaced, "a new web-0")


async def claims(cluster):
    listed = await cluster.client.list(PERSISTENT_VOLUME_CLAIMS, "default")
    return {name_of(claim): claim for claim in listed["items"]}


async def test_claims_are_made_with_their_pods_and_outlive_them(cluster):
    made = workload("StatefulSet", replicas=2, volumeClaimTemplates=[claim_template()])
    await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=2)
    found = await claims(cluster)
    assert sorted(found) == ["data-web-0", "data-web-1"]
    assert labels_of(found["data-web-0"]) == {"app": "web"}
    assert not found["data-web-0"]["metadata"].get("ownerReferences")
    [pod] = [pod for pod in await cluster.pods(app="web") if name_of(pod) == "web-1"]
    volume = pod["spec"]["volumes"][0]
    assert volume["name"] == "data"
    assert volume["persistentVolumeClaim"]["claimName"] == "data-web-1"
    await patch(cluster, STATEFUL_SETS, {"spec": {"replicas": 1}})
    await settled(cluster, STATEFUL_SETS, replicas=1)
    assert sorted(await claims(cluster)) == ["data-web-0", "data-web-1"]


async def test_claims_go_as_the_retention_policy_says(cluster):
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    made = workload(
        "StatefulSet",
        replicas=2,
        volumeClaimTemplates=[claim_template()],
        persistentVolumeClaimRetentionPolicy=policy,
    )
    created = await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=2)
    owners = {controller_of(claim)["uid"] for claim in (await claims(cluster)).values()}
    assert owners == {uid_of(created)}
    await patch(cluster, STATEFUL_SETS, {"spec": {"replicas": 1}})

    async def left():
        return sorted(await claims(cluster)) == ["data-web-0"]

    await cluster.until(left, "the surplus claim to go with its pod")
    await patch(cluster, STATEFUL_SETS, {"spec": {"replicas": 2}})
    await settled(cluster, STATEFUL_SETS, readyReplicas=2)
    await cluster.client.delete(STATEFUL_SETS, "default", "web")

    async def gone():
        await cluster.run_pods()
        return not await claims(cluster)

    await cluster.until(gone, "the claims to go with the set")


async def test_history_is_cut_to_the_limit(cluster):
    made = workload("StatefulSet", replicas=1, revisionHistoryLimit=1)
    await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=1)
    for version in ("web:v2", "web:v3", "web:v4"):
        await patch(cluster, STATEFUL_SETS, new_image(version))
        await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=1)

    async def cut():
        return [each["revision"] for each in await revisions(cluster)] == [3, 4]

    await cluster.until(cut, "two revisions")


async def test_min_ready_seconds_hold_the_next_pod_back(cluster):
    made = workload("StatefulSet", replicas=2, minReadySeconds=2)
    await cluster.client.create(STATEFUL_SETS, "default", made)
    found = await settled(cluster, STATEFUL_SETS, readyReplicas=1, replicas=1)
    assert found["status"]["availableReplicas"] == 0
    assert await names(cluster) == ["web-0"]
    began = env.monotonic()
    await settled(cluster, STATEFUL_SETS, readyReplicas=2)
    assert env.monotonic() - began > 0.9


# DaemonSets


async def test_every_node_gets_one_pod_that_only_fits_there(cluster):
    await add_nodes(cluster, "n1", "n2")
    await cluster.client.create(DAEMON_SETS, "default", workload("DaemonSet"))
    await settled(
        cluster,
        DAEMON_SETS,
        desiredNumberScheduled=2,
        currentNumberScheduled=2,
        numberReady=2,
        numberAvailable=2,
        updatedNumberScheduled=2,
        numberUnavailable=0,
    )
    [revision] = await revisions(cluster)
    nodes = set()
    for pod in await cluster.pods(app="web"):
        required = pod["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        [term] = required["nodeSelectorTerms"]
        [field] = term["matchFields"]
        nodes.add(field["values"][0])
        keys = {toleration["key"] for toleration in pod["spec"]["tolerations"]}
        assert "node.kubernetes.io/unschedulable" in keys
        suffix = labels_of(pod)["controller-revision-hash"]
        assert name_of(revision) == f"web-{suffix}"
        assert labels_of(pod)["pod-template-generation"] == "1"
    assert nodes == {"n1", "n2"}
    await add_nodes(cluster, "n3")
    await settled(cluster, DAEMON_SETS, desiredNumberScheduled=3, numberReady=3)


async def test_pods_come_and_go_with_the_labels_of_nodes(cluster):
    await add_nodes(cluster, "n1")
    made = workload("DaemonSet")
    made["spec"]["template"]["spec"]["nodeSelector"] = {"color": "blue"}
    await cluster.client.create(DAEMON_SETS, "default", made)
    await settled(cluster, DAEMON_SETS, desiredNumberScheduled=0)
    assert await names(cluster) == []

    async def paint(color):
        body = {"metadata": {"labels": {"color": color}}}
        await cluster.client.patch(NODES, "", "n1", body, content_type=MERGE_PATCH)

    await paint("blue")
    await settled(cluster, DAEMON_SETS, desiredNumberScheduled=1, numberReady=1)
    await paint("green")
    await settled(cluster, DAEMON_SETS, desiredNumberScheduled=0, numberMisscheduled=0)

    async def none():
        return await names(cluster) == []

    await cluster.until(none, "the pod to go")


async def test_a_failed_daemon_pod_is_replaced(cluster):
    await add_nodes(cluster, "n1")
    await cluster.client.create(DAEMON_SETS, "default", workload("DaemonSet"))
    await settled(cluster, DAEMON_SETS, numberReady=1)
    [pod] = await names(cluster)
    failed = {"status": {"phase": "Failed"}}
    await cluster.client.patch(PODS, "default", pod, failed, subresource="status")

    async def replaced():
        found = await names(cluster)
        return len(found) == 1 and found != [pod]

    await cluster.until(replaced, "another pod")
    [message] = await event_messages(cluster, "FailedDaemonPod")
    assert message == f"Found failed daemon pod default/{pod} on node n1, will try to kill it"


async def test_a_daemon_set_rolls_within_its_limit_and_back(cluster):
    await add_nodes(cluster, "n1", "n2", "n3")
    await cluster.client.create(DAEMON_SETS, "default", workload("DaemonSet"))
    await settled(cluster, DAEMON_SETS, numberReady=3)
    await patch(cluster, DAEMON_SETS, new_image("web:v2"))
    lowest = 3

    async def done():
        nonlocal lowest
        pods = await cluster.pods(app="web")
        ready = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        lowest = min(lowest, len(ready))
        await cluster.run_pods()
        return set((await images(cluster)).values()) == {"web:v2"}

    await cluster.until(done, "the rollout")
    await settled(cluster, DAEMON_SETS, updatedNumberScheduled=3, numberAvailable=3)
    assert lowest == 2
    assert set((await images(cluster)).values()) == {"web:v2"}
    await patch(cluster, DAEMON_SETS, new_image("web:v1"))
    await settled(cluster, DAEMON_SETS, updatedNumberScheduled=3, numberAvailable=3)
    found = await revisions(cluster)
    assert [each["revision"] for each in found] == [2, 3]
    recorded = [each["data"]["spec"]["template"] for each in found]
    assert [each["spec"]["containers"][0]["image"] for each in recorded] == ["web:v2", "web:v1"]
    assert all(each["$patch"] == "replace" for each in recorded)


async def test_a_surge_keeps_every_node_served(cluster):
    await add_nodes(cluster, "n1", "n2")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    made = workload("DaemonSet", updateStrategy=strategy)
    await cluster.client.create(DAEMON_SETS, "default", made)
    await settled(cluster, DAEMON_SETS, numberReady=2)
    await patch(cluster, DAEMON_SETS, new_image("web:v2"))
    most = 0

    async def done():
        nonlocal most
        pods = await cluster.pods(app="web")
        ready = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        assert len(ready) >= 2
        most = max(most, len(pods))
        await cluster.run_pods()
        found = await images(cluster)
        return list(found.values()) == ["web:v2", "web:v2"]

    await cluster.until(done, "the rollout")
    assert most == 3


async def test_a_lost_revision_is_recorded_again_and_a_duplicate_is_merged(cluster):
    await add_nodes(cluster, "n1")
    created = await cluster.client.create(DAEMON_SETS, "default", workload("DaemonSet"))
    await settled(cluster, DAEMON_SETS, numberReady=1)
    [first] = await revisions(cluster)
    await cluster.client.delete(CONTROLLER_REVISIONS, "default", name_of(first))

    async def recorded():
        found = await revisions(cluster)
        return found[0] if found and uid_of(found[0]) != uid_of(first) else None

    again = await cluster.until(recorded, "the revision to return")
    assert name_of(again) == name_of(first)
    metadata = {
        "name": "web-other",
        "labels": {"app": "web", "controller-revision-hash": "other"},
        "ownerReferences": [owner_reference(created)],
    }
    double = {**again, "metadata": metadata, "revision": 9}
    await cluster.client.create(CONTROLLER_REVISIONS, "default", double)
    [pod] = await cluster.pods(app="web")
    note = {"metadata": {"annotations": {"wake": "up"}}}
    await patch(cluster, DAEMON_SETS, note)

    async def merged():
        return [name_of(each) for each in await revisions(cluster)] == ["web-other"]

    await cluster.until(merged, "the duplicate to go")
    await settled(cluster, DAEMON_SETS, numberReady=1, updatedNumberScheduled=1)
    [kept] = await cluster.pods(app="web")
    assert uid_of(kept) == uid_of(pod)
    assert labels_of(kept)["controller-revision-hash"] == "other"


async def test_heartbeats_of_nodes_wake_nobody(cluster):
    await add_nodes(cluster, "n1")
    made = workload("DaemonSet")
    made["spec"]["template"]["spec"]["nodeSelector"] = {"color": "blue"}
    await cluster.client.create(DAEMON_SETS, "default", made)
    await settled(cluster, DAEMON_SETS, desiredNumberScheduled=0)
    recorder = EventRecorder(cluster.client, "test")
    context = ControllerContext(cluster.client, cluster.manager.informers, recorder)
    # One that only listens: what it is told to look at stays in its queue.
    listener = DaemonSetController(context)
    queue = listener._loop.queue
    await asyncio.sleep(0.2)
    queue.done(await queue.get())
    await asyncio.sleep(0.1)
    assert queue.idle
    heartbeat = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await cluster.client.patch(NODES, "", "n1", heartbeat, subresource="status")
    body = {"metadata": {"labels": {"size": "xl"}}}
    await cluster.client.patch(NODES, "", "n1", body, content_type=MERGE_PATCH)
    await asyncio.sleep(0.2)
    assert queue.idle
    body = {"metadata": {"labels": {"color": "blue"}}}
    await cluster.client.patch(NODES, "", "n1", body, content_type=MERGE_PATCH)
    assert await asyncio.wait_for(queue.get(), 5) == "default/web"


async def test_orphans_are_adopted_with_their_history(cluster):
    """As `kubectl delete --cascade=orphan` and a new set of the same name have it."""
    await cluster.client.create(STATEFUL_SETS, "default", workload("StatefulSet", replicas=1))
    await settled(cluster, STATEFUL_SETS, readyReplicas=1)
    [pod] = await cluster.pods(app="web")
    [revision] = await revisions(cluster)
    options = {"propagationPolicy": "Orphan"}
    await cluster.client.delete(STATEFUL_SETS, "default", "web", options=options)

    async def orphaned():
        [found] = await cluster.pods(app="web")
        return controller_of(found) is None

    await cluster.until(orphaned, "the pod to lose its owner")
    again = await cluster.client.create(
        STATEFUL_SETS, "default", workload("StatefulSet", replicas=1)
    )
    await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=1)
    [found] = await cluster.pods(app="web")
    assert uid_of(found) == uid_of(pod)
    assert controller_of(found)["uid"] == uid_of(again)
    [kept] = await revisions(cluster)
    assert uid_of(kept) == uid_of(revision)
    assert controller_of(kept)["uid"] == uid_of(again)


async def test_a_name_taken_by_another_revision_counts_as_a_collision(cluster):
    made = workload("StatefulSet", replicas=1)
    await cluster.client.create(STATEFUL_SETS, "default", made)
    await settled(cluster, STATEFUL_SETS, readyReplicas=1)
    await patch(cluster, STATEFUL_SETS, new_image("web:v2"))
    second = await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=1)
    taken = second["status"]["updateRevision"]
    await patch(cluster, STATEFUL_SETS, new_image("web:v1"))
    await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=1)

    async def unused():
        current = await cluster.client.get(STATEFUL_SETS, "default", "web")
        return current["status"]["currentRevision"] != taken

    await cluster.until(unused, "the rollback")
    await cluster.client.delete(CONTROLLER_REVISIONS, "default", taken)
    stranger = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": taken},
        "data": {"spec": {}},
        "revision": 7,
    }
    await cluster.client.create(CONTROLLER_REVISIONS, "default", stranger)
    await patch(cluster, STATEFUL_SETS, new_image("web:v2"))
    third = await settled(cluster, STATEFUL_SETS, readyReplicas=1, updatedReplicas=1)
    assert third["status"]["collisionCount"] == 1
    assert third["status"]["updateRevision"] != taken
