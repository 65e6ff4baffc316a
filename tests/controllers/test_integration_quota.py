"""Quotas and storage protection against the real API server, under the controllers' own rights."""

from kapi.api.errors import Forbidden, NotFound
from kapi.client.client import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
)

CLAIM = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


async def used(cluster, **wanted):
    async def check():
        quota = await cluster.client.get(RESOURCE_QUOTAS, "default", "q")
        return (quota.get("status") or {}).get("used") == wanted

    await cluster.until(check, f"usage of {wanted}")


async def test_what_is_deleted_is_given_back(cluster):
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "2"}}}
    await cluster.client.create(RESOURCE_QUOTAS, "default", quota)
    # The published CA is a ConfigMap too.
    await used(cluster, **{"count/configmaps": "1"})
    await cluster.client.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    await used(cluster, **{"count/configmaps": "2"})
    refused = None
    try:
        await cluster.client.create(CONFIG_MAPS, "default", {"metadata": {"name": "b"}})
    except Forbidden as error:
        refused = error
    assert refused is not None
    assert "exceeded quota: q" in refused.message
    await cluster.client.delete(CONFIG_MAPS, "default", "a")
    await used(cluster, **{"count/configmaps": "1"})
    await cluster.client.create(CONFIG_MAPS, "default", {"metadata": {"name": "b"}})


async def test_a_claim_stays_while_a_pod_on_a_node_mounts_it(cluster):
    async def account():
        try:
            return await cluster.client.get(SERVICE_ACCOUNTS, "default", "default")
        except NotFound:
            return None

    await cluster.until(account)
    await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, "default", CLAIM)
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    spec = {"nodeName": "one", "containers": [{"name": "c", "image": "i"}], "volumes": [volume]}
    await cluster.client.create(PODS, "default", {"metadata": {"name": "web"}, "spec": spec})
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    held = await cluster.client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    assert held["metadata"]["deletionTimestamp"]
    options = {"gracePeriodSeconds": 0}
    await cluster.client.delete(PODS, "default", "web", options=options)

    async def gone():
        try:
            await cluster.client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
        except NotFound:
            return True
        return False

    await cluster.until(gone, "the claim to go")
