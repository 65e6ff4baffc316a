"""The OpenAPI documents as kubectl uses them: explain, validation, and the merge of apply."""

import pytest
from harness import Client, CommandFailed


def test_explain_shows_types_and_text(kubectl: Client) -> None:
    shown = kubectl("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in shown
    assert "List of containers belonging to the pod" in shown


def test_explain_reads_the_protobuf_document_too(kubectl: Client) -> None:
    shown = kubectl("explain", "deployment.spec.strategy", "--output=plaintext-openapiv2")
    assert "RESOURCE: strategy <Object>" in shown
    assert "rollingUpdate" in shown


def test_explain_recursive(kubectl: Client) -> None:
    shown = kubectl("explain", "deployment", "--recursive")
    assert shown.count("\n") > 1000
    assert "topologySpreadConstraints" in shown


def test_unknown_and_wrong_fields_are_refused(kubectl: Client) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndataa: {k: v}\n"
    with pytest.raises(CommandFailed, match='unknown field "dataa"'):
        kubectl.apply(manifest)


def test_a_list_is_validated_by_the_protobuf_document(kubectl: Client) -> None:
    item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}"
    assert "configmap/a created" in kubectl.apply(f"apiVersion: v1\nkind: List\nitems: [{item}]")


def test_apply_merges_containers_by_name(kubectl: Client) -> None:
    """The merge key comes from the v3 document; without it the second apply would replace."""
    manifest = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "kapi-test/web:v1"}]}
"""
    kubectl.apply(manifest)
    sidecar = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"none"}]}}}}'
    kubectl("patch", "deployment", "web", "--patch", sidecar)
    kubectl.apply(manifest.replace(":v1", ":v2"))
    containers = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item["image"] for item in containers} == {
        "web": "kapi-test/web:v2",
        "side": "none",
    }
