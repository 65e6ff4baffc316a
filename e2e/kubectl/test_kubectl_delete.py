"""`kubectl delete` in all its forms, and what waits for an object to go."""

import json
import time

import pytest
from harness import Client, CommandFailed, eventually

_POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: p}}}}
spec:
  terminationGracePeriodSeconds: {grace}
  containers: [{{name: c, image: example.com/web:v1}}]
"""


_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: example.com/web:v1}]
"""


def _deploy(kubectl: Client) -> None:
    kubectl.apply(_DEPLOYMENT)
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")


def _left(kubectl: Client, kinds: str) -> list[str]:
    return kubectl("get", kinds, "-o", "name").split()


def test_names_labels_and_all(kubectl: Client) -> None:
    for name in ("a", "b", "c", "d", "e"):
        kubectl("create", "configmap", name)
    kubectl("label", "configmap", "c", "x=y")
    assert kubectl("delete", "configmap", "a").startswith('configmap "a" deleted')
    assert kubectl("delete", "configmap/b", "-o", "name").strip() == "configmap/b"
    kubectl("delete", "configmaps", "-l", "x=y")
    kubectl("delete", "configmaps", "--field-selector", "metadata.name=d")
    assert _left(kubectl, "configmaps") == ["configmap/e", "configmap/kube-root-ca.crt"]
    kubectl("create", "secret", "generic", "s")
    kubectl("delete", "configmaps,secrets", "--all")
    # The cluster's own configmap comes back.
    eventually(lambda: _left(kubectl, "configmaps,secrets") == ["configmap/kube-root-ca.crt"])
    with pytest.raises(CommandFailed, match='configmaps "a" not found'):
        kubectl("delete", "configmap", "a")
    assert not kubectl("delete", "configmap", "a", "--ignore-not-found")


def test_from_files(kubectl: Client) -> None:
    manifest = _POD.format(name="p", grace=0)
    kubectl.apply(manifest)
    kubectl("delete", "-f", "-", stdin=manifest)
    assert not _left(kubectl, "pods")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_dry_run(kubectl: Client, mode: str) -> None:
    kubectl("create", "configmap", "a")
    assert "dry run" in kubectl("delete", "configmap", "a", f"--dry-run={mode}")
    assert "configmap/a" in _left(kubectl, "configmaps")


def test_cascades(kubectl: Client) -> None:
    _deploy(kubectl)
    kubectl("delete", "deployment", "web", "--cascade=orphan")
    (replica_set,) = _left(kubectl, "replicasets")
    assert "ownerReferences" not in kubectl.json("get", replica_set)["metadata"]
    kubectl("delete", replica_set, "--cascade=foreground")
    # Foreground: when the owner is gone, so is all that it owned.
    assert not _left(kubectl, "pods")

    _deploy(kubectl)
    kubectl("delete", "deployment", "web", "--cascade=background")
    eventually(lambda: not _left(kubectl, "replicasets,pods"), timeout_s=20)


def test_grace(kubectl: Client) -> None:
    """A simulated pod goes when its grace is over or cut short."""
    for name in ("now", "forced", "patient"):
        kubectl.apply(_POD.format(name=name, grace=30))
    kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=20s")
    forced = kubectl.run("delete", "pod", "forced", "--grace-period=0", "--force")
    assert "Warning: Immediate deletion" in forced.stderr
    begun = time.monotonic()
    kubectl("delete", "pod", "now", "--now")
    assert time.monotonic() - begun < 10
    kubectl("delete", "pod", "patient", "--grace-period=5", "--wait=false")
    going = kubectl.run("get", "pod", "patient", "-o", "json", check=False)
    if going.returncode == 0:
        metadata = json.loads(going.stdout)["metadata"]
        assert metadata["deletionGracePeriodSeconds"] == 5
        assert metadata["deletionTimestamp"]
    kubectl("wait", "pod/patient", "--for=delete", "--timeout=20s")


def test_finalizers_hold_until_they_are_gone(kubectl: Client) -> None:
    held = '{"metadata":{"finalizers":["example.com/hold"]}}'
    kubectl("create", "configmap", "held")
    kubectl("patch", "configmap", "held", "-p", held)
    with pytest.raises(CommandFailed, match="timed out waiting"):
        kubectl("delete", "configmap", "held", "--timeout=1s")
    assert kubectl.json("get", "configmap", "held")["metadata"]["deletionTimestamp"]
    kubectl("patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert not kubectl("get", "configmap", "held", "--ignore-not-found")


def test_a_namespace_goes_with_all_it_holds(kubectl: Client) -> None:
    inner = kubectl.within(f"{kubectl.namespace}-inner")
    kubectl("create", "namespace", inner.namespace)
    _deploy(inner)
    inner("create", "configmap", "a")
    kubectl("delete", "namespace", inner.namespace, "--timeout=40s")
    assert not _left(inner, "deployments,replicasets,pods,configmaps,serviceaccounts")
    with pytest.raises(CommandFailed, match=r"namespaces .* not found"):
        inner("create", "configmap", "late")
