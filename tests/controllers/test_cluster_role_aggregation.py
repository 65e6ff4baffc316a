"""Aggregated roles: what is summed up, and that it reaches the stored role."""

from hypothesis import given
from hypothesis import strategies as st

from kapi.client.client import CLUSTER_ROLES
from kapi.controllers.cluster_role_aggregation.plan import aggregated_rules, same_rules


def role(name, labels=None, rules=(), selects=None):
    found = {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if selects is not None:
        found["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": selects}]}
    return found


def rule(*verbs):
    return {"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}


def test_selected_roles_are_summed_up_once_each_by_name():
    sum_ = role("sum", selects={"to": "sum"})
    others = [
        role("b", {"to": "sum"}, [rule("get"), rule("list")]),
        role("a", {"to": "sum"}, [rule("list")]),
        role("c", {"to": "other"}, [rule("delete")]),
        sum_,
    ]
    assert aggregated_rules(sum_, others) == [rule("list"), rule("get")]


def test_a_role_never_aggregates_itself():
    own = role("own", {"to": "sum"}, [rule("get")], selects={"to": "sum"})
    assert aggregated_rules(own, [own]) == []


verbs = st.lists(st.sampled_from(["get", "list", "watch"]), min_size=1, unique=True)


@given(st.lists(verbs, max_size=6), st.randoms())
def test_the_order_of_the_roles_does_not_matter(lists, rng):
    sum_ = role("sum", selects={"to": "sum"})
    others = [role(f"r{i}", {"to": "sum"}, [rule(*v)]) for i, v in enumerate(lists)]
    once = aggregated_rules(sum_, others)
    rng.shuffle(others)
    assert aggregated_rules(sum_, others) == once
    assert same_rules(once, reversed(once))


async def test_a_new_role_reaches_admin_edit_and_view(cluster):
    extra = {
        "metadata": {
            "name": "crontabs",
            "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
        },
        "rules": [{"apiGroups": ["example.com"], "resources": ["crontabs"], "verbs": ["get"]}],
    }
    await cluster.client.create(CLUSTER_ROLES, "", extra)

    async def has(name):
        found = await cluster.client.get(CLUSTER_ROLES, "", name)
        return extra["rules"][0] in found["rules"]

    for name in ("view", "edit", "admin"):
        await cluster.until(lambda name=name: has(name), f"{name} to have the rule")
    await cluster.client.delete(CLUSTER_ROLES, "", "crontabs")

    async def lost():
        return not await has("view")

    await cluster.until(lost, "view to lose the rule")
