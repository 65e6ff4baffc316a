"""What takes minutes in a real cluster, under the virtual clock of the simulation."""

from kapi import env
from kapi.api.object import condition_of
from kapi.client.client import DEPLOYMENTS, NODES, PODS
from kapi.sim.cluster import ClusterOptions, running_cluster
from kapi.sim.loop import run


async def until(check, seconds):
    """Virtual seconds until an awaitable check holds; fails after `seconds`."""
    began = env.monotonic()
    while not await check():
        assert env.monotonic() - began < seconds, "it did not come about in time"
        await env.sleep(0.25)
    return env.monotonic() - began


def web(replicas):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 60,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "c", "image": "x"}],
                },
            },
        },
    }


async def deployed(admin, replicas):
    async def account():
        try:
            await admin.create(DEPLOYMENTS, "default", web(replicas))
        except Exception:
            return False
        return True

    await until(account, 30)

    async def available():
        status = (await admin.get(DEPLOYMENTS, "default", "web")).get("status") or {}
        return status.get("availableReplicas") == replicas

    await until(available, 60)


def test_a_silent_node_is_noticed_and_its_pods_move_on():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=3)) as cluster:
            admin = cluster.admin
            await deployed(admin, 6)
            await env.sleep(30)
            pods = (await admin.list(PODS, "default"))["items"]
            silent = pods[0]["spec"]["nodeName"]
            lost = [p["metadata"]["name"] for p in pods if p["spec"]["nodeName"] == silent]
            await cluster.supervisor.components[silent].crash()

            async def unknown():
                node = await admin.get(NODES, "", silent)
                return condition_of(node["status"]["conditions"], "Ready")["status"] == "Unknown"

            silence = await until(unknown, 120)
            # The last lease may be up to its renewal period old when the node falls silent.
            assert 35 <= silence <= 52

            async def tainted():
                taints = (await admin.get(NODES, "", silent))["spec"].get("taints") or ()
                wanted = {"NoSchedule", "NoExecute"}
                return wanted <= {
                    t["effect"] for t in taints if t["key"] == "node.kubernetes.io/unreachable"
                }

            await until(tainted, 5)

            async def leaving():
                current = (await admin.list(PODS, "default"))["items"]
                gone = {
                    p["metadata"]["name"] for p in current if "deletionTimestamp" in p["metadata"]
                }
                return gone == set(lost)

            # Admission gives pods 300 s of toleration.
            assert 295 <= await until(leaving, 400) <= 305

            async def healed():
                current = (await admin.list(PODS, "default"))["items"]
                living = [p for p in current if "deletionTimestamp" not in p["metadata"]]
                ready = [p for p in living if condition_of(p["status"]["conditions"], "Ready")]
                return len(ready) == 6 and all(p["spec"]["nodeName"] != silent for p in ready)

            await until(healed, 30)
            cluster.check()

    run(main, 1)


def test_when_all_nodes_fall_silent_nobody_is_evicted():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=2)) as cluster:
            admin = cluster.admin
            await deployed(admin, 3)
            for name in ("node-0", "node-1"):
                await cluster.supervisor.components[name].crash()
            await env.sleep(900)
            nodes = (await admin.list(NODES))["items"]
            for node in nodes:
                ready = condition_of(node["status"]["conditions"], "Ready")
                assert ready["status"] == "Unknown"
                effects = {t["effect"] for t in node["spec"].get("taints") or ()}
                assert effects == {"NoSchedule"}
            pods = (await admin.list(PODS, "default"))["items"]
            assert len(pods) == 3
            assert not any("deletionTimestamp" in p["metadata"] for p in pods)
            for name in ("node-0", "node-1"):
                cluster.supervisor.components[name].start()

            async def back():
                nodes = (await admin.list(NODES))["items"]
                return not any(n["spec"].get("taints") for n in nodes)

            await until(back, 60)
            cluster.check()

    run(main, 2)


def test_a_rollout_that_cannot_proceed_reports_its_deadline():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=2, node_cpu="4")) as cluster:
            admin = cluster.admin
            await deployed(admin, 2)
            container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100"}}}
            template = {"spec": {"containers": [container]}}
            patch = {"spec": {"template": template}}
            await admin.patch(DEPLOYMENTS, "default", "web", patch)

            async def late():
                status = (await admin.get(DEPLOYMENTS, "default", "web"))["status"]
                found = condition_of(status["conditions"], "Progressing")
                return found["reason"] == "ProgressDeadlineExceeded" and status

            assert 58 <= await until(late, 120) <= 65
            status = await late()
            assert status["availableReplicas"] == 2
            assert condition_of(status["conditions"], "Available")["status"] == "True"
            cluster.check()

    run(main, 3)


def test_an_idle_cluster_writes_heartbeats_and_nothing_else():
    async def main(clock):
        async with running_cluster(clock, ClusterOptions(nodes=1)) as cluster:
            await deployed(cluster.admin, 1)
            await env.sleep(120)
            before = cluster.store.writes
            await env.sleep(600)
            # One lease each ten seconds, and the node's own status now and then.
            assert cluster.store.writes - before <= 600 / 10 + 5
            cluster.check()

    run(main, 4)
