"""helm 4 with charts that use what charts use: hooks, access rules, lookups, notes, waits."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import charts
import pytest
from harness import Client, CommandFailed, eventually
from meaning import assert_holds

Release = Callable[..., Client]


@pytest.fixture
def chart(tmp_path: Path) -> str:
    return str(charts.shop(tmp_path))


@pytest.fixture
def release(helm: Client, kubectl: Client) -> Iterator[Client]:
    """helm in the namespace of the test."""
    yield helm.within(kubectl.namespace)


def _names(kubectl: Client, kinds: str) -> set[str]:
    return set(kubectl("get", kinds, "-o", "name").split()) - {"configmap/kube-root-ca.crt"}


def _history(release: Client, name: str = "shop") -> list[tuple[int, str]]:
    return [(item["revision"], item["status"]) for item in release.json("history", name)]


def test_install_makes_all_there_is(release: Client, kubectl: Client, chart: str) -> None:
    kubectl("create", "configmap", "earlier", "--from-literal=word=something")
    wait = ["--wait", "--timeout=60s"]
    told = release("install", "shop", chart, *wait, timeout_s=90)
    assert f"shop says hello from {kubectl.namespace}" in told
    made = kubectl.json("get", "configmap", "shop", "--show-managed-fields")
    assert_holds(made, {
        "data": {"deployments": "yes", "kubernetes": "36", "found": "something"},
        "metadata": {
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "shop"},
        },
    })  # fmt: skip
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["helm"]
    assert kubectl.json("get", "deployment", "shop")["status"]["readyReplicas"] == 1
    robot = f"--as=system:serviceaccount:{kubectl.namespace}:shop"
    assert kubectl("auth", "can-i", "list", "configmaps", robot).strip() == "yes"
    hooks = _names(kubectl, "configmaps")
    assert "configmap/shop-before" in hooks and "configmap/shop-after" not in hooks
    with pytest.raises(CommandFailed, match=r"cannot re-?use a name that is still in use"):
        release("install", "shop", chart)


def test_upgrade_and_rollback(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart)
    release("upgrade", "shop", chart, "--set=greeting=bye,replicas=2", "--wait", "--timeout=60s")
    assert kubectl.json("get", "configmap", "shop")["data"]["greeting"] == "bye"
    assert kubectl.json("get", "deployment", "shop")["status"]["readyReplicas"] == 2
    assert kubectl.json("get", "configmap", "shop-before")["data"] == {"revision": "2"}
    release("upgrade", "shop", chart, "--reuse-values", "--set=replicas=1")
    assert json.loads(release("get", "values", "shop", "-o", "json"))["greeting"] == "bye"
    release("rollback", "shop", "1", "--wait", "--timeout=60s")
    assert kubectl.json("get", "configmap", "shop")["data"]["greeting"] == "hello"
    assert _history(release) == [
        (1, "superseded"), (2, "superseded"), (3, "superseded"), (4, "deployed"),
    ]  # fmt: skip
    assert "shop says bye" in release("get", "notes", "shop", "--revision=2")


def test_what_leaves_the_chart_is_deleted(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart)
    (Path(chart) / "templates" / "access.yaml").write_text(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Release.Name }}}\n"
    )
    release("upgrade", "shop", chart)
    assert not _names(kubectl, "roles,rolebindings")
    assert "serviceaccount/shop" in _names(kubectl, "serviceaccounts")


def test_status_list_and_get(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart, "--description=first try")
    status = release.json("status", "shop")
    assert status["info"]["status"] == "deployed"
    assert status["info"]["description"] == "first try"
    shown = release("status", "shop")
    assert "RESOURCES" in shown and "v1/Deployment" in shown
    (listed,) = release.json("list")
    assert_holds(listed, {"name": "shop", "revision": "1", "chart": "shop-0.1.0"})
    everywhere = json.loads(release("list", "--all-namespaces", "-o", "json"))
    assert ("shop", kubectl.namespace) in [(it["name"], it["namespace"]) for it in everywhere]
    assert "kind: RoleBinding" in release("get", "manifest", "shop")
    assert "helm.sh/hook" in release("get", "hooks", "shop")
    stored = kubectl.json("get", "secrets", "-l", "owner=helm")["items"]
    assert [item["type"] for item in stored] == ["helm.sh/release.v1"]


def test_test(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart)
    told = release("test", "shop", "--timeout=30s")
    assert "Phase:          Succeeded" in told
    assert kubectl.json("get", "pod", "shop-test")["status"]["phase"] == "Succeeded"
    release("upgrade", "shop", chart, "--set=testExit=3")
    with pytest.raises(CommandFailed, match="failed"):
        release("test", "shop", "--timeout=30s")


def test_uninstall(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart, "--wait", "--timeout=60s")
    told = release("uninstall", "shop", "--wait", "--timeout=60s", timeout_s=90)
    assert "secret/shop-kept" in told.lower() or "[Secret] shop-kept" in told
    assert _names(kubectl, "deployments,services,roles,rolebindings") == set()
    # Hooks are not of the release, and the kept Secret was asked to stay.
    assert _names(kubectl, "configmaps") == {"configmap/shop-before"}
    assert _names(kubectl, "secrets") == {"secret/shop-kept"}
    with pytest.raises(CommandFailed, match="not found"):
        release("status", "shop")


def test_uninstall_keeping_the_history(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart)
    release("uninstall", "shop", "--keep-history", "--cascade=foreground")
    assert _history(release) == [(1, "uninstalled")]
    release("rollback", "shop", "1")
    assert _history(release)[-1] == (2, "deployed")


_NOWHERE = "--set=selector.no=where"


def test_a_failed_upgrade_is_rolled_back(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart, "--wait", "--timeout=60s")
    flags = ["--rollback-on-failure", "--timeout=4s", _NOWHERE, "--set=greeting=bad"]
    with pytest.raises(CommandFailed, match=r"rolled back|context deadline exceeded"):
        release("upgrade", "shop", chart, *flags, timeout_s=90)
    assert kubectl.json("get", "configmap", "shop")["data"]["greeting"] == "hello"
    history = _history(release)
    assert history[1][1] == "failed" and history[-1] == (3, "deployed")
    spec = kubectl.json("get", "deployment", "shop")["spec"]["template"]["spec"]
    assert "nodeSelector" not in spec


def test_a_failed_install_leaves_nothing(release: Client, kubectl: Client, chart: str) -> None:
    with pytest.raises(CommandFailed, match=r"uninstalled due to|context deadline exceeded"):
        release("install", "shop", chart, "--rollback-on-failure", "--timeout=4s", _NOWHERE)
    assert not _names(kubectl, "deployments,services")
    assert not release.json("list")


def test_dry_run_on_the_server(release: Client, kubectl: Client, chart: str) -> None:
    kubectl("create", "configmap", "earlier", "--from-literal=word=something")
    shown = release("install", "shop", chart, "--dry-run=server")
    assert "found: something" in shown
    assert not _names(kubectl, "deployments,secrets")
    assert "found: nothing" in release("install", "shop", chart, "--dry-run=client")
    rendered = release("template", "shop", chart)
    assert "kind: Deployment" in rendered
    broken = Path(chart) / "templates" / "broken.yaml"
    broken.write_text("apiVersion: none.example.com/v1\nkind: None\nmetadata: {name: none}\n")
    with pytest.raises(CommandFailed, match="no matches for kind"):
        release("install", "shop", chart, "--dry-run=server")


def test_conflicts_and_client_side(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart)
    mine = "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {greeting: mine}}"
    kubectl.apply(mine, "--server-side", "--force-conflicts")
    with pytest.raises(CommandFailed, match="conflict"):
        release("upgrade", "shop", chart, "--set=greeting=theirs")
    release("upgrade", "shop", chart, "--set=greeting=theirs", "--force-conflicts")
    assert kubectl.json("get", "configmap", "shop")["data"]["greeting"] == "theirs"

    release("install", "other", chart, "--server-side=false")
    release("upgrade", "other", chart, "--set=greeting=bye")
    assert kubectl.json("get", "configmap", "other")["data"]["greeting"] == "bye"
    release("upgrade", "other", chart, "--set=greeting=switched", "--server-side=true")
    assert kubectl.json("get", "configmap", "other")["data"]["greeting"] == "switched"


def test_taking_ownership(release: Client, kubectl: Client, chart: str) -> None:
    kubectl("create", "configmap", "shop", "--from-literal=greeting=before")
    with pytest.raises(CommandFailed, match="invalid ownership metadata"):
        release("install", "shop", chart)
    release("install", "shop", chart, "--take-ownership", "--force-conflicts")
    assert kubectl.json("get", "configmap", "shop")["data"]["greeting"] == "hello"


def test_a_namespace_of_its_own(helm: Client, kubectl: Client, chart: str) -> None:
    own = f"{kubectl.namespace}-own"
    helm.within(own)("install", "shop", chart, "--create-namespace")
    assert kubectl.json("get", "namespace", own)["metadata"]["labels"]["name"] == own
    helm.within(own)("uninstall", "shop")
    kubectl("delete", "namespace", own, "--wait=false")


def test_wait_legacy(release: Client, kubectl: Client, chart: str) -> None:
    release("install", "shop", chart, "--wait=legacy", "--timeout=60s", timeout_s=90)
    assert kubectl.json("get", "deployment", "shop")["status"]["readyReplicas"] == 1


def _served(kubectl: Client, name: str) -> bool:
    return name in kubectl("api-resources", "-o", "name").split()


def test_custom_resource_definitions(release: Client, kubectl: Client, tmp_path: Path) -> None:
    if not _served(kubectl, "customresourcedefinitions.apiextensions.k8s.io"):
        pytest.skip("this server does not serve custom resource definitions")
    release("install", "made", str(charts.defined(tmp_path)), timeout_s=60)
    assert kubectl.json("get", "widgets", "made")["spec"] == {"size": 3}
    release("uninstall", "made")
    assert not _names(kubectl, "widgets")
    kubectl("delete", "crd", "widgets.example.com")


def _has_controllers(kubectl: Client) -> bool:
    """Whether Jobs are looked at: a suspended one is marked so by its controller."""
    manifest: dict[str, Any] = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "probe"},
        "spec": {"suspend": True, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    }  # fmt: skip
    kubectl.apply(json.dumps(manifest))
    try:
        eventually(lambda: kubectl.json("get", "job", "probe")["status"], timeout_s=3)
    except AssertionError:
        return False
    finally:
        kubectl("delete", "job", "probe")
    return True


def test_jobs_as_hooks_and_stateful_sets(release: Client, kubectl: Client, tmp_path: Path) -> None:
    if not _has_controllers(kubectl):
        pytest.skip("this cluster runs no controller for Jobs")
    flags = ["--wait", "--wait-for-jobs", "--timeout=60s"]
    release("install", "made", str(charts.tasks(tmp_path)), *flags, timeout_s=90)
    assert kubectl.json("get", "job", "made-migrate")["status"]["succeeded"] == 1
    assert kubectl.json("get", "statefulset", "made-db")["status"]["readyReplicas"] == 2
