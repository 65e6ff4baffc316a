"""What kubectl says about the server and itself: explain, api-resources, version, proxy, config."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from harness import Client, Cluster, CommandFailed, eventually
from meaning import assert_holds, columns

_AT_ONCE = 3


@pytest.fixture
def admin(cluster: Cluster) -> Client:
    return cluster.kubectl


def test_explain_every_kind(admin: Client) -> None:
    """Each kind of each version, with everything below it."""
    rows = columns(admin("api-resources"))
    assert len(rows) > 40

    def explain(row: dict[str, str]) -> str:
        return admin("explain", row["NAME"], "--recursive", f"--api-version={row['APIVERSION']}")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for row, shown in zip(rows, pool.map(explain, rows), strict=True):
            assert f"KIND:       {row['KIND']}\n" in shown
            assert f"VERSION:    {row['APIVERSION'].rpartition('/')[2]}\n" in shown
            assert "metadata\t<ObjectMeta>" in shown, row
            assert "DESCRIPTION:" in shown, row


EXPLANATIONS: list[tuple[str, list[str]]] = [
    ("pods.spec.containers.resources.limits", ["FIELD: limits <map[string]Quantity>"]),
    ("deployment.spec.strategy.type", ["ENUM:", "RollingUpdate", "Recreate"]),
    ("service.spec.ports.nodePort", ["FIELD: nodePort <integer>"]),
    ("hpa.spec", ["maxReplicas\t<integer> -required-"]),
    ("cronjob.spec.jobTemplate.spec.template.spec.volumes.projected", ["ProjectedVolumeSource"]),
]


@pytest.mark.parametrize("field, said", EXPLANATIONS, ids=[case[0] for case in EXPLANATIONS])
def test_explain_fields(admin: Client, field: str, said: list[str]) -> None:
    shown = admin("explain", field)
    assert [text for text in said if text not in shown] == []


def test_explain_versions_and_what_is_not_there(admin: Client) -> None:
    shown = admin("explain", "hpa", "--api-version=autoscaling/v2")
    assert "GROUP:      autoscaling" in shown and "VERSION:    v2" in shown
    assert "GROUP:      events.k8s.io" in admin(
        "explain", "events", "--api-version=events.k8s.io/v1"
    )
    assert "APIVersion" in admin("explain", "pod", "--output=plaintext-openapiv2").replace(" ", "")
    with pytest.raises(CommandFailed, match='field "none" does not exist'):
        admin("explain", "pods.none")
    with pytest.raises(CommandFailed, match="the server doesn't have a resource type"):
        admin("explain", "nothings")


def test_api_resources(admin: Client) -> None:
    rows = {row["NAME"]: row for row in columns(admin("api-resources", "-o", "wide"))}
    assert_holds(rows["deployments"], {
        "SHORTNAMES": "deploy", "APIVERSION": "apps/v1", "NAMESPACED": "true",
        "KIND": "Deployment", "CATEGORIES": "all",
    })  # fmt: skip
    verbs = set(rows["deployments"]["VERBS"].split(","))
    writing = {"create", "delete", "deletecollection", "patch", "update"}
    assert verbs == writing | {"get", "list", "watch"}
    assert rows["nodes"]["NAMESPACED"] == "false"
    assert rows["tokenreviews"]["VERBS"] == "create"
    cluster_wide = admin("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in cluster_wide and "pods" not in cluster_wide
    batch = admin("api-resources", "--api-group=batch", "-o", "name").split()
    assert sorted(batch) == ["cronjobs.batch", "jobs.batch"]
    of_all = admin("api-resources", "--categories=all", "-o", "name").split()
    assert {"pods", "services", "jobs.batch", "statefulsets.apps"} <= set(of_all)
    creating = admin("api-resources", "--verbs=create,!get", "-o", "name", check=False)
    assert "pods" not in creating.split()
    by_kind = columns(admin("api-resources", "--sort-by=kind"))
    assert [row["KIND"] for row in by_kind] == sorted(row["KIND"] for row in by_kind)
    assert admin("api-resources", "--no-headers", "--cached").split()[0] != "NAME"


def test_api_versions_and_version(admin: Client) -> None:
    versions = admin("api-versions").split()
    assert {"v1", "apps/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1"} <= set(versions)
    assert versions == sorted(versions)
    both = json.loads(admin("version", "-o", "json"))
    assert_holds(both, {"serverVersion": {"major": "1", "minor": "36"}})
    assert "Server Version: v1.36" in admin("version")
    assert "serverVersion" not in yaml.safe_load(admin("version", "--client", "-o", "yaml"))


def test_cluster_info(admin: Client, tmp_path: Path) -> None:
    assert "is running at" in admin("cluster-info")
    admin("cluster-info", "dump", "--output-directory", str(tmp_path), "--namespaces=default")
    nodes = json.loads((tmp_path / "nodes.json").read_text())
    assert nodes["items"][0]["metadata"]["name"] == "simulated-0"
    services = json.loads((tmp_path / "default" / "services.json").read_text())
    assert "kubernetes" in [item["metadata"]["name"] for item in services["items"]]


def test_completion(admin: Client, kubectl: Client) -> None:
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert "kubectl" in admin("completion", shell)
    kubectl("create", "configmap", "complete-me")
    named = ["--namespace", kubectl.namespace, "compl"]
    words = admin("__complete", "get", "configmaps", *named).split()
    assert "complete-me" in words
    kinds = admin("__complete", "get", "deploym").split()
    assert "deployments.apps" in kinds or "deployments" in kinds
    assert "default" in admin("__complete", "get", "pods", "--namespace", "def").split()


def test_top_without_metrics(admin: Client) -> None:
    with pytest.raises(CommandFailed, match="Metrics API not available"):
        admin("top", "nodes")


@pytest.fixture
def proxy(admin: Client, tmp_path: Path) -> Iterator[str]:
    """The address of a running `kubectl proxy` that also serves a folder."""
    (tmp_path / "page").write_text("hello")
    said = tmp_path / "said"
    flags = ["--port=0", f"--www={tmp_path}", "--reject-paths=^/api/.*/secrets.*"]
    with said.open("w") as sink:
        running = admin.start("proxy", *flags, stdout=sink)
    try:
        yield eventually(lambda: said.read_text().partition("serve on ")[2].strip(), timeout_s=10)
    finally:
        running.terminate()
        running.communicate()


def test_proxy(proxy: str) -> None:
    def fetch(path: str, body: bytes | None = None) -> str:
        headers = {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(f"http://{proxy}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    assert json.loads(fetch("/api/v1/namespaces/default"))["metadata"]["name"] == "default"
    body = b'{"metadata":{"name":"through-the-proxy"}}'
    made = json.loads(fetch("/api/v1/namespaces/default/configmaps", body))
    assert made["metadata"]["uid"]
    assert fetch("/static/page") == "hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch("/api/v1/namespaces/default/secrets")


def test_config(admin: Client, kubectl: Client, tmp_path: Path) -> None:
    """On a copy of the kubeconfig, so that the cluster's own stays as it is."""
    copy = tmp_path / "config"
    shutil.copy(admin.environment["KUBECONFIG"], copy)
    mine = Client(admin.program, {**admin.environment, "KUBECONFIG": str(copy)})
    current = mine("config", "current-context").strip()
    kubectl("create", "configmap", "here")
    mine("config", "set-context", "--current", f"--namespace={kubectl.namespace}")
    assert "configmap/here" in mine("get", "configmaps", "-o", "name")
    mine("config", "rename-context", current, "renamed")
    assert mine("config", "get-contexts", "-o", "name").split() == ["renamed"]
    mine("config", "set-cluster", "other", "--server=https://127.0.0.1:1")
    mine("config", "set-credentials", "someone", "--token=t")
    mine("config", "set-context", "second", "--cluster=other", "--user=someone")
    mine("config", "use-context", "second")
    assert mine("config", "current-context").strip() == "second"
    assert set(mine("config", "get-clusters").split()[1:]) >= {"other"}
    assert "someone" in mine("config", "get-users")
    minified = json.loads(mine("config", "view", "--minify", "-o", "json"))
    assert minified["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert minified["users"][0]["user"]["token"] == "REDACTED"
    mine("config", "unset", "users.someone.token")
    mine("config", "delete-context", "second")
    mine("config", "delete-cluster", "other")
    mine("config", "delete-user", "someone")
    assert "other" not in mine("config", "view", "--raw")
    assert "configmap/here" in mine("get", "configmaps", "-o", "name", "--context=renamed")
