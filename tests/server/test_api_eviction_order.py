"""The order of an eviction's questions, and what it leaves behind."""

import asyncio

import pytest

from kapi.api.object import condition_of
from kapi.api.user import GROUP_AUTHENTICATED, UserInfo

MERGE = {"content-type": "application/merge-patch+json"}


class Budgeted:
    """Pods and budgets in one namespace; no controller is at work."""

    def __init__(self, api, namespace):
        self.api = api
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"

    async def pod(self, name, phase="Running", ready="True", node="n1"):
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "example.com/app"}]}
        meta = {"name": name, "labels": {"app": "web"}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        assert (await self.api.admin("POST", self.pods, body)).status == 201
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
        path = f"{self.pods}/{name}/status"
        return (await self.api.admin("PATCH", path, {"status": status}, MERGE)).body

    async def budget(self, allowed, name="web", **spec):
        body = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, **spec},
        }
        assert (await self.api.admin("POST", self.budgets, body)).status == 201
        status = {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2}
        path = f"{self.budgets}/{name}/status"
        assert (await self.api.admin("PATCH", path, {"status": status}, MERGE)).status == 200

    async def evict(self, name, *, caller=None, query=None, **options):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        if options:
            body["deleteOptions"] = options
        path = f"{self.pods}/{name}/eviction"
        return await (caller or self.api.admin)("POST", path, body, **(query or {}))

    async def status(self, name="web"):
        return (await self.api.admin("GET", f"{self.budgets}/{name}")).body["status"]

    async def is_there(self, name):
        found = await self.api.admin("GET", f"{self.pods}/{name}")
        return found.status == 200 and "deletionTimestamp" not in found.body["metadata"]


@pytest.fixture
def budgeted(api, namespace):
    return Budgeted(api, namespace)


async def test_an_evicted_pod_says_why_it_goes(api, budgeted):
    await budgeted.pod("one")
    await budgeted.budget(1)
    assert (await budgeted.evict("one")).status == 201
    found = (await api.admin("GET", f"{budgeted.pods}/one")).body
    assert found["metadata"]["deletionTimestamp"]
    mark = condition_of(found["status"]["conditions"], "DisruptionTarget")
    assert (mark["status"], mark["reason"]) == ("True", "EvictionByEvictionAPI")
    assert mark["message"] == "Eviction API: evicting"
    assert condition_of(found["status"]["conditions"], "Ready")["status"] == "True"
    status = await budgeted.status()
    condition = condition_of(status["conditions"], "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


@pytest.mark.parametrize("where", ["query", "body"])
async def test_a_dry_run_changes_nothing(api, budgeted, where):
    before = await budgeted.pod("one")
    await budgeted.budget(1)
    dry = {"query": {"dryRun": "All"}} if where == "query" else {"dryRun": ["All"]}
    assert (await budgeted.evict("one", **dry)).status == 201
    assert (await api.admin("GET", f"{budgeted.pods}/one")).body == before
    status = await budgeted.status()
    assert status["disruptionsAllowed"] == 1
    assert "disruptedPods" not in status
    await api.admin("PATCH", f"{budgeted.budgets}/web/status", {
        "status": {"disruptionsAllowed": 0}
    }, MERGE)  # fmt: skip
    assert (await budgeted.evict("one", **dry)).status == 429


async def test_two_budgets_for_one_pod_are_not_supported(budgeted):
    await budgeted.pod("one")
    await budgeted.budget(1, "a")
    await budgeted.budget(1, "b")
    answer = await budgeted.evict("one")
    assert answer.status == 500
    assert "reason" not in answer.body
    assert answer.message.startswith("This pod has more than one PodDisruptionBudget")
    assert await budgeted.is_there("one")


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_a_pod_that_does_not_run_costs_nothing(budgeted, phase):
    await budgeted.pod("one", phase=phase)
    await budgeted.budget(0)
    assert (await budgeted.evict("one")).status == 201
    assert not await budgeted.is_there("one")
    assert "disruptedPods" not in await budgeted.status()


async def test_preconditions_that_fail_cost_nothing(budgeted):
    pod = await budgeted.pod("one")
    await budgeted.budget(1)
    wrong = ({"uid": "other"}, {"resourceVersion": "1"})
    for preconditions in wrong:
        answer = await budgeted.evict("one", preconditions=preconditions)
        assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert (await budgeted.status())["disruptionsAllowed"] == 1
    version = pod["metadata"]["resourceVersion"]
    right = {"uid": pod["metadata"]["uid"], "resourceVersion": version}
    assert (await budgeted.evict("one", preconditions=right)).status == 201
    assert not await budgeted.is_there("one")


async def test_an_unready_pod_goes_while_the_budget_is_met(api, budgeted):
    await budgeted.pod("one", ready="False")
    await budgeted.budget(0)
    assert (await budgeted.evict("one")).status == 429
    path = f"{budgeted.budgets}/web/status"
    await api.admin("PATCH", path, {"status": {"desiredHealthy": 2}}, MERGE)
    assert (await budgeted.evict("one")).status == 201
    assert "disruptedPods" not in await budgeted.status()


async def test_a_crowd_of_evictions_takes_exactly_what_there_is(budgeted):
    names = [f"p{number}" for number in range(40)]
    for name in names:
        await budgeted.pod(name)
    await budgeted.budget(13)
    answers = await asyncio.gather(*(budgeted.evict(name) for name in names))
    assert [answer.status for answer in answers].count(201) == 13
    assert {answer.status for answer in answers} == {201, 429}
    status = await budgeted.status()
    assert status["disruptionsAllowed"] == 0
    gone = {name for name in names if not await budgeted.is_there(name)}
    assert gone == set(status["disruptedPods"])


async def test_a_node_evicts_its_own_pods_only(api, budgeted):
    await budgeted.pod("mine", node="n1")
    await budgeted.pod("other", node="n2")
    await budgeted.budget(2)
    node = UserInfo("system:node:n1", groups=("system:nodes", GROUP_AUTHENTICATED))
    kubelet = type(api.admin)(api.server.app, node)
    refused = await budgeted.evict("other", caller=kubelet)
    assert refused.status == 403
    assert 'node "n1" can only evict pods with spec.nodeName set to itself' in refused.message
    assert (await budgeted.status())["disruptionsAllowed"] == 2
    assert (await budgeted.evict("mine", caller=kubelet)).status == 201
    assert not await budgeted.is_there("mine")
