"""The deployment planner: what must hold for any state, and upstream's own examples."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.object import annotations_of, condition_of, name_of
from kapi.controllers.deployment.limits import surge_and_unavailable
from kapi.controllers.deployment.plan import Observed, plan
from kapi.controllers.deployment.revisions import (
    DESIRED_REPLICAS,
    HASH_LABEL,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    ROLLBACK_TO,
    last_revision,
    new_annotations,
    template_hash,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def template(image="v1"):
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def make_deployment(replicas=3, image="v1", surge="25%", unavailable="25%", **spec):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "ns",
            "uid": "d1",
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": template(image),
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            **spec,
        },
        "status": {},
    }


def make_replica_set(image, size, available=None, revision=1, desired=None, surge=0, age=0):
    pod_template = template(image)
    suffix = template_hash(pod_template, None)
    pod_template["metadata"]["labels"][HASH_LABEL] = suffix
    available = size if available is None else available
    annotations = {REVISION: str(revision)}
    if desired is not None:
        annotations |= {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(desired + surge)}
    return {
        "metadata": {
            "name": f"web-{suffix}",
            "namespace": "ns",
            "uid": f"rs-{image}",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "annotations": annotations,
        },
        "spec": {"replicas": size, "minReadySeconds": 0, "template": pod_template},
        "status": {
            "replicas": size,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    }


def decide(deployment, *replica_sets, pods=None, now=NOW):
    return plan(Observed(deployment, replica_sets, pods or {}, now))


def sizes(result):
    return {name_of(w.replica_set): w.replica_set["spec"]["replicas"] for w in result.writes}


def test_a_new_deployment_gets_a_replica_set_with_everything():
    result = decide(make_deployment())
    [write] = result.writes
    made = write.replica_set
    assert write.verb == "create"
    suffix = made["metadata"]["labels"][HASH_LABEL]
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", HASH_LABEL: suffix}
    assert annotations_of(made) == {REVISION: "1", DESIRED_REPLICAS: "3", MAX_REPLICAS: "4"}
    assert made["spec"]["replicas"] == 3
    assert annotations_of(result.deployment)[REVISION] == "1"
    progressing = condition_of(result.deployment["status"]["conditions"], "Progressing")
    assert progressing["reason"] == "NewReplicaSetCreated"
    assert [n.message for n in result.notes] == [
        f"Scaled up replica set {name_of(made)} from 0 to 3"
    ]


def test_the_hash_has_upstreams_shape_and_depends_on_collisions():
    plain = template_hash(template(), None)
    assert set(plain) <= set("456789bcdf")
    assert len(plain) <= 10
    assert len({plain, template_hash(template(), 0), template_hash(template(), 1)}) == 3
    labelled = template()
    labelled["metadata"]["labels"][HASH_LABEL] = "x"
    assert template_hash(labelled, None) == plain


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),
        (3, 1, 10, (1, 3)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(replicas, surge, unavailable, expected):
    deployment = make_deployment(replicas, surge=surge, unavailable=unavailable)
    assert surge_and_unavailable(deployment) == expected


@pytest.mark.parametrize(
    ("replicas", "surge", "old", "new", "expected"),
    [
        # upstream TestDeploymentController_reconcileNewReplicaSet
        (10, 0, 10, 0, None),
        (10, 2, 10, 0, 2),
        (10, 2, 5, 0, 7),
        (10, 2, 10, 2, None),
        (10, 2, 2, 11, 10),
    ],
)
def test_the_new_one_grows_into_the_room(replicas, surge, old, new, expected):
    deployment = make_deployment(replicas, "v2", surge=surge, unavailable=1)
    before = make_replica_set("v1", old, desired=replicas, surge=surge, age=9)
    after = make_replica_set("v2", new, available=0, revision=2, desired=replicas, surge=surge)
    result = decide(deployment, before, after)
    assert sizes(result).get(name_of(after)) == expected


@pytest.mark.parametrize(
    ("unavailable", "old", "old_ready", "new", "new_ready", "expected"),
    [
        # upstream TestDeploymentController_reconcileOldReplicaSets, replicas 10
        (0, 10, 10, 0, 0, None),
        (2, 10, 10, 0, 0, 8),
        (2, 10, 8, 0, 0, 8),
        (2, 10, 9, 0, 0, 8),
        (2, 8, 8, 2, 2, 6),
        (2, 8, 8, 2, 0, None),
    ],
)
def test_the_old_one_shrinks_within_what_may_be_missing(
    unavailable, old, old_ready, new, new_ready, expected
):
    deployment = make_deployment(10, "v2", surge=0, unavailable=unavailable)
    if unavailable == 0:
        deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 1
    surge, _ = surge_and_unavailable(deployment)
    before = make_replica_set("v1", old, old_ready, desired=10, surge=surge, age=9)
    after = make_replica_set("v2", new, new_ready, revision=2, desired=10, surge=surge)
    result = decide(deployment, before, after)
    grown = name_of(after) in sizes(result)
    assert sizes(result).get(name_of(before)) == (None if grown else expected)


def test_scaling_in_the_middle_of_a_rollout_is_proportional():
    deployment = make_deployment(20, "v2", surge=2, unavailable=2)
    before = make_replica_set("v1", 8, desired=10, surge=2, age=9)
    after = make_replica_set("v2", 4, desired=10, surge=2, revision=2)
    result = decide(deployment, before, after)
    assert sizes(result) == {name_of(before): 15, name_of(after): 7}
    for write in result.writes:
        assert annotations_of(write.replica_set)[DESIRED_REPLICAS] == "20"


def test_recreate_waits_for_the_last_old_pod():
    deployment = make_deployment(2, "v2", strategy={"type": "Recreate"})
    running = make_replica_set("v1", 2, desired=2)
    assert sizes(decide(deployment, running)) == {name_of(running): 0}
    stopped = make_replica_set("v1", 0, desired=2)
    pod = {"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}
    assert decide(deployment, stopped, pods={"rs-v1": (pod,)}).writes == []
    done = {"metadata": {}, "status": {"phase": "Failed"}}
    [write] = decide(deployment, stopped, pods={"rs-v1": (done,)}).writes
    assert (write.verb, write.replica_set["spec"]["replicas"]) == ("create", 2)


def test_a_template_that_returns_gets_a_new_number_and_remembers_the_old():
    old = make_replica_set("v1", 0, revision=1, desired=3, surge=1, age=9)
    current = make_replica_set("v2", 3, revision=2, desired=3, surge=1)
    result = decide(make_deployment(3, "v1"), old, current)
    [back] = [w.replica_set for w in result.writes if name_of(w.replica_set) == name_of(old)]
    assert annotations_of(back)[REVISION] == "3"
    assert annotations_of(back)[REVISION_HISTORY] == "1"


def test_history_skips_what_is_in_use_but_counts_it():
    deployment = make_deployment(1, "v9", revisionHistoryLimit=1)
    current = make_replica_set("v9", 1, revision=9, desired=1, surge=1)
    status = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    deployment["status"] = {**status, "readyReplicas": 1}
    used = make_replica_set("v1", 0, revision=1, desired=1, surge=1)
    used["status"]["replicas"] = 1
    rest = [make_replica_set(f"v{n}", 0, revision=n, desired=1, surge=1) for n in (2, 3)]
    deleted = [w.replica_set for w in decide(deployment, current, used, *rest).writes]
    assert [annotations_of(rs)[REVISION] for rs in deleted] == ["2"]


def test_a_stuck_rollout_times_out_once_and_comes_back_in_time():
    deployment = make_deployment(1, "v1")
    stuck = make_replica_set("v1", 1, 0, desired=1, surge=1)
    first = decide(deployment, stuck).deployment
    again = decide(first, stuck)
    assert again.revisit_in == pytest.approx(601)
    late = decide(first, stuck, now=NOW + timedelta(seconds=601)).deployment
    condition = condition_of(late["status"]["conditions"], "Progressing")
    assert (condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert condition["message"].endswith("has timed out progressing.")


def test_the_rollback_annotation_takes_the_old_template():
    deployment = make_deployment(3, "v2")
    deployment["metadata"]["annotations"] = {ROLLBACK_TO: "0"}
    one = make_replica_set("v1", 0, revision=1, desired=3, surge=1)
    two = make_replica_set("v2", 3, revision=2, desired=3, surge=1)
    result = decide(deployment, one, two)
    assert result.update_spec
    assert result.deployment["spec"]["template"] == template("v1")
    assert ROLLBACK_TO not in annotations_of(result.deployment)
    assert last_revision([one, two]) == 1


def test_an_empty_selector_only_warns():
    result = decide(make_deployment(selector={}))
    assert result.writes == []
    assert [n.reason for n in result.notes] == ["SelectingAll"]
    assert result.deployment["status"]["observedGeneration"] == 1


def test_annotations_are_copied_except_our_own():
    deployment = make_deployment()
    deployment["metadata"]["annotations"] = {
        "team": "a",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        REVISION: "7",
    }
    assert new_annotations(deployment, {"old": "kept"}, 1) == {
        "team": "a",
        "old": "kept",
        REVISION: "1",
    }


# Any state: a little world that carries plans out and lets pods come up or not.


class World:
    """ReplicaSets by name; `settle` makes statuses follow specs, `fail` images never ready."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.sets = {}
        self.fail = set()

    def step(self):
        result = decide(self.deployment, *self.sets.values())
        for write in result.writes:
            name = name_of(write.replica_set)
            if write.verb == "delete":
                assert write.replica_set["spec"]["replicas"] == 0
                del self.sets[name]
                continue
            stored = dict(write.replica_set)
            if write.verb == "create":
                assert name not in self.sets
                stored["metadata"] = {
                    **stored["metadata"],
                    "uid": name,
                    "generation": 1,
                    "resourceVersion": "1",
                    "creationTimestamp": f"2026-01-01T00:00:{len(self.sets):02d}Z",
                }
                stored["status"] = {"observedGeneration": 1}
            self.sets[name] = stored
        self.deployment = result.deployment
        return result

    def settle_one(self, index):
        """Bring one ReplicaSet's status up to its spec."""
        names = sorted(self.sets)
        if not names:
            return
        replica_set = self.sets[names[index % len(names)]]
        size = replica_set["spec"]["replicas"]
        image = replica_set["spec"]["template"]["spec"]["containers"][0]["image"]
        ready = min(size, replica_set["status"].get("availableReplicas") or 0)
        if image not in self.fail:
            ready = size
        replica_set["status"] = {
            "replicas": size,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": 1,
        }

    def total(self):
        return sum(rs["spec"]["replicas"] for rs in self.sets.values())

    def available(self):
        return sum(
            min(rs["status"].get("availableReplicas") or 0, rs["spec"]["replicas"])
            for rs in self.sets.values()
        )


limits = st.one_of(st.integers(0, 3), st.sampled_from(["0%", "25%", "50%", "100%"]))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 8),
    limits,
    limits,
    st.lists(st.integers(0, 5), max_size=40),
    st.booleans(),
)
def test_a_rollout_stays_within_its_limits_and_ends(replicas, surge, unavailable, order, broken):
    """From v1 to v2: never above the ceiling, never below the floor; done if v2 works."""
    world = World(make_deployment(replicas, "v1", surge, unavailable))
    for _ in range(6):
        world.step()
        world.settle_one(0)
    assert world.available() == replicas
    world.deployment["spec"]["template"] = template("v2")
    if broken:
        world.fail.add("v2")
    most, least = surge_and_unavailable(world.deployment)
    for index in order:
        world.step()
        assert world.total() <= replicas + most
        assert world.available() >= replicas - least
        world.settle_one(index)
    for index in range(60):
        world.step()
        assert world.total() <= replicas + most
        assert world.available() >= replicas - least
        world.settle_one(index)
    if not broken:
        [current] = [rs for rs in world.sets.values() if rs["spec"]["replicas"]] or [None]
        if replicas:
            assert current["spec"]["template"]["spec"]["containers"][0]["image"] == "v2"
            assert current["spec"]["replicas"] == replicas
        last = world.step()
        assert last.writes == []
        assert last.notes == []


@settings(max_examples=100, deadline=None)
@given(st.permutations(["v1", "v2", "v3"]), st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_the_order_of_what_is_observed_does_not_matter(order, amounts):
    deployment = make_deployment(4, "v3")
    made = {
        image: make_replica_set(image, size, desired=4, surge=1, revision=number, age=9 - number)
        for number, (image, size) in enumerate(zip(("v1", "v2", "v3"), amounts, strict=True), 1)
    }
    one = decide(deployment, *(made[image] for image in order))
    other = decide(deployment, *made.values())
    assert sizes(one) == sizes(other)
    assert {n.message for n in one.notes} == {n.message for n in other.notes}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 4))
def test_proportional_scaling_gives_exactly_the_allowed_total(old, new, target, surge):
    """Whenever two generations are active and nothing is saturated."""
    deployment = make_deployment(target, "v2", surge=surge, unavailable=1)
    desired = old + new
    before = make_replica_set("v1", old, 0, desired=desired, surge=surge, age=9)
    after = make_replica_set("v2", new, 0, desired=desired, surge=surge, revision=2)
    if old == 0 or new == 0 or desired == target:
        return
    result = decide(deployment, before, after)
    final = {name_of(before): old, name_of(after): new, **sizes(result)}
    most, _ = surge_and_unavailable(deployment)
    assert sum(final.values()) == (target + most if target else 0)
    assert min(final.values()) >= 0
