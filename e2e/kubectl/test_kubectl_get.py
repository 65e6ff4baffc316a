"""`kubectl get`: every output form, selectors, orders, pages, watches."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from harness import Client, Cluster, CommandFailed, eventually
from meaning import assert_holds, columns

_NAMESPACE = "get-these"
_UNKNOWN_FIELD = '"data.weight" is not a known field selector'
_OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: apple, labels: {color: red, size: small}, annotations: {note: sweet}}
data: {weight: "30"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: banana, labels: {color: yellow}}
data: {weight: "9"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cherry, labels: {color: red}}
data: {weight: "100"}
---
apiVersion: v1
kind: Secret
metadata: {name: token, labels: {color: red}}
type: example.com/mine
data: {a: Yg==}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
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
      containers: [{name: web, image: "example.com/web:v1"}]
"""


@pytest.fixture(scope="module")
def fruit(cluster: Cluster) -> Iterator[Client]:
    """kubectl in a namespace with some objects that no test of this file changes."""
    admin = cluster.kubectl
    admin("create", "namespace", _NAMESPACE)
    inside = admin.within(_NAMESPACE)
    inside.apply(_OBJECTS)
    inside("rollout", "status", "deployment/web", "--timeout=30s")
    yield inside
    admin("delete", "namespace", _NAMESPACE, "--wait=false")


def _names(kubectl: Client, *arguments: str) -> list[str]:
    """The names that `get ... -o name` prints, without the cluster's own configmap."""
    printed = kubectl("get", *arguments, "-o", "name").split()
    return [name for name in printed if name != "configmap/kube-root-ca.crt"]


def test_json_yaml_and_kyaml_mean_the_same(fruit: Client) -> None:
    read = fruit.json("get", "configmap", "apple")
    assert_holds(read, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"weight": "30"}})
    assert "managedFields" not in read["metadata"]
    assert yaml.safe_load(fruit("get", "configmap", "apple", "-o", "yaml")) == read
    assert yaml.safe_load(fruit("get", "configmap", "apple", "-o", "kyaml")) == read
    shown = fruit.json("get", "configmap", "apple", "--show-managed-fields")
    assert shown["metadata"]["managedFields"][0]["manager"] == "kubectl-client-side-apply"
    several = fruit.json("get", "configmap", "apple", "banana")
    assert [item["metadata"]["name"] for item in several["items"]] == ["apple", "banana"]


TEMPLATES: list[tuple[list[str], str]] = [
    (["-o", "jsonpath={.data.weight}"], "30"),
    (["-o", "jsonpath={.metadata.labels['color']} {.metadata.name}"], "red apple"),
    (["-o", "jsonpath-as-json={.data.weight}"], '["30"]'),
    (["-o", "go-template={{.metadata.name}}/{{index .data \"weight\"}}"], "apple/30"),
    (["--template={{len .metadata.labels}}", "-o", "go-template"], "2"),
    (["-o", "custom-columns=N:.metadata.name,W:.data.weight"], "N W apple 30"),
    (["-o", "custom-columns=N:.metadata.name,X:.none", "--no-headers"], "apple <none>"),
    (["-o", "name"], "configmap/apple"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, expected", TEMPLATES, ids=[str(case[0]) for case in TEMPLATES])
def test_templates(fruit: Client, arguments: list[str], expected: str) -> None:
    printed = fruit("get", "configmap", "apple", *arguments)
    assert "".join(printed.split()) == expected.replace(" ", "")


def test_templates_from_files(fruit: Client, tmp_path: Path) -> None:
    (tmp_path / "go").write_text("{{range .items}}{{.metadata.name}} {{end}}")
    (tmp_path / "path").write_text("{.items[*].metadata.name}")
    (tmp_path / "columns").write_text("NAME WEIGHT\n.metadata.name .data.weight\n")
    red = ["get", "configmaps", "-l", "color=red", "-o"]
    assert fruit(*red, f"go-template-file={tmp_path}/go").split() == ["apple", "cherry"]
    assert fruit(*red, f"jsonpath-file={tmp_path}/path").split() == ["apple", "cherry"]
    printed = columns(fruit(*red, f"custom-columns-file={tmp_path}/columns"))
    assert printed == [{"NAME": "apple", "WEIGHT": "30"}, {"NAME": "cherry", "WEIGHT": "100"}]


def test_tables(fruit: Client) -> None:
    (row,) = columns(fruit("get", "deployments"))
    assert_holds(row, {"NAME": "web", "READY": "2/2", "UP-TO-DATE": "2", "AVAILABLE": "2"})
    (row,) = columns(fruit("get", "deployments", "-o", "wide"))
    assert_holds(row, {"CONTAINERS": "web", "IMAGES": "example.com/web:v1", "SELECTOR": "app=web"})
    pods = columns(fruit("get", "pods", "-o", "wide"))
    for row in pods:
        assert_holds(row, {"READY": "1/1", "STATUS": "Running", "NODE": "simulated-0"})
        assert_holds(row, {"IP": lambda cell: re.fullmatch(r"[\d.]+", cell)})
    (row,) = columns(fruit("get", "service", "web"))
    assert_holds(row, {"TYPE": "ClusterIP", "EXTERNAL-IP": "<none>", "PORT(S)": "80/TCP"})
    assert fruit("get", "service", "web", "--no-headers").startswith("web ")
    assert fruit("get", "service", "web", "--show-kind").split()[-6] == "service/web"
    plain = columns(fruit("get", "service", "web", "--server-print=false"))
    assert list(plain[0]) == ["NAME", "AGE"]


def test_labels_as_columns(fruit: Client) -> None:
    (row,) = columns(fruit("get", "configmap", "apple", "--show-labels"))
    assert row["LABELS"] == "color=red,size=small"
    rows = columns(fruit("get", "configmap", "apple", "banana", "-L", "color", "-L", "size"))
    assert [(row["COLOR"], row["SIZE"]) for row in rows] == [("red", "small"), ("yellow", "")]


SELECTORS: list[tuple[list[str], list[str]]] = [
    (["configmaps", "-l", "color=red"], ["configmap/apple", "configmap/cherry"]),
    (["configmaps", "-l", "color==red,size"], ["configmap/apple"]),
    (["configmaps", "-l", "color!=red"], ["configmap/banana"]),
    (["configmaps", "-l", "color in (yellow, blue)"], ["configmap/banana"]),
    (["configmaps", "-l", "color notin (yellow),color"], ["configmap/apple", "configmap/cherry"]),
    (["configmaps", "-l", "color,!size"], ["configmap/banana", "configmap/cherry"]),
    (["configmaps,secrets", "-l", "color=red"],
     ["configmap/apple", "configmap/cherry", "secret/token"]),
    (["cm/banana", "secret/token"], ["configmap/banana", "secret/token"]),
    (["configmaps", "--field-selector", "metadata.name=cherry"], ["configmap/cherry"]),
    (["configmaps", "--field-selector", "metadata.name!=cherry", "-l", "color=red"],
     ["configmap/apple"]),
    (["secrets", "--field-selector", "type=example.com/mine"], ["secret/token"]),
    (["pods", "--field-selector", "status.phase!=Running"], []),
    (["configmap", "none", "--ignore-not-found"], []),
    (["configmaps", "-l", "color", "--sort-by=.metadata.name"],
     ["configmap/apple", "configmap/banana", "configmap/cherry"]),
]  # fmt: skip


@pytest.mark.parametrize("arguments, expected", SELECTORS, ids=[str(case[0]) for case in SELECTORS])
def test_selectors(fruit: Client, arguments: list[str], expected: list[str]) -> None:
    found = _names(fruit, *arguments)
    if "!=red" in str(arguments):
        found = [name for name in found if "kube-root-ca" not in name]
    assert found == expected


def test_order(fruit: Client) -> None:
    red = ["get", "configmaps", "-l", "color"]
    rows = columns(fruit(*red, "--sort-by=.data.weight"))
    assert [row["NAME"] for row in rows] == ["banana", "apple", "cherry"]
    rows = columns(fruit(*red, "--sort-by=.metadata.creationTimestamp"))
    assert len(rows) == 3


def test_pages(fruit: Client) -> None:
    """The log of kubectl names its requests: four objects in pages of three are two requests."""
    shown = fruit.run("get", "configmaps", "--chunk-size=3", "-v=6")
    assert len(columns(shown.stdout)) == 4
    requests = [line for line in shown.stderr.splitlines() if "/configmaps?" in line]
    assert len(requests) == 2
    assert "limit=3" in requests[0]
    assert "continue=" in requests[1]
    shown = fruit.run("get", "configmaps", "--chunk-size=0", "-v=6")
    assert "limit=" not in shown.stderr


def test_all_namespaces_and_all_kinds(fruit: Client) -> None:
    rows = columns(fruit("get", "services", "-A"))
    assert ("default", "kubernetes") in [(row["NAMESPACE"], row["NAME"]) for row in rows]
    assert (_NAMESPACE, "web") in [(row["NAMESPACE"], row["NAME"]) for row in rows]
    kinds = {name.split("/")[0] for name in _names(fruit, "all")}
    assert {"pod", "service", "deployment.apps", "replicaset.apps"} <= kinds


def test_raw_and_subresources(fruit: Client) -> None:
    path = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/web"
    assert json.loads(fruit("get", "--raw", f"{path}/scale"))["kind"] == "Scale"
    scale = fruit.json("get", "deployment", "web", "--subresource=scale")
    assert_holds(scale, {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 2}})
    status = fruit.json("get", "deployment", "web", "--subresource=status")
    assert status["status"]["readyReplicas"] == 2
    (row,) = columns(fruit("get", "deployment", "web", "--subresource=scale"))
    assert_holds(row, {"NAME": "web", "DESIRED": "2", "AVAILABLE": "2"})


def test_from_files(fruit: Client, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(_OBJECTS)
    found = _names(fruit, "-f", str(tmp_path / "all.yaml"))
    assert found[:2] == ["configmap/apple", "configmap/banana"]
    assert found[-1] == "deployment.apps/web"


def test_short_names_and_versions(fruit: Client) -> None:
    for name in ("deploy", "deployment.apps", "deployments.v1.apps", "deployment"):
        assert _names(fruit, name) == ["deployment.apps/web"]
    (slice_,) = fruit.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    assert len(slice_["endpoints"]) == 2


def test_what_is_not_there(fruit: Client) -> None:
    missing = fruit.run("get", "configmap", "apple", "none", "-o", "name", check=False)
    assert missing.returncode == 1
    assert missing.stdout.strip() == "configmap/apple"
    assert missing.stderr.strip() == ('Error from server (NotFound): configmaps "none" not found')
    with pytest.raises(CommandFailed, match='the server doesn\'t have a resource type "nothings"'):
        fruit("get", "nothings")
    with pytest.raises(CommandFailed, match="unable to parse requirement"):
        fruit("get", "configmaps", "-l", "a b")
    with pytest.raises(CommandFailed, match=_UNKNOWN_FIELD):
        fruit("get", "configmaps", "--field-selector", "data.weight=9")


def _read(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("only", [False, True], ids=["with the list", "changes only"])
def test_watch(kubectl: Client, tmp_path: Path, only: bool) -> None:
    kubectl("create", "configmap", "before")
    flags = ["--watch-only" if only else "--watch", "--output-watch-events", "--no-headers"]
    printed = tmp_path / "printed"
    with printed.open("w") as sink:
        watching = kubectl.start("get", "configmaps", *flags, stdout=sink)
    try:
        if only:
            time.sleep(1.0)
        else:
            eventually(lambda: any("before" in line for line in _read(printed)), timeout_s=10)
        kubectl("create", "configmap", "after")
        kubectl("label", "configmap", "before", "a=b")
        kubectl("delete", "configmap", "after")
        eventually(lambda: any("DELETED" in line for line in _read(printed)), timeout_s=10)
    finally:
        watching.terminate()
        watching.communicate()
    events = [tuple(line.split()[:2]) for line in _read(printed)]
    mine = [event for event in events if event[1] in ("before", "after")]
    expected = [("ADDED", "after"), ("MODIFIED", "before"), ("DELETED", "after")]
    assert mine == ([] if only else [("ADDED", "before")]) + expected


def test_watch_of_one_object(kubectl: Client, tmp_path: Path) -> None:
    kubectl("create", "configmap", "one", "--from-literal=a=1")
    printed = tmp_path / "printed"
    with printed.open("w") as sink:
        shape = ["-o", "jsonpath={.data.a}{'\\n'}"]
        watching = kubectl.start("get", "configmap", "one", "-w", *shape, stdout=sink)
    try:
        eventually(lambda: _read(printed) == ["1"], timeout_s=10)
        kubectl("patch", "configmap", "one", "-p", '{"data":{"a":"2"}}')
        eventually(lambda: _read(printed) == ["1", "2"], timeout_s=10)
    finally:
        watching.terminate()
        watching.communicate()
