"""What single kinds do beyond their samples."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.api.user import UserInfo
from kapi.registry.apps.daemon_set import DaemonSetStrategy
from kapi.registry.apps.deployment import DeploymentStrategy
from kapi.registry.apps.validation import at_most_all, is_zero
from kapi.registry.batch.job import JobStrategy
from kapi.registry.batch.schedule import schedule_error
from kapi.registry.cells import selector_string
from kapi.registry.core.config_map import ConfigMapStrategy
from kapi.registry.core.namespace import NamespaceFinalizeStrategy, NamespaceStrategy
from kapi.registry.core.secret import SecretStrategy
from kapi.registry.core.service import ServiceStrategy
from kapi.registry.events.conversion import from_core, to_core
from kapi.registry.rbac.bindings import RoleBindingStrategy
from kapi.registry.resource import Resource
from kapi.registry.strategy import NAME_COLUMN, RequestContext
from kapi.registry.table import builtin_resources

CONTEXT = RequestContext(UserInfo("admin"), namespace="ns")
NOW = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
}


def row(plural: str, group: str = "") -> Resource:
    rows = builtin_resources("10.96.0.0/16", (30000, 32767))
    return next(item for item in rows if (item.group, item.plural) == (group, plural))


def texts(errors: list[Any]) -> list[str]:
    return [str(error) for error in errors]


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        ("*/5 * * * *", ""),
        ("0 9-17 * * mon-fri", ""),
        ("@daily", ""),
        ("@every 1h30m", ""),
        ("TZ=UTC 0 * * * *", ""),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("@often", "unrecognized descriptor: @often"),
    ],
)
def test_schedules(schedule: str, complaint: str) -> None:
    assert schedule_error(schedule) == complaint


def test_selectors_print_as_clients_write_them() -> None:
    selector = {
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "a", "operator": "DoesNotExist"},
        ],
    }
    assert selector_string(selector) == "!a,b=1,c in (x,y)"


def test_a_namespace_carries_its_name_and_its_finalizer() -> None:
    strategy = NamespaceStrategy()
    obj: dict[str, Any] = {"metadata": {"name": "a", "labels": {"x": "y"}}}
    strategy.default(obj)
    strategy.prepare_for_create(CONTEXT, obj)
    assert obj["metadata"]["labels"] == {"x": "y", "kubernetes.io/metadata.name": "a"}
    assert obj["spec"]["finalizers"] == ["kubernetes"]
    assert obj["status"] == {"phase": "Active"}


def test_only_finalize_changes_the_finalizers_of_a_namespace() -> None:
    strategy = NamespaceStrategy()
    old = {
        "metadata": {"name": "a"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    new = copy.deepcopy(old)
    new["spec"] = {}
    strategy.prepare_for_update(CONTEXT, new, old)
    assert new["spec"]["finalizers"] == ["kubernetes"]
    new["spec"] = {}
    finalize = NamespaceFinalizeStrategy(strategy)
    finalize.prepare_for_update(CONTEXT, new, old)
    assert new["spec"] == {}
    assert finalize.validate_update(new, old) == []


def test_a_secret_folds_its_texts_into_its_data() -> None:
    obj: dict[str, Any] = {"stringData": {"k": "v"}, "data": {"o": "eA=="}}
    SecretStrategy().default(obj)
    assert obj == {"type": "Opaque", "data": {"o": "eA==", "k": "dg=="}}


def test_what_is_immutable_stays() -> None:
    old = {"data": {"k": "v"}, "immutable": True}
    assert texts(ConfigMapStrategy().validate_update({"data": {"k": "w"}}, old)) == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]


def test_a_plain_put_keeps_what_a_service_was_given() -> None:
    strategy = ServiceStrategy("10.96.0.0/16", (30000, 32767))
    old = {
        "metadata": {"name": "web"},
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.96.0.7",
            "clusterIPs": ["10.96.0.7"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "http", "port": 80, "nodePort": 30007}],
        },
    }
    new: dict[str, Any] = {
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "ports": [{"name": "http", "port": 81}]},
    }
    strategy.default(new)
    strategy.prepare_for_update(CONTEXT, new, old)
    assert new["spec"]["clusterIPs"] == ["10.96.0.7"]
    assert new["spec"]["ports"][0]["nodePort"] == 30007
    assert texts(strategy.validate_update(new, old)) == []


def test_a_cluster_ip_is_for_life() -> None:
    strategy = ServiceStrategy("10.96.0.0/16", (30000, 32767))
    old = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    strategy.default(old)
    old["spec"].update({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]})
    new = copy.deepcopy(old)
    new["spec"]["clusterIP"] = "10.96.0.8"
    strategy.prepare_for_update(CONTEXT, new, old)
    assert texts(strategy.validate_update(new, old)) == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'
    ]


def test_a_deployment_selects_the_same_pods_for_life() -> None:
    strategy = DeploymentStrategy()
    selector = {"matchLabels": {"app": "web"}}
    old = {"spec": {"selector": selector, "template": copy.deepcopy(TEMPLATE)}}
    strategy.default(old)
    new = copy.deepcopy(old)
    new["spec"]["selector"] = {"matchLabels": {"app": "api"}}
    new["spec"]["template"]["metadata"]["labels"] = {"app": "api"}
    assert texts(strategy.validate_update(new, old)) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"api"}}: field is immutable'
    ]


def test_a_deployment_row() -> None:
    obj = {
        "metadata": {"name": "web", "creationTimestamp": "2024-01-01T11:59:00Z"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": TEMPLATE,
        },
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
    }
    assert DeploymentStrategy().table_row(obj, NOW) == [
        "web", "2/3", 3, 2, "60s", "web", "web:v1", "app=web",
    ]  # fmt: skip


def test_a_daemon_set_numbers_its_templates() -> None:
    strategy = DaemonSetStrategy()
    key = "deprecated.daemonset.template.generation"
    old: dict[str, Any] = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": copy.deepcopy(TEMPLATE),
        },
    }
    strategy.default(old)
    strategy.prepare_for_create(CONTEXT, old)
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "web:v2"
    new["metadata"]["annotations"][key] = "99"
    strategy.prepare_for_update(CONTEXT, new, old)
    assert (old["metadata"]["annotations"][key], new["metadata"]["annotations"][key]) == ("1", "2")


def test_a_job_selects_its_own_pods() -> None:
    strategy = JobStrategy()
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    obj: dict[str, Any] = {
        "metadata": {"name": "j", "uid": "u1"},
        "spec": {"template": template},
    }
    strategy.default(obj)
    strategy.prepare_for_create(CONTEXT, obj)
    assert texts(strategy.validate(obj)) == []
    strategy.canonicalize(obj)
    uid = "batch.kubernetes.io/controller-uid"
    assert obj["spec"]["selector"]["matchLabels"] == {uid: "u1"}
    assert obj["metadata"]["labels"][uid] == "u1"


def test_events_of_both_groups_are_one_object() -> None:
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "n",
        "reportingController": "example.com/c",
    }
    core = to_core(new)
    assert core["apiVersion"] == "v1"
    assert core["involvedObject"] == {"kind": "Pod", "name": "p"}
    assert (core["message"], core["reportingComponent"]) == ("n", "example.com/c")
    back = from_core(core)
    assert {key: back[key] for key in new} == new
    assert row("events").prefix == row("events", "events.k8s.io").prefix


def test_a_role_binding_row_sorts_its_subjects() -> None:
    obj = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [
            {"kind": "User", "name": "u"},
            {"kind": "Group", "name": "g"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
        ],
    }
    assert RoleBindingStrategy().table_row(obj, NOW) == [
        "b", "Role/r", "<unknown>", "u", "g", "n/s",
    ]  # fmt: skip


def test_scale_knows_the_selector_of_each_kind() -> None:
    for resource, selector in (
        (row("replicationcontrollers"), {"app": "web"}),
        (row("deployments", "apps"), {"matchLabels": {"app": "web"}}),
    ):
        scale = resource.subresource("scale")
        assert scale is not None
        assert scale.scale is not None
        assert scale.scale.selector({"spec": {"selector": selector}}) == "app=web"


def test_columns_are_described_by_the_installed_schemas() -> None:
    assert NAME_COLUMN.description.startswith("Name must be unique within a namespace.")
    described = [
        column.description
        for resource in builtin_resources("10.96.0.0/16", (30000, 32767))
        for column in resource.strategy.columns
        if column.name != "Handler"
    ]
    assert all(described)


def test_the_keys_of_addresses_are_those_the_allocator_writes() -> None:
    assert row("ipaddresses", "networking.k8s.io").key("", "10.96.0.1") == (
        "/registry/ipaddresses/10.96.0.1"
    )


@pytest.mark.parametrize("digits", ["101", "0" * 9 + "101", "9" * 5000])
def test_a_share_above_everything_is_refused_however_long(digits: str) -> None:
    (error,) = at_most_all(f"{digits}%", "spec.x")
    assert error.message.endswith("must not be greater than 100%")


def test_a_share_of_nothing_may_be_long() -> None:
    zeros = "0" * 5000
    assert at_most_all(f"{zeros}%", "spec.x") == []
    assert is_zero(f"{zeros}%")
    assert not is_zero(f"{zeros}1%")


@pytest.mark.parametrize("written", ["\u00b2", "9" * 5000, "text"])
def test_a_template_generation_written_by_others_does_no_harm(written: str) -> None:
    key = "deprecated.daemonset.template.generation"
    old: dict[str, Any] = {"metadata": {"annotations": {key: written}}, "spec": {}}
    new: dict[str, Any] = {"metadata": {}, "spec": {"template": TEMPLATE}}
    DaemonSetStrategy().prepare_for_update(CONTEXT, new, old)
    assert new["metadata"]["annotations"][key] == "2"
