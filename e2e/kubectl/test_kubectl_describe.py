"""`kubectl describe` of every kind that has a sample, and of what the cluster makes itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import ROOT, Client, Cluster, CommandFailed, eventually

_SAMPLES = ROOT / "tests" / "contract" / "samples"
_NAMESPACE = "contract"

# Words that must be there, for kinds whose description says more than their fields.
WORDS: dict[str, list[str]] = {
    "ConfigMap": ["Data", "===="],
    "CronJob": ["Schedule:", "Concurrency Policy:", "Suspend:"],
    "DaemonSet": ["Desired Number of Nodes Scheduled", "Node-Selector:"],
    "Deployment": ["StrategyType:", "RollingUpdate", "25% max unavailable"],
    "EndpointSlice": ["AddressType:", "Endpoints:"],
    "Endpoints": ["Subsets:"],
    "HorizontalPodAutoscaler": ["Reference:", "Min replicas:", "Max replicas:"],
    "Ingress": ["Rules:", "Default backend"],
    "Job": ["Parallelism:", "Completions:", "Pods Statuses:"],
    "LimitRange": ["Type", "Resource", "Default Request"],
    "Namespace": ["Status:", "No resource quota.", "No LimitRange resource."],
    "NetworkPolicy": ["PodSelector:", "Policy Types:"],
    "Node": ["Non-terminated Pods", "Allocated resources:"],
    "PersistentVolume": ["Reclaim Policy:", "Access Modes:", "Source:"],
    "PersistentVolumeClaim": ["Status:", "Access Modes:", "Used By:"],
    "Pod": ["Containers:", "Node-Selectors:", "QoS Class:", "Tolerations:"],
    "PodDisruptionBudget": ["Selector:"],
    "PriorityClass": ["Value:", "PreemptionPolicy:"],
    "ReplicaSet": ["Replicas:", "Pods Status:", "Pod Template:"],
    "ReplicationController": ["Replicas:", "Pods Status:", "Pod Template:"],
    "ResourceQuota": ["Resource", "Used", "Hard"],
    "Role": ["PolicyRule:", "Verbs"],
    "RoleBinding": ["Role:", "Subjects:"],
    "Secret": ["Type:", "Data"],
    "Service": ["Type:", "IP Families:", "TargetPort:", "Session Affinity:"],
    "ServiceAccount": ["Image pull secrets:"],
    "StatefulSet": ["Update Strategy:", "Pods Status:"],
    "StorageClass": ["Provisioner:", "ReclaimPolicy:", "VolumeBindingMode:"],
}


# Questions to the server, which are answered and not kept.
_NOT_KEPT = ("Binding", "ComponentStatus")


def _samples() -> list[Any]:
    cases = []
    for path in sorted(_SAMPLES.glob("*.yaml")):
        obj = yaml.safe_load(path.read_text())["valid"]
        named = obj.get("metadata", {}).get("name")
        if named and obj["kind"] not in _NOT_KEPT and not obj["kind"].endswith("Review"):
            cases.append(pytest.param(obj, id=path.stem))
    return cases


@pytest.fixture(scope="module")
def samples(cluster: Cluster) -> Client:
    """kubectl in the namespace that the samples name."""
    cluster.kubectl("create", "namespace", _NAMESPACE)
    return cluster.kubectl.within(_NAMESPACE)


@pytest.mark.parametrize("obj", _samples())
def test_describe(samples: Client, obj: dict[str, Any]) -> None:
    name, group = obj["metadata"]["name"], obj["apiVersion"].rpartition("/")[0]
    kind = f"{obj['kind']}.{group}".rstrip(".")
    samples("create", "-f", "-", stdin=json.dumps(obj))
    described = samples("describe", kind, name)
    assert described.split()[:2] == ["Name:", name]
    assert [word for word in WORDS.get(obj["kind"], ()) if word not in described] == []
    samples("delete", kind, name, "--wait=false")


def test_describe_what_runs(kubectl: Client) -> None:
    kubectl("create", "deployment", "web", "--image=example.com/web:v1", "--replicas=2")
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    described = kubectl("describe", "deployment", "web")
    assert "2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in described
    assert "ScalingReplicaSet" in described
    (first, second) = kubectl.json("get", "pods")["items"]
    pod = kubectl("describe", "pod", first["metadata"]["name"])
    assert "Successfully assigned" in pod and first["status"]["podIP"] in pod
    addresses = {item["status"]["podIP"] for item in (first, second)}

    def endpoints_listed() -> bool:
        service = kubectl("describe", "service", "web")
        return all(f"{address}:8080" in service for address in addresses)

    eventually(endpoints_listed, timeout_s=10)
    node = kubectl("describe", "node", "simulated-0")
    words = ["Conditions:", "Capacity:", "Ready", "Lease:", first["metadata"]["name"]]
    assert [word for word in words if word not in node] == []


def test_describe_by_prefix_label_and_file(kubectl: Client, tmp_path: Path) -> None:
    for name in ("pre-one", "pre-two", "other"):
        kubectl("create", "configmap", name)
    kubectl("label", "configmap", "other", "a=b")
    found = kubectl("describe", "configmap", "pre")
    assert "pre-one" in found and "pre-two" in found and "other" not in found
    labelled = kubectl("describe", "configmaps", "-l", "a=b", "--show-events=false")
    assert labelled.split()[1] == "other"
    assert "a=b" in labelled
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    (tmp_path / "c.json").write_text(json.dumps(manifest))
    assert kubectl("describe", "-f", str(tmp_path / "c.json")).split()[1] == "other"
    with pytest.raises(CommandFailed, match='configmaps "none" not found'):
        kubectl("describe", "configmap", "none")
