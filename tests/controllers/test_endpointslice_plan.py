"""Slices and Endpoints as planned from any pods."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.controllers.backends import TriggerTimes, resolved_ports
from kapi.controllers.endpoints.plan import MAX_ADDRESSES, plan_endpoints, plan_subsets, truncated
from kapi.controllers.endpointslice.mirroring import plan_mirror, should_mirror
from kapi.controllers.endpointslice.placement import place
from kapi.controllers.endpointslice.plan import plan_slices

NODES = {"n1": {"metadata": {"labels": {"topology.kubernetes.io/zone": "z1"}}}}


def service(**spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "ns", "uid": "s1", "labels": {"l": "1"}},
        "spec": {
            "clusterIP": "10.96.0.9",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            **spec,
        },
    }


def pod(number, ready=True, named=True, deleting=False, node="n1", **spec):
    metadata = {"name": f"p{number}", "namespace": "ns", "uid": f"u{number}"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ports = [{"name": "http" if named else "other", "containerPort": 8080}]
    return {
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.0.0.{number}"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def carry_out(plan, existing):
    """The slices after the plan, with names as a server would give."""
    after = {s["metadata"]["name"]: s for s in existing}
    for slice_ in plan.delete:
        del after[slice_["metadata"]["name"]]
    for slice_ in plan.update:
        after[slice_["metadata"]["name"]] = slice_
    for number, slice_ in enumerate(plan.create):
        name = f"made-{len(after)}-{number}"
        metadata = {**slice_["metadata"], "name": name, "resourceVersion": "1"}
        after[name] = {**slice_, "metadata": metadata}
    return list(after.values())


def decide(svc, pods, existing=()):
    return plan_slices(svc, pods, NODES, list(existing), None)


pod_sets = st.dictionaries(
    st.integers(1, 9), st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=9
).map(lambda many: [pod(n, *flags) for n, flags in many.items()])


@settings(max_examples=150, deadline=None)
@given(pod_sets, pod_sets, st.booleans())
def test_any_change_is_reached_in_one_round_and_then_nothing_is_left_to_do(before, after, headless):
    svc = service(**({"clusterIP": "None"} if headless else {}))
    existing = carry_out(decide(svc, before), [])
    now = carry_out(decide(svc, after, existing), existing)
    again = decide(svc, after, now)
    assert (again.create, again.update, again.delete) == ([], [], [])
    listed = Counter(e["addresses"][0] for s in now for e in s["endpoints"])
    wanted = {p["status"]["podIPs"][0]["ip"] for p in after if resolved_ports(svc, p) or headless}
    assert set(listed) == wanted
    assert all(count == 1 for count in listed.values())
    assert now, "there is always at least a placeholder"


def test_conditions_of_every_kind_of_pod():
    pods = [pod(1), pod(2, ready=False), pod(3, deleting=True)]
    [slice_] = decide(service(), pods).create
    conditions = {
        e["addresses"][0][-1]: tuple(e["conditions"].values()) for e in slice_["endpoints"]
    }
    assert conditions == {
        "1": (True, True, False),
        "2": (False, False, False),
        "3": (False, True, True),
    }
    [published] = decide(service(publishNotReadyAddresses=True), pods).create
    assert all(e["conditions"]["ready"] for e in published["endpoints"])


def test_pods_on_unknown_nodes_wait_unless_published():
    plan = decide(service(), [pod(1, node="gone")])
    assert plan.missing_nodes
    assert plan.create[0]["endpoints"] == []
    published = decide(service(publishNotReadyAddresses=True), [pod(1, node="gone")])
    assert not published.missing_nodes
    assert len(published.create[0]["endpoints"]) == 1


def test_hostname_is_published_by_the_service_the_pod_names():
    named = pod(1, hostname="db-0", subdomain="web")
    other = pod(2, hostname="db-1", subdomain="other")
    [slice_] = decide(service(), [named, other]).create
    assert [e.get("hostname") for e in slice_["endpoints"]] == ["db-0", None]


def test_traffic_distribution_gives_hints_to_ready_endpoints():
    svc = service(trafficDistribution="PreferSameNode")
    [slice_] = decide(svc, [pod(1), pod(2, ready=False)]).create
    assert [e.get("hints") for e in slice_["endpoints"]] == [
        {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]},
        None,
    ]


def test_slices_of_another_service_uid_are_replaced():
    old = carry_out(decide(service(), [pod(1)]), [])
    reborn = service()
    reborn["metadata"]["uid"] = "s2"
    plan = decide(reborn, [pod(1)], old)
    assert len(plan.create) == 1
    assert plan.delete == old


endpoints = st.integers(0, 40).map(lambda n: {"addresses": [f"10.0.0.{n}"], "targetRef": {}})


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 40), max_size=5), max_size=6),
    st.sets(st.integers(0, 40), max_size=25),
)
def test_placement_puts_every_endpoint_once_within_the_limit(had, wanted):
    def endpoint(number):
        return {"addresses": [f"10.0.0.{number}"], "targetRef": {"uid": str(number)}}

    taken: set[int] = set()
    existing = []
    for number, group in enumerate(had):
        fresh = group - taken
        taken |= fresh
        items = [endpoint(n) for n in sorted(fresh)]
        existing.append({"metadata": {"name": f"s{number}"}, "endpoints": items})
    result = place(existing, [endpoint(n) for n in sorted(wanted)], lambda _: True, 5)
    touched = {s["metadata"]["name"] for s, _ in result.update}
    touched |= {s["metadata"]["name"] for s in result.delete}
    lists = [s["endpoints"] for s in existing if s["metadata"]["name"] not in touched]
    lists += [items for _, items in result.update] + result.create
    assert all(0 < len(items) <= 5 for items in lists)
    assert sorted(e["targetRef"]["uid"] for items in lists for e in items) == sorted(
        map(str, wanted)
    )


def test_ports_with_equal_addresses_share_a_subset():
    svc = service(
        ports=[
            {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
            {"name": "num", "port": 81, "targetPort": 9000, "protocol": "UDP"},
        ]
    )
    [subset] = plan_subsets(svc, [pod(1), pod(2, ready=False)])
    assert [p["name"] for p in subset["ports"]] == ["http", "num"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.2"]
    apart = plan_subsets(svc, [pod(1), pod(2, named=False)])
    assert sorted(len(s["addresses"]) for s in apart) == [1, 2]


def test_terminating_pods_leave_endpoints_unless_published():
    leaving = [pod(1, deleting=True)]
    assert plan_subsets(service(), leaving) == []
    assert plan_subsets(service(publishNotReadyAddresses=True), leaving)


@settings(max_examples=100, deadline=None)
@given(pod_sets, st.randoms(use_true_random=False))
def test_endpoints_settle_and_ignore_the_order_of_pods(pods, rng):
    made = plan_endpoints(service(), pods, None, None)
    assert made is not None
    shuffled = list(pods)
    rng.shuffle(shuffled)
    assert plan_endpoints(service(), shuffled, made, "2026-01-01T00:00:00Z") is None


def test_too_many_addresses_are_cut_and_the_unready_go_first():
    ready = [{"ip": str(n)} for n in range(900)]
    rest = [{"ip": str(n)} for n in range(900, 1200)]
    kept, over = truncated([{"addresses": ready, "notReadyAddresses": rest}])
    assert over
    assert len(kept[0]["addresses"]) == 900
    assert len(kept[0]["notReadyAddresses"]) == MAX_ADDRESSES - 900


def test_trigger_times():
    times = TriggerTimes()
    svc = service()
    svc["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    changed = pod(1)
    changed["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:01:00Z"
    assert times.next("k", svc, []) == "2026-01-01T00:00:00Z"
    assert times.next("k", svc, [changed]) == "2026-01-01T00:01:00Z"
    assert times.next("k", svc, [changed]) is None


def hand_written():
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "ns", "uid": "e1", "annotations": {"a": "b"}},
        "subsets": [
            {
                "addresses": [{"ip": "10.1.1.1"}, {"ip": "fd00::1"}],
                "notReadyAddresses": [{"ip": "10.1.1.2"}],
                "ports": [{"name": "x", "port": 90, "protocol": "TCP"}],
            }
        ],
    }


def test_the_mirror_has_a_slice_per_family_and_settles():
    plan = plan_mirror(hand_written(), [])
    assert [(s["addressType"], len(s["endpoints"])) for s in plan.create] == [
        ("IPv4", 2),
        ("IPv6", 1),
    ]
    assert plan.create[0]["metadata"]["annotations"] == {"a": "b"}
    existing = carry_out(plan, [])
    again = plan_mirror(hand_written(), existing)
    assert (again.create, again.update, again.delete) == ([], [], [])


def test_what_is_mirrored():
    bare = service(selector=None)
    assert should_mirror(hand_written(), bare)
    assert not should_mirror(hand_written(), service())
    assert not should_mirror(hand_written(), None)
    skipped = hand_written()
    skipped["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    assert not should_mirror(skipped, bare)
