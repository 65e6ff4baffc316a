"""What changes objects from files and patches: apply, diff, edit, patch, replace."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Client, CommandFailed, eventually
from meaning import assert_holds

_CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {l: one}}\ndata: {a: '1'}\n"
_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: example.com/web:v1
          env: [{name: A, value: "1"}, {name: B, value: "2"}]
          ports: [{containerPort: 80}]
"""


def _with_editor(kubectl: Client, tmp_path: Path, script: str) -> Client:
    """kubectl whose editor changes the file by a sed script."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\nexec sed -i '{script}' \"$1\"\n")
    editor.chmod(0o755)
    environment = {**kubectl.environment, "KUBE_EDITOR": str(editor)}
    return Client(kubectl.program, environment, kubectl.namespace)


def _container(kubectl: Client) -> dict[str, object]:
    (found,) = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_apply_creates_changes_and_leaves_alone(kubectl: Client) -> None:
    assert kubectl.apply(_CONFIG).strip() == "configmap/c created"
    assert kubectl.apply(_CONFIG).strip() == "configmap/c unchanged"
    kubectl("label", "configmap", "c", "by-hand=yes")
    changed = _CONFIG.replace("a: '1'", "b: '2'")
    assert kubectl.apply(changed).strip() == "configmap/c configured"
    read = kubectl.json("get", "configmap", "c")
    assert_holds(read, {"data": {"a": None, "b": "2"}})
    assert read["metadata"]["labels"] == {"l": "one", "by-hand": "yes"}


def test_apply_dry_runs(kubectl: Client) -> None:
    for mode, told in (("client", "(dry run)"), ("server", "(server dry run)")):
        assert told in kubectl.apply(_CONFIG, f"--dry-run={mode}")
        assert not kubectl("get", "configmap", "c", "--ignore-not-found")
    answered = json.loads(kubectl.apply(_DEPLOYMENT, "--dry-run=server", "-o", "json"))
    assert answered["spec"]["strategy"]["type"] == "RollingUpdate"


def test_apply_merges_lists_by_their_keys(kubectl: Client) -> None:
    kubectl.apply(_DEPLOYMENT)
    kubectl("set", "env", "deployment/web", "C=3")
    kubectl.apply(_DEPLOYMENT.replace('{name: A, value: "1"}, ', ""))
    environment = {item["name"]: item["value"] for item in _container(kubectl)["env"]}  # type: ignore[attr-defined]
    assert environment == {"B": "2", "C": "3"}


def test_apply_force_replaces_what_cannot_change(kubectl: Client) -> None:
    kubectl.apply(_DEPLOYMENT)
    other = _DEPLOYMENT.replace("app: web", "app: other")
    with pytest.raises(CommandFailed, match="field is immutable"):
        kubectl.apply(other)
    kubectl.apply(other, "--force")
    assert kubectl.json("get", "deployment", "web")["spec"]["selector"]["matchLabels"] == {
        "app": "other"
    }


def test_last_applied(kubectl: Client, tmp_path: Path) -> None:
    kubectl.apply(_CONFIG)
    seen = yaml.safe_load(kubectl("apply", "view-last-applied", "configmap/c"))
    assert seen["data"] == {"a": "1"}
    (tmp_path / "c.yaml").write_text(_CONFIG.replace("a: '1'", "a: '1', z: gone"))
    kubectl("apply", "set-last-applied", "-f", str(tmp_path / "c.yaml"))
    seen = json.loads(kubectl("apply", "view-last-applied", "configmap/c", "-o", "json"))
    assert seen["data"] == {"a": "1", "z": "gone"}
    editing = _with_editor(kubectl, tmp_path, "s/z: gone/z: edited/")
    editing("apply", "edit-last-applied", "configmap/c")
    seen = yaml.safe_load(kubectl("apply", "view-last-applied", "configmap/c"))
    assert seen["data"]["z"] == "edited"


def test_server_side_apply_and_its_conflicts(kubectl: Client) -> None:
    side = ["--server-side", "--field-manager=first"]
    assert "serverside-applied" in kubectl.apply(_CONFIG, *side)
    other = ["--server-side", "--field-manager=second"]
    changed = _CONFIG.replace("a: '1'", "a: '2'")
    with pytest.raises(CommandFailed, match=r'conflict with "first": \.data\.a'):
        kubectl.apply(changed, *other)
    kubectl.apply(changed, *other, "--force-conflicts")
    read = kubectl.json("get", "configmap", "c", "--show-managed-fields")
    owned = {entry["manager"]: entry["fieldsV1"] for entry in read["metadata"]["managedFields"]}
    assert "f:data" not in owned["first"]
    assert owned["second"]["f:data"] == {"f:a": {}}
    assert read["data"] == {"a": "2"}
    kubectl.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", *other)
    assert "data" not in kubectl.json("get", "configmap", "c")
    dry = ["--server-side", "--dry-run=server"]
    assert "serverside-applied (server dry run)" in kubectl.apply(
        _CONFIG.replace("name: c", "name: d"), *dry
    )
    assert not kubectl("get", "configmap", "d", "--ignore-not-found")


def test_from_client_side_to_server_side(kubectl: Client) -> None:
    """kubectl hands the fields of its client-side manager to the server-side one."""
    kubectl.apply(_CONFIG)
    kubectl.apply(_CONFIG, "--server-side")
    read = kubectl.json("get", "configmap", "c", "--show-managed-fields")
    managers = {entry["manager"] for entry in read["metadata"]["managedFields"]}
    assert "kubectl-client-side-apply" not in managers
    kubectl.apply(_CONFIG.replace("a: '1'", "b: '2'"), "--server-side")
    assert kubectl.json("get", "configmap", "c")["data"] == {"b": "2"}


def _maps(*names: str) -> str:
    part = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {0}, labels: {{set: mine}}}}\n"
    return "---\n".join(part.format(name) for name in names)


def test_prune(kubectl: Client) -> None:
    kubectl.apply(_maps("a", "b"))
    kubectl("create", "configmap", "by-hand")
    kubectl("label", "configmap", "by-hand", "set=mine")
    prune = ["--prune", "-l", "set=mine", "--prune-allowlist=core/v1/ConfigMap"]
    assert "configmap/b pruned" in kubectl.apply(_maps("a"), *prune)
    left = kubectl("get", "configmaps", "-l", "set=mine", "-o", "name").split()
    assert left == ["configmap/a", "configmap/by-hand"]


def test_apply_set(kubectl: Client) -> None:
    environment = {**kubectl.environment, "KUBECTL_APPLYSET": "true"}
    kubectl = Client(kubectl.program, environment, kubectl.namespace)
    apply_set = ["--prune", "--applyset=secret/parent"]
    kubectl.apply(_maps("a", "b"), *apply_set)
    parent = kubectl.json("get", "secret", "parent")
    identity = parent["metadata"]["labels"]["applyset.kubernetes.io/id"]
    members = ["configmaps", "-l", f"applyset.kubernetes.io/part-of={identity}", "-o", "name"]
    assert kubectl("get", *members).split() == ["configmap/a", "configmap/b"]
    kubectl.apply(_maps("a"), *apply_set)
    assert kubectl("get", *members).split() == ["configmap/a"]


def test_diff(kubectl: Client) -> None:
    kubectl.apply(_CONFIG)
    same = kubectl.run("diff", "-f", "-", stdin=_CONFIG)
    assert same.returncode == 0 and not same.stdout
    changed = _CONFIG.replace("a: '1'", "a: '2'")
    for flags in ([], ["--server-side", "--force-conflicts"]):
        shown = kubectl.run("diff", *flags, "-f", "-", stdin=changed, check=False)
        assert shown.returncode == 1
        assert '-  a: "1"' in shown.stdout and '+  a: "2"' in shown.stdout
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "1"}
    fresh = changed.replace("name: c", "name: fresh")
    shown = kubectl.run("diff", "-f", "-", stdin=fresh, check=False)
    assert "+  name: fresh" in shown.stdout
    assert not kubectl("get", "configmap", "fresh", "--ignore-not-found")


def test_edit(kubectl: Client, tmp_path: Path) -> None:
    kubectl.apply(_DEPLOYMENT)
    _with_editor(kubectl, tmp_path, "s/web:v1/web:v2/")("edit", "deployment", "web")
    assert _container(kubectl)["image"] == "example.com/web:v2"
    editing = _with_editor(kubectl, tmp_path, 's/"replicas": 0/"replicas": 1/')
    editing("edit", "deployment", "web", "-o", "json")
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 1
    unchanged = _with_editor(kubectl, tmp_path, "s/no such text//")
    assert "Edit cancelled" in unchanged.run("edit", "deployment", "web").stderr
    status = _with_editor(kubectl, tmp_path, "s/^status:/status:\\n  collisionCount: 7/")
    status("edit", "deployment", "web", "--subresource=status")
    assert kubectl.json("get", "deployment", "web")["status"]["collisionCount"] == 7


PATCHES: list[tuple[str, str, str]] = [
    ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":'
     '[{"name":"A","$patch":"delete"}]}]}}}}', "{env: [{name: B}], image: 'example.com/web:v1'}"),
    ("strategic", '{"spec":{"template":{"spec":{"containers":[{"$patch":"replace"},'
     '{"name":"new","image":"n"}]}}}}', "{name: new, env: null, image: n}"),
    ("merge", '{"spec":{"template":{"spec":{"containers":[{"name":"new","image":"n"}]}}}}',
     "{name: new, env: null}"),
    ("json", '[{"op":"test","path":"/metadata/name","value":"web"},'
     '{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"i"},'
     '{"op":"remove","path":"/spec/template/spec/containers/0/env/0"},'
     '{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"Z"}}]',
     "{image: i, env: [{name: B}, {name: Z}]}"),
]  # fmt: skip


@pytest.mark.parametrize("kind, patch, expected", PATCHES)
def test_patch(kubectl: Client, kind: str, patch: str, expected: str) -> None:
    kubectl.apply(_DEPLOYMENT)
    kubectl("patch", "deployment", "web", f"--type={kind}", "-p", patch, "--dry-run=server")
    assert _container(kubectl)["image"] == "example.com/web:v1"
    kubectl("patch", "deployment", "web", f"--type={kind}", "-p", patch)
    assert_holds(_container(kubectl), expected)


def _is_settled(deployment: dict[str, Any]) -> bool:
    """Has the controller seen the last change, and are all pods gone from its status?"""
    status = deployment["status"]
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return seen and not status.get("replicas") and not status.get("terminatingReplicas")


def test_patch_subresources_files_and_nothing(kubectl: Client, tmp_path: Path) -> None:
    kubectl.apply(_DEPLOYMENT)
    scaled = ["--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}']
    kubectl("patch", "deployment", "web", *scaled)
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 2
    status = '{"status":{"conditions":[{"type":"Mine","status":"True"}]},"spec":{"paused":true}}'
    kubectl("patch", "deployment", "web", "--subresource=status", "-p", status)
    read = kubectl.json("get", "deployment", "web")
    assert "Mine" in [item["type"] for item in read["status"]["conditions"]]
    assert "paused" not in read["spec"]
    (tmp_path / "patch").write_text("spec: {replicas: 0}\n")
    (tmp_path / "web.yaml").write_text(_DEPLOYMENT)
    from_files = ["-f", str(tmp_path / "web.yaml"), "--patch-file", str(tmp_path / "patch")]
    kubectl("patch", *from_files)
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 0
    # kubectl compares what it read with the answer: the controller must have written its last.
    eventually(lambda: _is_settled(kubectl.json("get", "deployment", "web")))
    assert "(no change)" in kubectl("patch", "deployment", "web", "-p", '{"spec":{"replicas":0}}')
    with pytest.raises(CommandFailed, match="the server rejected our request"):
        failing = '[{"op":"test","path":"/spec/replicas","value":5}]'
        kubectl("patch", "deployment", "web", "--type=json", "-p", failing)


def test_replace(kubectl: Client) -> None:
    kubectl.apply(_CONFIG)
    before = kubectl.json("get", "configmap", "c")["metadata"]
    kubectl("replace", "-f", "-", stdin=_CONFIG.replace("a: '1'", "a: '2'"))
    after = kubectl.json("get", "configmap", "c")
    assert after["data"] == {"a": "2"}
    assert after["metadata"]["uid"] == before["uid"]
    stale = {**after, "metadata": {**after["metadata"], "resourceVersion": "1"}}
    with pytest.raises(CommandFailed, match="the object has been modified"):
        kubectl("replace", "-f", "-", stdin=json.dumps(stale))
    kubectl("replace", "--force", "--grace-period=0", "-f", "-", stdin=_CONFIG)
    again = kubectl.json("get", "configmap", "c")
    assert again["metadata"]["uid"] != before["uid"]
    assert again["data"] == {"a": "1"}
    with pytest.raises(CommandFailed, match="NotFound"):
        kubectl("replace", "-f", "-", stdin=_CONFIG.replace("name: c", "name: none"))
