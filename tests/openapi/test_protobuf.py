"""Protobuf bodies: recorded bytes, zero values, special types, and a round trip of random ones."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.api.errors import BadRequest
from openapi import wire
from openapi.protobuf import MAGIC, decode_envelope
from openapi.protobuf_types import MessageField, message_fields, message_names, message_of


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = wire.text_field(1, api_version) + wire.text_field(2, kind)
    return (
        MAGIC
        + wire.bytes_field(1, type_meta)
        + wire.bytes_field(2, raw)
        + wire.bytes_field(3, b"")
        + wire.bytes_field(4, b"")
    )


def encode(message: str, obj: dict[str, Any]) -> bytes:
    """The test's own encoder: the inverse of the decoder for objects without zero values."""
    out = b""
    for number, known in message_fields(message).items():
        if not known.name:
            out += wire.bytes_field(number, encode(known.type, obj))
        elif known.name in obj:
            out += encode_field(number, known, obj[known.name])
    return out


def encode_field(number: int, known: MessageField, value: Any) -> bytes:
    if known.is_map:
        return b"".join(
            wire.bytes_field(
                number, wire.text_field(1, key) + wire.bytes_field(2, payload(known.type, item))
            )
            for key, item in value.items()
        )
    if known.repeated:
        return b"".join(encode_one(number, known.type, item) for item in value)
    return encode_one(number, known.type, value)


def encode_one(number: int, kind: str, value: Any) -> bytes:
    if kind in ("i", "b"):
        return wire.integer_field(number, int(value))
    if kind == "d":
        return wire.double_field(number, value)
    return wire.bytes_field(number, payload(kind, value))


def payload(kind: str, value: Any) -> bytes:
    match kind:
        case "s":
            return str(value).encode()
        case "y":
            return base64.b64decode(value)
        case "Quantity":
            return wire.text_field(1, value)
        case "Raw":
            return wire.bytes_field(1, json.dumps(value).encode())
        case "Strings":
            return b"".join(wire.text_field(1, item) for item in value)
        case "Time" | "MicroTime":
            moment = datetime.fromisoformat(value)
            seconds, micros = int(moment.timestamp() // 1), moment.microsecond
            return wire.integer_field(1, seconds) + wire.integer_field(2, micros * 1000)
        case "IntOrString":
            if isinstance(value, int):
                return wire.integer_field(1, 0) + wire.integer_field(2, value)
            return wire.integer_field(1, 1) + wire.text_field(3, value)
    return encode(kind, value)


def test_recorded_namespace_of_kubectl() -> None:
    body = bytes.fromhex(
        "6b387300 0a0f 0a027631 1209 4e616d657370616365"
        "121c 0a14 0a0472617778 1200 1a00 2200 2a00 3200 3800 4200 1200 1a02 0a00"
        "1a00 2200".replace(" ", "")
    )
    api_version, kind, obj = decode_envelope(body)
    assert (api_version, kind) == ("v1", "Namespace")
    assert obj == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "rawx"},
        "spec": {},
        "status": {},
    }


def decoded(api_version: str, kind: str, raw: bytes) -> dict[str, Any]:
    return decode_envelope(envelope(api_version, kind, raw))[2]


def test_zero_of_a_pointer_is_a_value_and_of_a_plain_field_is_not() -> None:
    spec = (
        wire.integer_field(1, 0)  # replicas, a pointer
        + wire.integer_field(5, 0)  # minReadySeconds, plain
        + wire.integer_field(7, 0)  # paused, plain
    )
    obj = decoded("apps/v1", "Deployment", wire.bytes_field(2, spec))
    assert obj["spec"] == {"replicas": 0}


def test_pod_keeps_false_automount_and_drops_host_network() -> None:
    fields = {
        field.name: number
        for number, field in message_fields("core.v1.PodSpec").items()
        if field.name
    }
    spec = wire.integer_field(fields["automountServiceAccountToken"], 0) + wire.integer_field(
        fields["hostNetwork"], 0
    )
    obj = decoded("v1", "Pod", wire.bytes_field(2, spec))
    assert obj["spec"] == {"automountServiceAccountToken": False}


def test_claim_keeps_an_empty_storage_class_name() -> None:
    raw = encode(
        "core.v1.PersistentVolumeClaim", {"spec": {"storageClassName": "", "volumeName": ""}}
    )
    obj = decoded("v1", "PersistentVolumeClaim", raw)
    assert obj["spec"] == {"storageClassName": ""}


def test_zero_target_port_means_unset() -> None:
    raw = encode("core.v1.Service", {"spec": {"ports": [{"port": 80, "targetPort": 0}]}})
    assert decoded("v1", "Service", raw)["spec"]["ports"] == [{"port": 80}]


@pytest.mark.parametrize("unavailable", [0, 3, "25%"])
def test_int_or_string(unavailable: int | str) -> None:
    raw = encode("policy.v1.PodDisruptionBudget", {"spec": {"maxUnavailable": unavailable}})
    obj = decoded("policy/v1", "PodDisruptionBudget", raw)
    assert obj["spec"] == {"maxUnavailable": unavailable}


def test_embedded_messages_are_flattened() -> None:
    volume = {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 3}
    container = {"name": "c", "livenessProbe": probe}
    pod = {"spec": {"volumes": [volume], "containers": [container]}}
    assert decoded("v1", "Pod", encode("core.v1.Pod", pod))["spec"] == pod["spec"]


def test_empty_pointer_messages_stay() -> None:
    pod = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    assert decoded("v1", "Pod", encode("core.v1.Pod", pod))["spec"] == pod["spec"]


def test_times() -> None:
    lease = {"spec": {"renewTime": "2024-01-02T03:04:05.000006Z", "holderIdentity": "h"}}
    raw = encode("coordination.v1.Lease", lease)
    assert decoded("coordination.k8s.io/v1", "Lease", raw)["spec"] == lease["spec"]
    csr_meta = wire.bytes_field(1, wire.bytes_field(8, wire.integer_field(1, 86400)))
    obj = decoded("v1", "ConfigMap", csr_meta)
    assert obj["metadata"] == {"creationTimestamp": "1970-01-02T00:00:00Z"}


def test_crd_schema_spellings() -> None:
    schema = {
        "$ref": "#/x",
        "x-kubernetes-preserve-unknown-fields": False,
        "default": False,
        "enum": ["a", 0],
        "minimum": 1.5,
        "type": "object",
        "properties": {"a": {"type": "array"}},
    }
    items = wire.bytes_field(24, wire.bytes_field(1, encode_schema({"type": "string"})))
    closed = wire.bytes_field(30, wire.integer_field(1, 0))
    raw = encode_schema(schema) + items + closed
    validation = wire.bytes_field(1, raw)
    version = wire.bytes_field(4, validation)
    spec = wire.bytes_field(7, version)
    obj = decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", wire.bytes_field(2, spec))
    assert obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        **schema,
        "items": {"type": "string"},
        "additionalProperties": False,
    }


def encode_schema(schema: dict[str, Any]) -> bytes:
    return encode("apiextensions.v1.JSONSchemaProps", schema)


def test_token_request_uid_spelling() -> None:
    spec = {"audiences": ["a"], "boundObjectRef": {"kind": "Pod", "name": "p", "uid": "u"}}
    raw = encode("authentication.v1.TokenRequest", {"spec": spec})
    assert decoded("authentication.k8s.io/v1", "TokenRequest", raw)["spec"] == spec


@pytest.mark.parametrize("api_version", ["v1", "meta.k8s.io/v1", "apps/v1", "policy/v1"])
def test_delete_options_are_of_every_group(api_version: str) -> None:
    options = {
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u"},
        "dryRun": ["All"],
    }
    obj = decoded(api_version, "DeleteOptions", encode("meta.v1.DeleteOptions", options))
    assert obj == {"apiVersion": api_version, "kind": "DeleteOptions", **options}


def test_packed_and_unpacked_numbers_and_negative_ones() -> None:
    number = next(
        n for n, f in message_fields("core.v1.PodSecurityContext").items()
        if f.name == "supplementalGroups"
    )  # fmt: skip
    packed = wire.bytes_field(number, wire.varint(5) + wire.varint(-7))
    context = packed + wire.integer_field(number, 300)
    spec_number = next(
        n for n, f in message_fields("core.v1.PodSpec").items() if f.name == "securityContext"
    )
    raw = wire.bytes_field(2, wire.bytes_field(spec_number, context))
    obj = decoded("v1", "Pod", raw)
    assert obj["spec"]["securityContext"] == {"supplementalGroups": [5, -7, 300]}


def test_unknown_numbers_are_skipped() -> None:
    raw = wire.bytes_field(2, wire.text_field(999, "later") + wire.double_field(998, 1.0))
    assert decoded("apps/v1", "Deployment", raw)["spec"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        MAGIC + b"\x0a\x05ab",
        MAGIC + b"\x00",
        MAGIC + b"\xff" * 12,
        envelope("v1", "Namespace", b"\x0a\x7f"),
        envelope("v1", "Namespace", b"\x0b"),
        envelope("v1", "Namespace", wire.bytes_field(1, wire.bytes_field(1, b"\xff"))),
        envelope("v1", "Namespace", wire.integer_field(1, 3)),
        envelope("apps/v1", "ControllerRevision", wire.bytes_field(2, wire.bytes_field(1, b"{"))),
        envelope("example.com/v1", "Widget", b""),
    ],
)
def test_malformed_bodies_are_bad_requests(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_envelope(body)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bodies_are_read_or_refused_but_never_crash(data: st.DataObject) -> None:
    pod = {
        "metadata": {
            "name": "p",
            "labels": {"a": "b"},
            "creationTimestamp": "2024-01-02T03:04:05Z",
        },
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}],
        },
    }
    body = bytearray(envelope("v1", "Pod", encode("core.v1.Pod", pod)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(5, len(body))) :]
    try:
        decode_envelope(bytes(body))
    except BadRequest:
        pass


def test_deep_nesting_is_refused() -> None:
    schema = b""
    for _ in range(500):
        schema = wire.bytes_field(28, schema)
    raw = wire.bytes_field(2, wire.bytes_field(7, wire.bytes_field(4, wire.bytes_field(1, schema))))
    with pytest.raises(BadRequest, match="nest deeper"):
        decode_envelope(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))


def test_every_type_in_the_table_is_known() -> None:
    known = {*message_names(), *"sbidy", "Time", "MicroTime", "Quantity", "IntOrString", "Raw"}
    known |= {"Strings", "Duration"}
    for message in message_names():
        for field in message_fields(message).values():
            assert field.type in known, (message, field)
            assert not (field.repeated and field.type == "d"), "packed doubles are not read"


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "s": TEXT,
    "b": st.just(True),
    "i": st.integers(-(2**31), 2**31 - 1).filter(bool),
    "d": st.floats(allow_nan=False, allow_infinity=False).filter(bool),
    "y": st.binary(min_size=1, max_size=5).map(lambda raw: base64.b64encode(raw).decode()),
    "Quantity": st.sampled_from(["1", "500m", "2Gi"]),
    "Raw": st.dictionaries(TEXT, st.integers(0, 9), min_size=1, max_size=2),
    "Strings": st.lists(TEXT, min_size=1, max_size=2),
    "Time": st.integers(1, 2**31).map(
        lambda s: datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ),
    "MicroTime": st.just("2031-05-06T07:08:09.000001Z"),
    "IntOrString": st.one_of(st.integers(1, 100), TEXT),
}


def message_objects(message: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in message_fields(message).values():
        if not field.name:
            continue
        if field.type in LEAVES:
            one = LEAVES[field.type]
        elif depth < 3 and "JSONSchemaProps" not in field.type:
            one = message_objects(field.type, depth + 1)
        else:
            continue
        if field.is_map:
            one = st.dictionaries(TEXT, one, min_size=1, max_size=2)
        elif field.repeated:
            one = st.lists(one, min_size=1, max_size=2)
        optional[field.name] = one
    if not optional:
        return st.just({})
    chosen = st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({n: optional[n] for n in names}))


KINDS = [
    ("v1", "Service"),
    ("v1", "Event"),
    ("v1", "Node"),
    ("v1", "Secret"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    api_version, kind = data.draw(st.sampled_from(KINDS))
    group, _, version = api_version.rpartition("/")
    message = message_of(group, version, kind)
    assert message is not None
    obj = data.draw(message_objects(message))
    assert decode_envelope(envelope(api_version, kind, encode(message, obj)))[2] == {
        "apiVersion": api_version,
        "kind": kind,
        **obj,
    }
