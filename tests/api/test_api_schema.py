"""Schemas: type errors in Go's words, pruning, stored forms, defaults."""

from typing import Any

import pytest

from kapi.api.errors import BadRequest
from kapi.api.schema import DecodeError, KindSchema, kind_schema


def schema(group: str, version: str, kind: str) -> KindSchema:
    found = kind_schema(group, version, kind)
    assert found is not None
    return found


CONFIG_MAP = schema("", "v1", "ConfigMap")
POD = schema("", "v1", "Pod")
DEPLOYMENT = schema("apps", "v1", "Deployment")
SERVICE = schema("", "v1", "Service")
LEASE = schema("coordination.k8s.io", "v1", "Lease")
SECRET = schema("", "v1", "Secret")
CRD = schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition")

FIELD = "json: cannot unmarshal {} into Go struct field {} of type {}"


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **fields}]}}


def test_kinds_that_do_not_exist() -> None:
    assert kind_schema("", "v1", "Nope") is None
    assert kind_schema("apps", "v1", "ConfigMap") is None


@pytest.mark.parametrize(
    ("kind", "obj", "complaint"),
    [
        (CONFIG_MAP, {"data": "x"}, FIELD.format("string", "ConfigMap.data", "map[string]string")),
        (CONFIG_MAP, {"data": {"k": 5}}, FIELD.format("number", "ConfigMap.data", "string")),
        (
            CONFIG_MAP,
            {"metadata": []},
            FIELD.format("array", "ConfigMap.metadata", "v1.ObjectMeta"),
        ),
        (
            CONFIG_MAP,
            {"metadata": {"ownerReferences": {}}},
            FIELD.format("object", "ObjectMeta.metadata.ownerReferences", "[]v1.OwnerReference"),
        ),
        (
            CONFIG_MAP,
            {"metadata": {"labels": {"a": 1}}},
            FIELD.format("number", "ObjectMeta.metadata.labels", "string"),
        ),
        (CONFIG_MAP, {"immutable": "yes"}, FIELD.format("string", "ConfigMap.immutable", "bool")),
        (CONFIG_MAP, {"binaryData": {"k": "***"}}, "illegal base64 data at input byte 0"),
        (
            CONFIG_MAP,
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as'
            ' "2006"',
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": "three"}},
            FIELD.format("string", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 1.0}},
            FIELD.format("number 1.0", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 3000000000}},
            FIELD.format("number 3000000000", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": True}},
            FIELD.format("bool", "DeploymentSpec.spec.replicas", "int32"),
        ),
        (
            POD,
            {"spec": {"containers": ["c"]}},
            FIELD.format("string", "PodSpec.spec.containers", "v1.Container"),
        ),
        (
            POD,
            container(ports=[{"containerPort": "80"}]),
            FIELD.format("string", "ContainerPort.spec.containers.ports.containerPort", "int32"),
        ),
        (
            POD,
            container(resources={"limits": {"cpu": "1x"}}),
            "quantities must match the regular expression"
            " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            SERVICE,
            {"spec": {"ports": [{"port": 80, "targetPort": True}]}},
            FIELD.format("bool", "ServicePort.spec.ports.targetPort", "int32"),
        ),
        (
            LEASE,
            {"spec": {"renewTime": "2020-01-01T00:00:00Z"}},
            'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot'
            ' parse "Z" as ".000000"',
        ),
        (
            LEASE,
            {"spec": {"renewTime": "2020-13-01"}},
            'parsing time "2020-13-01": month out of range',
        ),
        (SECRET, {"data": {"k": "not base64!"}}, "illegal base64 data at input byte 3"),
        (SECRET, {"data": {"k": 5}}, FIELD.format("number", "Secret.data", "[]uint8")),
    ],
)
def test_type_errors(kind: KindSchema, obj: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DecodeError) as caught:
        kind.decode(obj)
    assert caught.value.message == complaint
    assert isinstance(caught.value, BadRequest)


def test_unknown_fields_are_named_in_order_and_pruned() -> None:
    obj: dict[str, Any] = {
        "metadata": {"name": "a", "nope": 1, "Labels": {}},
        **container(nope=1, ports=[{"containerPort": 80, "zip": 2}]),
        "huh": True,
    }
    assert POD.decode(obj) == [
        'unknown field "metadata.nope"',
        'unknown field "metadata.Labels"',
        'unknown field "spec.containers[0].nope"',
        'unknown field "spec.containers[0].ports[0].zip"',
        'unknown field "huh"',
    ]
    assert obj == {"metadata": {"name": "a"}, **container(ports=[{"containerPort": 80}])}


def test_nulls_are_absence() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "a", "labels": {"k": None}}, "data": None}
    assert CONFIG_MAP.decode(obj) == []
    assert obj == {"metadata": {"name": "a", "labels": {"k": ""}}}
    pod = {"spec": {"containers": [None]}}
    POD.decode(pod)
    assert pod == {"spec": {"containers": [{}]}}


def test_zero_values_are_stored_where_go_can_tell_them_from_absence() -> None:
    obj: dict[str, Any] = {
        "metadata": {"labels": {}, "finalizers": []},
        "spec": {
            "hostNetwork": False,
            "hostUsers": False,
            "automountServiceAccountToken": False,
            "subdomain": "",
            "nodeSelector": {},
            "tolerations": [],
            "securityContext": {},
            "containers": [{"name": "c", "stdin": False, "args": []}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }
    assert POD.decode(obj) == []
    assert obj == {
        "metadata": {},
        "spec": {
            "hostUsers": False,
            "automountServiceAccountToken": False,
            "securityContext": {},
            "containers": [{"name": "c"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }


def test_scalars_are_stored_in_one_form() -> None:
    obj: dict[str, Any] = {
        "metadata": {"creationTimestamp": "2020-01-01T01:00:00.5+01:00"},
        **container(
            resources={"limits": {"cpu": 1, "memory": "0.5Gi"}, "requests": {"cpu": "1000m"}}
        ),
    }
    POD.decode(obj)
    assert obj["metadata"]["creationTimestamp"] == "2020-01-01T00:00:00Z"
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "512Mi"},
        "requests": {"cpu": "1"},
    }
    lease = {"spec": {"renewTime": "2020-01-01T01:00:00.123456+01:00"}}
    LEASE.decode(lease)
    assert lease == {"spec": {"renewTime": "2020-01-01T00:00:00.123456Z"}}
    secret = {"data": {"a": "YQ==\n", "b": ""}}
    SECRET.decode(secret)
    assert secret == {"data": {"a": "YQ==", "b": ""}}


def test_defaults_fill_what_a_server_stores_and_are_idempotent() -> None:
    obj: dict[str, Any] = container(ports=[{"containerPort": 80}])
    POD.default(obj)
    expected = {
        "metadata": {},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "resources": {},
                }
            ]
        },
        "status": {},
    }
    assert obj == expected
    POD.default(obj)
    assert obj == expected
    service: dict[str, Any] = {}
    SERVICE.default(service)
    assert service == {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}


def test_defaults_are_not_shared_between_objects() -> None:
    first: dict[str, Any] = {}
    POD.default(first)
    first["status"]["phase"] = "Pending"
    second: dict[str, Any] = {}
    POD.default(second)
    assert second["status"] == {}


def test_recursive_types_are_checked_at_any_depth() -> None:
    def definition(leaf: dict[str, Any]) -> dict[str, Any]:
        nested = {"properties": {"a": {"items": leaf, "additionalProperties": False}}}
        return {
            "spec": {
                "group": "g",
                "versions": [{"name": "v1", "schema": {"openAPIV3Schema": nested}}],
            }
        }

    assert CRD.decode(definition({"type": "string", "default": {"any": [1]}})) == []
    assert CRD.decode(definition({"types": "string"})) == [
        'unknown field "spec.versions[0].schema.openAPIV3Schema.properties.a.items.types"'
    ]
    with pytest.raises(DecodeError, match=r"JSONSchemaProps.*\.type of type string"):
        CRD.decode(definition({"type": 5}))


def test_patch_facts_of_the_tree() -> None:
    containers = POD.root.properties["spec"].properties["containers"]
    assert (containers.merge_key, containers.list_type) == ("name", "map")
    assert containers.map_keys == ("name",)
    assert containers.items is not None
    ports = containers.items.properties["ports"]
    assert (ports.merge_key, ports.map_keys) == ("containerPort", ("containerPort", "protocol"))
    strategy = DEPLOYMENT.root.properties["spec"].properties["strategy"]
    assert "retainKeys" in strategy.patch_strategy
    selector = DEPLOYMENT.root.properties["spec"].properties["selector"]
    assert selector.map_type == "atomic"
