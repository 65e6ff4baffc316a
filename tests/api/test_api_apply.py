"""Server-side apply: merging, ownership, conflicts, and the books of other writes."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.errors import ApiError, BadRequest, Conflict
from kapi.api.patch.apply import LAST_APPLIED, apply_patch, track_update
from kapi.api.schema import KindSchema, kind_schema

T1, T2, T3 = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))
Object = dict[str, Any]


def schema(group: str, kind: str) -> KindSchema:
    found = kind_schema(group, "v1", kind)
    assert found is not None
    return found


CONFIG_MAP = schema("", "ConfigMap")
DEPLOYMENT = schema("apps", "Deployment")
SERVICE = schema("", "Service")


def config_map(data: Any = None, **meta: Any) -> Object:
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}}
    return obj if data is None else {**obj, "data": data}


def deployment(containers: list[Any], **spec: Any) -> Object:
    template = {"spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": template, **spec},
    }


def apply(
    live: Object | None, applied: Object, manager: str, kind: KindSchema = CONFIG_MAP,
    *, now: str = T1, force: bool = False, subresource: str = "",
) -> Object:  # fmt: skip
    before = copy.deepcopy((live, applied))
    new = apply_patch(
        live, applied, manager=manager, force=force, schema=kind, now=now, subresource=subresource
    )
    assert (live, applied) == before
    kind.decode(new)
    new["metadata"].setdefault("uid", "u")
    return new


def update(live: Object | None, new: Object, manager: str, now: str = T1, **more: Any) -> Object:
    new = copy.deepcopy(new)
    if live is not None:
        new["metadata"].setdefault("uid", live["metadata"].get("uid", "u"))
    kind = more.pop("kind", CONFIG_MAP)
    track_update(live, new, manager=manager, schema=kind, now=now, **more)
    new["metadata"].setdefault("uid", "u")
    return new


def books(obj: Object) -> dict[tuple[str, str], Any]:
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", [])
    }


def test_create_change_omit() -> None:
    first = apply(None, config_map({"k": "1"}), "app")
    assert first["data"] == {"k": "1"}
    assert first["metadata"]["managedFields"] == [
        {
            "manager": "app",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}},
        }
    ]
    same = apply(first, config_map({"k": "1"}), "app", now=T2)
    assert same == first
    changed = apply(first, config_map({"l": "3"}), "app", now=T2)
    assert changed["data"] == {"l": "3"}
    assert changed["metadata"]["managedFields"][0]["time"] == T2
    gone = apply(changed, config_map(), "app", now=T3)
    assert "data" not in gone
    assert "managedFields" not in gone["metadata"]


def test_conflicts_are_told_in_full() -> None:
    live = apply(None, config_map({"k": "1", "l": "1"}), "one")
    with pytest.raises(Conflict) as caught:
        apply(live, config_map({"k": "2"}), "two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert caught.value.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "one"',
                "field": ".data.k",
            }
        ]
    }
    shared = apply(live, config_map({"k": "1"}), "two")
    with pytest.raises(Conflict) as caught:
        apply(shared, config_map({"k": "3"}), "three")
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .data.k\n'
        'conflicts with "two":\n- .data.k'
    )


def test_force_takes_over() -> None:
    live = apply(None, config_map({"k": "1", "l": "1"}), "one")
    forced = apply(live, config_map({"k": "2"}), "two", force=True, now=T2)
    assert forced["data"] == {"k": "2", "l": "1"}
    assert books(forced) == {
        ("one", "Apply"): {"f:data": {"f:l": {}}},
        ("two", "Apply"): {"f:data": {"f:k": {}}},
    }


def test_a_shared_field_goes_when_the_last_owner_drops_it() -> None:
    live = apply(None, config_map({"k": "1"}), "one")
    live = apply(live, config_map({"k": "1"}), "two")
    # Taking nothing from anyone is no change, so the second applier has no time.
    assert "time" not in live["metadata"]["managedFields"][0]
    live = apply(live, config_map(), "one")
    assert live["data"] == {"k": "1"}
    live = apply(live, config_map(), "two")
    assert "data" not in live


def test_updates_own_what_they_change() -> None:
    live = update(None, config_map({"k": "1"}), "maker")
    assert books(live) == {("maker", "Update"): {"f:data": {".": {}, "f:k": {}}}}
    with pytest.raises(Conflict) as caught:
        apply(live, config_map({"k": "2"}), "app")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "maker" using v1: .data.k'
    )
    live = update(live, config_map({"k": "4", "n": "1"}), "merger", T2)
    assert books(live) == {
        ("maker", "Update"): {"f:data": {}},
        ("merger", "Update"): {"f:data": {"f:k": {}, "f:n": {}}},
    }
    again = update(live, config_map({"k": "4", "n": "1"}), "third", T3)
    assert again["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_an_object_without_books_gets_them_with_the_first_apply() -> None:
    live = update(None, config_map({"k": "1"}), "maker")
    reset = update(live, config_map({"k": "1"}, managedFields=[{}]), "maker")
    assert "managedFields" not in reset["metadata"]
    untracked = update(reset, config_map({"k": "1", "z": "1"}), "other")
    assert "managedFields" not in untracked["metadata"]
    applied = apply(untracked, config_map({"q": "1"}), "app")
    assert books(applied) == {
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:k": {}, "f:z": {}}},
        ("app", "Apply"): {"f:data": {"f:q": {}}},
    }


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        [{"manager": "x", "operation": "Bad", "fieldsV1": {"f:data": {}}}],
        [{"manager": "x", "operation": "Update", "fieldsType": "Nope"}],
        [{"manager": "x", "operation": "Update", "fieldsV1": {"zzz": {}}}],
        [{"manager": "x", "operation": "Update", "fieldsV1": {"k:[": {}}}],
    ],
)
def test_books_that_cannot_be_read_do_not_replace_the_live_ones(entries: Any) -> None:
    live = update(None, config_map({"k": "1"}), "maker")
    new = update(live, config_map({"k": "1"}, managedFields=entries), "maker", T2)
    assert new["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_keyed_lists_merge_across_managers() -> None:
    one = deployment([{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], replicas=0)
    live = apply(None, one, "one", DEPLOYMENT)
    DEPLOYMENT.default(live)
    two = deployment([{"name": "c", "ports": [{"containerPort": 80, "protocol": "UDP"}]}])
    live = apply(live, two, "two", DEPLOYMENT)
    (container,) = live["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [
        {"containerPort": 80, "protocol": "TCP"},
        {"containerPort": 80, "protocol": "UDP"},
    ]
    with pytest.raises(Conflict) as caught:
        apply(live, deployment([{"name": "c", "image": "j"}]), "two", DEPLOYMENT)
    assert caught.value.details["causes"][0]["field"] == (
        '.spec.template.spec.containers[name="c"].image'
    )
    live = apply(live, deployment([]), "two", DEPLOYMENT)
    (container,) = live["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_applying_another_spelling_again_changes_nothing() -> None:
    limits = {"resources": {"limits": {"cpu": "1000m"}}}
    applied = deployment([{"name": "c", **limits}])
    live = apply(None, applied, "app", DEPLOYMENT)
    assert live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "1"
    assert apply(live, applied, "app", DEPLOYMENT, now=T2) == live


def test_the_applied_order_wins() -> None:
    live = apply(None, deployment([{"name": "c"}], replicas=1), "one", DEPLOYMENT)
    live = apply(live, deployment([{"name": "z"}, {"name": "c"}]), "two", DEPLOYMENT)
    names = [one["name"] for one in live["spec"]["template"]["spec"]["containers"]]
    assert names == ["z", "c"]


def test_keys_left_out_take_their_default() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    ports: list[Object] = [{"port": 80, "name": "x"}, {"port": 80, "protocol": "UDP"}]
    live = apply(None, {**service, "spec": {"ports": ports}}, "app", SERVICE)
    assert books(live)[("app", "Apply")]["f:spec"]["f:ports"] == {
        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
        'k:{"port":80,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}},
    }
    with pytest.raises(ApiError) as caught:
        apply(None, {**service, "spec": {"ports": [{"port": 80}, {"port": 80}]}}, "app", SERVICE)
    assert caught.value.code == 500
    assert caught.value.message == (
        "failed to create typed patch object (/a; /v1, Kind=Service): .spec.ports: duplicate"
        ' entries for key [port=80,protocol="TCP"]'
    )


def test_set_lists() -> None:
    live = apply(None, config_map(finalizers=["e.com/a"]), "one")
    live = apply(live, config_map(finalizers=["e.com/b", "e.com/a"]), "two")
    assert live["metadata"]["finalizers"] == ["e.com/b", "e.com/a"]
    live = apply(live, config_map(), "one")
    assert live["metadata"]["finalizers"] == ["e.com/b", "e.com/a"]
    live = apply(live, config_map(finalizers=["e.com/b"]), "two")
    assert live["metadata"]["finalizers"] == ["e.com/b"]


def test_nulls_and_empties() -> None:
    assert books(apply(None, config_map({}), "app")) == {("app", "Apply"): {"f:data": {}}}
    assert books(apply(None, {**config_map(), "data": None}, "app")) == {
        ("app", "Apply"): {"f:data": {}}
    }
    assert books(apply(None, config_map(finalizers=[]), "app")) == {}
    assert books(apply(None, config_map(creationTimestamp=None), "app")) == {}


@pytest.mark.parametrize(
    ("applied", "complaint"),
    [
        (config_map("x"), ".data: expected map, got &{x}"),
        (
            config_map({"k": 5}),
            ".data.k: expected string, got &value.valueUnstructured{Value:5}",
        ),
        ({**config_map(), "nope": 5}, ".nope: field not declared in schema"),
        (
            config_map(finalizers=["e.com/a", "e.com/a"]),
            '.metadata.finalizers: duplicate entries for key [="e.com/a"]',
        ),
    ],
)
def test_configurations_that_do_not_fit(applied: Object, complaint: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply(None, applied, "app")
    assert caught.value.message == (
        f"failed to create typed patch object (/a; /v1, Kind=ConfigMap): {complaint}"
    )
    assert "reason" not in caught.value.status()


def test_books_in_a_configuration_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        apply(None, config_map(managedFields=[]), "app")


def test_status_is_owned_through_its_subresource_only() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    kind = schema("", "Pod")
    live = apply(None, {**pod, "status": {"reason": "r"}}, "main", kind)
    assert books(live) == {}
    live = apply(
        live,
        {**pod, "spec": {"hostname": "x"}, "status": {"message": "m"}},
        "st",
        kind,
        subresource="status",
    )
    entry = live["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["subresource"]) == ("st", "status")
    assert entry["fieldsV1"] == {"f:status": {"f:message": {}}}
    with pytest.raises(Conflict) as caught:
        apply(live, {**pod, "status": {"message": "n"}}, "st2", kind, subresource="status")
    assert 'conflict with "st" with subresource "status": .status.message' in str(caught.value)


def test_kubectl_migrates_from_client_side_apply() -> None:
    last = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"1"}}'
    created = config_map({"k": "1", "l": "2"}, annotations={LAST_APPLIED: last})
    live = update(None, created, "kubectl-client-side-apply")
    taken = apply(live, config_map({"k": "3"}), "kubectl", now=T2)
    assert taken["data"] == {"k": "3", "l": "2"}
    assert taken["metadata"]["annotations"][LAST_APPLIED] == (
        '{"apiVersion":"v1","data":{"k":"3"},"kind":"ConfigMap","metadata":{"name":"a"}}\n'
    )
    with pytest.raises(Conflict, match=r"\.data\.l"):
        apply(live, config_map({"k": "3", "l": "9"}), "kubectl")
    with pytest.raises(Conflict):
        apply(live, config_map({"k": "3"}), "someone")


def test_null_and_absent_are_the_same_to_the_books() -> None:
    kind = schema("rbac.authorization.k8s.io", "Role")
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"}}
    assert books(update(None, {**role, "rules": None}, "m", kind=kind)) == {}
    given = update(None, {**role, "rules": []}, "m", kind=kind)
    assert books(given) == {("m", "Update"): {"f:rules": {}}}
    stored = {**given, "rules": None}
    again = update(stored, {**role, "metadata": given["metadata"]}, "other", T2, kind=kind)
    assert books(again) == books(given)


def test_many_updaters_are_merged() -> None:
    live = update(None, config_map({"k0": ""}), "m0")
    for number in range(1, 14):
        data = {**live["data"], f"k{number}": ""}
        live = update(live, config_map(data), f"m{number}", f"2026-01-01T00:00:{number + 10}Z")
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers
    owned = [name for fields in books(live).values() for name in fields["f:data"]]
    assert sorted(owned) == sorted(
        [".", *live["data"]] and [".", *(f"f:{k}" for k in live["data"])]
    )


maps = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)


@settings(max_examples=80, deadline=None)
@given(maps, maps, maps)
def test_forced_applies_hold_their_promises(first: Any, second: Any, third: Any) -> None:
    live = apply(None, config_map(first), "one")
    live = apply(live, config_map(second), "two", force=True)
    # What a manager applied by force is what the object says, and applying again changes nothing.
    assert {key: live.get("data", {}).get(key) for key in second} == second
    assert apply(live, config_map(second), "two") == live
    # What the first manager still owns stays; what only the second one applied goes.
    live = apply(live, config_map(third), "two", force=True)
    kept = {key: value for key, value in first.items() if second.get(key, value) == value}
    assert live.get("data", {}) == kept | third


@settings(max_examples=80, deadline=None)
@given(maps, st.lists(maps, max_size=4))
def test_every_field_of_an_updated_object_has_one_owner(start: Any, states: list[Any]) -> None:
    live = update(None, config_map(start), "m0")
    tracked = "managedFields" in live["metadata"]
    for number, state in enumerate(states):
        live = update(live, config_map(state), f"m{number % 3}", T2)
    owners: dict[str, int] = {}
    for fields in books(live).values():
        for name in fields.get("f:data", {}):
            owners[name] = owners.get(name, 0) + 1
    assert all(count == 1 for name, count in owners.items() if name != ".")
    if tracked and books(live):
        data = live.get("data", {})
        assert {name for name in owners if name != "."} == {f"f:{key}" for key in data}
