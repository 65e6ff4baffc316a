"""The StatefulSet planner: order, one at a time, partitions, claims, revisions."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.controllers.hashes import fnv1, fnv1a, safe_encode
from kapi.controllers.history.plan import (
    find_current,
    new_revision,
    oldest_unused,
    snapshot,
    template_of,
)
from kapi.controllers.statefulset.claims import (
    has_foreign_controller,
    leaving_claim,
    missing_claims,
    with_owner,
)
from kapi.controllers.statefulset.identity import new_pod, ordinal_of, revision_hash
from kapi.controllers.statefulset.plan import (
    Observed,
    is_available,
    next_availability,
    plan,
    plan_status,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stateful_set(replicas=3, image="v1", **spec):
    containers = [{"name": "c", "image": image}]
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "w", "namespace": "n", "uid": "set", "generation": 2},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "w"}},
            "template": template,
            **spec,
        },
    }


def revision(image="v1", number=1, name=""):
    made = new_revision(stateful_set(image=image), number, "x", "hash")
    made["metadata"]["name"] = name or f"w-{image}"
    return made


OLD, NEW = revision("v1", 1), revision("v2", 2)


def pod(ordinal, revision=NEW, phase="Running", ready=True, since=100, leaving=False):
    made = new_pod(stateful_set(), revision, ordinal)
    made["metadata"]["uid"] = f"pod-{ordinal}"
    if leaving:
        made["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    changed = (NOW - timedelta(seconds=since)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = "True" if ready and phase == "Running" else "False"
    condition = {"type": "Ready", "status": status, "lastTransitionTime": changed}
    made["status"] = {"phase": phase, "conditions": [condition]}
    return made


def observe(pods, current=OLD, update=NEW, **spec):
    return Observed(stateful_set(image="v2", **spec), tuple(pods), current, update, NOW)


def names(pods):
    return [each["metadata"]["name"] for each in pods]


PARALLEL = {"podManagementPolicy": "Parallel"}
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


def partition(number):
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}


def test_ordered_creation_stops_at_the_first_pod_to_wait_for():
    assert names(plan(observe([])).create) == ["w-0"]
    assert names(plan(observe([pod(0)])).create) == ["w-1"]
    assert names(plan(observe([pod(1)])).create) == ["w-0"]
    for waiting in (
        pod(0, ready=False),
        pod(0, phase="Pending"),
        pod(0, leaving=True),
        pod(0, phase="Failed", leaving=True),
    ):
        decided = plan(observe([waiting]))
        assert not decided.create and not decided.delete
    assert not plan(observe([pod(0, since=5)], minReadySeconds=10)).create
    assert names(plan(observe([pod(0, since=15)], minReadySeconds=10)).create) == ["w-1"]


def test_parallel_creation_waits_for_nothing():
    decided = plan(observe([pod(1, ready=False)], ordinals={"start": 1}, **PARALLEL))
    assert names(decided.create) == ["w-2", "w-3"]
    assert not decided.delete


def test_ended_pods_are_deleted_to_be_made_again():
    for phase in ("Failed", "Succeeded"):
        decided = plan(observe([pod(0), pod(1, phase=phase)]))
        assert names(decided.delete) == ["w-1"]
        assert not decided.create


def test_surplus_pods_go_from_the_top_when_all_are_well():
    pods = [pod(n) for n in range(4)]
    assert names(plan(observe(pods, replicas=2)).delete) == ["w-3"]
    pods[1] = pod(1, ready=False)
    assert not plan(observe(pods, replicas=2)).delete
    # Only the lowest unwell surplus pod may go unwell; one above it waits.
    pods = [pod(0), pod(1), pod(2, ready=False), pod(3)]
    assert names(plan(observe(pods, replicas=2)).delete) == ["w-3"]
    assert names(plan(observe(pods[:3], replicas=2)).delete) == ["w-2"]
    pods[3] = pod(3, ready=False)
    assert not plan(observe(pods, replicas=2)).delete
    assert names(plan(observe(pods, replicas=2, **PARALLEL)).delete) == ["w-3", "w-2"]


def test_a_rollout_replaces_one_at_a_time_from_the_top():
    old = [pod(n, OLD) for n in range(3)]
    assert names(plan(observe(old)).delete) == ["w-2"]
    assert names(plan(observe([*old[:2], pod(2)])).delete) == ["w-1"]
    assert not plan(observe([*old[:2], pod(2, ready=False)], **PARALLEL)).delete
    # In a parallel set an old pod that is not well is replaced all the same.
    assert names(plan(observe([*old[:2], pod(2, OLD, ready=False)], **PARALLEL)).delete) == ["w-2"]
    assert not plan(observe(old, **ON_DELETE)).delete


def test_the_partition_counts_from_the_first_ordinal():
    spec = {**partition(2), "ordinals": {"start": 5}}
    old = [pod(n, OLD) for n in (5, 6, 7)]
    assert names(plan(observe(old, **spec)).delete) == ["w-7"]
    assert not plan(observe([*old[:2], pod(7)], **spec)).delete
    made = plan(observe([], **spec, **PARALLEL)).create
    found = {each["metadata"]["name"]: each["spec"]["containers"][0]["image"] for each in made}
    assert found == {"w-5": "v1", "w-6": "v1", "w-7": "v2"}
    assert plan(observe([], **ON_DELETE)).create[0]["spec"]["containers"][0]["image"] == "v2"


def test_a_set_on_its_way_out_is_left_alone():
    observed = observe([pod(0, OLD), pod(7)])
    observed.stateful_set["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    decided = plan(observed)
    assert not any((decided.create, decided.delete, decided.retain, decided.claim))


def test_pods_without_the_labels_of_their_identity_get_them():
    adopted = pod(0)
    del adopted["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"]
    assert names(plan(observe([adopted])).relabel) == ["w-0"]


_PHASES = st.sampled_from(["Pending", "Running", "Running", "Running", "Failed", "Succeeded"])
_PODS = st.dictionaries(
    st.integers(0, 6),
    st.tuples(st.booleans(), _PHASES, st.booleans(), st.integers(0, 20), st.booleans()),
    max_size=6,
)


def _pods(drawn):
    return [
        pod(n, NEW if new else OLD, phase, ready, since, leaving and ready)
        for n, (new, phase, ready, since, leaving) in drawn.items()
    ]


@settings(max_examples=300, deadline=None)
@given(_PODS, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.sampled_from([0, 10]))
def test_an_ordered_set_takes_one_step_and_never_skips_a_number(
    drawn, replicas, start, held, min_ready
):
    spec = {"ordinals": {"start": start}, "minReadySeconds": min_ready, **partition(held)}
    observed = observe(_pods(drawn), replicas=replicas, **spec)
    decided = plan(observed)
    assert len(decided.create) + len(decided.delete) <= 1
    wanted = range(start, start + replicas)
    by_ordinal = {ordinal_of("w", name): each for name, each in zip(
        names(observed.pods), observed.pods, strict=True
    )}  # fmt: skip

    def well(ordinal):
        found = by_ordinal.get(ordinal)
        return (
            found is not None
            and is_available(observed.stateful_set, found, NOW)
            and "deletionTimestamp" not in found["metadata"]
        )

    for made in decided.create:
        ordinal = ordinal_of("w", made["metadata"]["name"])
        assert ordinal in wanted and ordinal not in by_ordinal
        assert all(well(lower) for lower in range(start, ordinal))
        below = ordinal < start + held
        assert made["spec"]["containers"][0]["image"] == ("v1" if below else "v2")
    for gone in decided.delete:
        ordinal = ordinal_of("w", gone["metadata"]["name"])
        assert "deletionTimestamp" not in gone["metadata"]
        ended = gone["status"]["phase"] in ("Failed", "Succeeded")
        if ordinal in wanted and not ended:
            # A rollout: everything is well, everything above is new, the partition is kept.
            assert all(well(each) for each in wanted)
            assert ordinal >= start + held
        elif ordinal not in wanted:
            assert all(well(each) for each in wanted)
            assert ordinal == max(each for each in by_ordinal if each not in wanted)


@settings(max_examples=200, deadline=None)
@given(_PODS, st.integers(0, 5))
def test_a_parallel_set_makes_all_that_is_missing_and_rolls_one_at_a_time(drawn, replicas):
    observed = observe(_pods(drawn), replicas=replicas, **PARALLEL)
    decided = plan(observed)
    missing = {f"w-{n}" for n in range(replicas)} - set(names(observed.pods))
    assert set(names(decided.create)) == missing
    assert len(set(names(decided.delete))) == len(decided.delete)
    rolled = [
        each
        for each in decided.delete
        if ordinal_of("w", each["metadata"]["name"]) < replicas
        and each["status"]["phase"] not in ("Failed", "Succeeded")
    ]
    assert len(rolled) <= 1
    assert all(each["spec"]["containers"][0]["image"] == "v1" for each in rolled)


@settings(max_examples=60, deadline=None)
@given(_PODS, st.integers(0, 4), st.booleans())
def test_every_set_comes_to_rest_as_wanted(drawn, replicas, parallel):
    """Do what is planned, let the kubelet catch up, and again, until nothing is left to do."""
    spec = PARALLEL if parallel else {}
    # An ordered set that is unwell waits for the kubelet, which here makes all pods well.
    pods = {each["metadata"]["name"]: each for each in _pods(drawn)}
    for _ in range(40):
        for name, each in list(pods.items()):
            if "deletionTimestamp" in each["metadata"]:
                del pods[name]
            elif each["status"]["phase"] in ("Pending", "Running"):
                made_from = NEW if each["spec"]["containers"][0]["image"] == "v2" else OLD
                pods[name] = pod(ordinal_of("w", name), made_from)
        observed = observe(pods.values(), replicas=replicas, **spec)
        decided = plan(observed)
        if not decided.create and not decided.delete:
            break
        for each in decided.delete:
            del pods[each["metadata"]["name"]]
        for each in decided.create:
            ordinal = ordinal_of("w", each["metadata"]["name"])
            made_from = NEW if each["spec"]["containers"][0]["image"] == "v2" else OLD
            pods[each["metadata"]["name"]] = pod(ordinal, made_from, phase="Pending")
    else:
        raise AssertionError(f"no rest: {sorted(pods)}")
    assert sorted(pods) == [f"w-{n}" for n in range(replicas)]
    assert all(each["spec"]["containers"][0]["image"] == "v2" for each in pods.values())
    status = plan_status(observed, decided, 0)
    assert status["currentRevision"] == status["updateRevision"] == "w-v2"
    assert status["currentReplicas"] == status["updatedReplicas"] == replicas


def test_the_status_counts_by_revision():
    pods = [pod(0, OLD), pod(1, OLD, leaving=True), pod(2, ready=False)]
    observed = observe(pods)
    assert plan_status(observed, plan(observed), 3) == {
        "observedGeneration": 2,
        "replicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "currentReplicas": 1,
        "updatedReplicas": 1,
        "currentRevision": "w-v1",
        "updateRevision": "w-v2",
        "collisionCount": 3,
    }


def test_the_next_moment_is_when_a_pod_becomes_available():
    assert next_availability(observe([pod(0, since=3), pod(1, since=8)], minReadySeconds=10)) == 2
    assert next_availability(observe([pod(0)])) is None


def test_only_names_of_the_set_have_an_ordinal():
    assert ordinal_of("w", "w-12") == 12
    for name in ("w-", "w-x", "v-1", "w-1-2", "w", "w-99999999999"):
        assert ordinal_of("w", name) is None


def test_a_new_pod_has_its_identity_and_its_claims_first():
    made = stateful_set(serviceName="svc", volumeClaimTemplates=[claim_template("data")])
    made["spec"]["template"]["spec"]["volumes"] = [
        {"name": "data", "emptyDir": {}},
        {"name": "other", "emptyDir": {}},
    ]
    recorded = new_revision(made, 1, "abc", "hash")
    built = new_pod(made, recorded, 4)
    assert built["metadata"]["labels"] == {
        "app": "w",
        "statefulset.kubernetes.io/pod-name": "w-4",
        "apps.kubernetes.io/pod-index": "4",
        "controller-revision-hash": "w-abc",
    }
    assert (built["spec"]["hostname"], built["spec"]["subdomain"]) == ("w-4", "svc")
    assert built["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-w-4"}},
        {"name": "other", "emptyDir": {}},
    ]


# Claims


def claim_template(name):
    return {"metadata": {"name": name, "labels": {"x": "y"}}, "spec": {"accessModes": []}}


def retention(deleted, scaled, replicas=3):
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    return stateful_set(
        replicas,
        persistentVolumeClaimRetentionPolicy=policy,
        volumeClaimTemplates=[claim_template("data")],
    )


def owned_by(*uids):
    references = [{"kind": "Any", "name": uid, "uid": uid, "controller": True} for uid in uids]
    return {"metadata": {"name": "data-w-0", "ownerReferences": references}}


def owners(deleted, scaled, ordinal, claim):
    found = with_owner(retention(deleted, scaled), pod(ordinal), claim)
    return None if found is None else [o["uid"] for o in found["metadata"]["ownerReferences"]]


def test_who_owns_a_claim_under_each_policy():
    for ordinal in (0, 7):
        assert owners("Retain", "Retain", ordinal, owned_by()) is None
        assert owners("Retain", "Retain", ordinal, owned_by("set")) == []
        assert owners("Delete", "Retain", ordinal, owned_by()) == ["set"]
        assert owners("Delete", "Retain", ordinal, owned_by("set")) is None
    assert owners("Retain", "Delete", 0, owned_by()) is None
    assert owners("Retain", "Delete", 7, owned_by()) == ["pod-7"]
    assert owners("Delete", "Delete", 0, owned_by("pod-0")) == ["set"]
    assert owners("Delete", "Delete", 7, owned_by("set")) == ["pod-7"]
    assert has_foreign_controller(stateful_set(), pod(0), owned_by("stranger"))
    assert not has_foreign_controller(stateful_set(), pod(0), owned_by("set", "pod-0"))


def test_missing_claims_carry_the_labels_of_the_selector():
    [made] = missing_claims(retention("Delete", "Retain"), 2, {}.get)
    assert made["metadata"]["name"] == "data-w-2"
    assert made["metadata"]["labels"] == {"x": "y", "app": "w"}
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == ["set"]
    assert missing_claims(retention("Delete", "Retain"), 2, {"data-w-2": made}.get) == []


def test_a_claim_on_its_way_out_holds_its_pod_back():
    made = retention("Retain", "Delete")
    leaving = {"metadata": {"name": "data-w-0", "deletionTimestamp": "2026-01-02T03:04:05Z"}}
    assert leaving_claim(made, 0, {"data-w-0": leaving}.get) == "data-w-0"
    earlier = {"metadata": {"ownerReferences": [{"kind": "Pod", "name": "w-0", "uid": "before"}]}}
    assert leaving_claim(made, 0, {"data-w-0": earlier}.get) == "data-w-0"
    assert leaving_claim(made, 0, {"data-w-0": owned_by("set")}.get) is None
    assert leaving_claim(made, 0, {}.get) is None


# Revisions


def test_the_known_values_of_the_hashes():
    assert fnv1(b"") == fnv1a(b"") == 0x811C9DC5
    assert (fnv1(b"a"), fnv1a(b"a")) == (0x050C5D7E, 0xE40C292C)
    assert safe_encode(1234567890) == "56789bcdf4"


def test_a_revision_hash_depends_on_template_and_collisions_only():
    plain = revision_hash(stateful_set(), 0)
    assert plain == revision_hash(stateful_set(replicas=9), 0)
    assert plain != revision_hash(stateful_set(), 1)
    assert plain != revision_hash(stateful_set(image="v2"), 0)
    assert set(plain) <= set("456789bcdf")


def test_a_revision_gives_its_template_back():
    made = stateful_set()
    recorded = new_revision(made, 3, "abc", "hash")
    assert recorded["data"]["spec"]["template"]["$patch"] == "replace"
    assert template_of(recorded) == made["spec"]["template"]
    assert recorded["metadata"]["labels"] == {"app": "w", "hash": "abc"}
    assert "$patch" not in made["spec"]["template"]


def test_a_template_that_returns_is_numbered_highest():
    data = snapshot(stateful_set(image="v1"))
    found = find_current([OLD, NEW], data)
    assert (found.revision, found.number, found.duplicates) == (OLD, 3, ())
    found = find_current([OLD, NEW], snapshot(stateful_set(image="v2")))
    assert (found.revision, found.number) == (NEW, 2)
    found = find_current([OLD, NEW], snapshot(stateful_set(image="v3")))
    assert (found.revision, found.number) == (None, 3)
    again = revision("v1", 4, "w-again")
    found = find_current([again, NEW, OLD], data)
    assert (found.revision, found.number, found.duplicates) == (again, 4, (OLD,))


def test_the_oldest_unused_revisions_go_first():
    kept = [revision(f"v{n}", n) for n in (3, 1, 2)]
    assert names(oldest_unused(kept, 2, set())) == ["w-v1", "w-v2"]
    assert names(oldest_unused(kept, 2, {"w-v1"})) == ["w-v2", "w-v3"]
    assert oldest_unused(kept, -1, set()) == []
