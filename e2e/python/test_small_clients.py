"""`kr8s` and `lightkube`: what their users do first."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from harness import Cluster, eventually

kr8s = pytest.importorskip("kr8s", reason="kr8s is not installed")
lightkube = pytest.importorskip("lightkube", reason="lightkube is not installed")

from kr8s.asyncio.objects import ConfigMap as AsyncConfigMap  # noqa: E402
from kr8s.asyncio.objects import Deployment as AsyncDeployment  # noqa: E402
from lightkube.core.exceptions import ApiError  # noqa: E402
from lightkube.models.apps_v1 import DeploymentSpec  # noqa: E402
from lightkube.models.autoscaling_v1 import ScaleSpec  # noqa: E402
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec  # noqa: E402
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta  # noqa: E402
from lightkube.resources.apps_v1 import Deployment  # noqa: E402
from lightkube.resources.core_v1 import ConfigMap, Node, Pod  # noqa: E402
from lightkube.types import PatchType  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported")
_WATCH_S = 5
_IMAGE = "example.com/web:v1"


@pytest.fixture
async def api(cluster: Cluster, namespace: str) -> AsyncIterator[Any]:
    """kr8s in a namespace; it leaves its connections open, so they are closed for it."""
    made = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    yield made
    await made._session.aclose()


async def test_kr8s(api: Any, namespace: str) -> None:
    version = await api.version()
    assert version["minor"] == "36"
    nodes = [node.name async for node in api.get("nodes")]
    assert nodes == ["simulated-0"]
    made = await AsyncConfigMap(
        {"metadata": {"name": "c", "namespace": namespace}, "data": {"a": "1"}}, api=api
    )
    await made.create()
    await made.patch({"data": {"a": "2"}})
    await made.refresh()
    assert made.data["a"] == "2"
    await made.label({"x": "y"})
    labelled = [item.name async for item in api.get("configmaps", label_selector={"x": "y"})]
    assert labelled == ["c"]
    await made.delete()
    await made.wait("delete", timeout=10)
    assert not await made.exists()


async def test_kr8s_waits_and_scales(api: Any, namespace: str) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [
        {"name": "web", "image": _IMAGE}]}}  # fmt: skip
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    raw = {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}
    deployment = await AsyncDeployment(raw, api=api)
    await deployment.create()
    await deployment.wait("condition=Available", timeout=20)
    await deployment.scale(3)
    await deployment.wait("jsonpath='{.status.readyReplicas}'=3", timeout=20)
    assert len(await deployment.pods()) == 3


@pytest.fixture
def light(cluster: Cluster, namespace: str) -> Iterator[lightkube.Client]:
    config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
    made = lightkube.Client(config=config, namespace=namespace, field_manager="lightkube")
    yield made
    made.close()


def test_lightkube_objects(light: lightkube.Client) -> None:
    made = light.create(ConfigMap(metadata=ObjectMeta(name="c"), data={"a": "1"}))
    assert made.metadata.uid
    light.patch(ConfigMap, "c", {"data": {"b": "2"}}, patch_type=PatchType.MERGE)
    wanted = ConfigMap(
        apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="c"), data={"a": "3"}
    )
    assert light.apply(wanted, force=True).data == {"a": "3", "b": "2"}
    assert "c" in [item.metadata.name for item in light.list(ConfigMap)]
    light.delete(ConfigMap, "c")
    with pytest.raises(ApiError) as missing:
        light.get(ConfigMap, "c")
    assert missing.value.status.code == 404
    assert [node.metadata.name for node in light.list(Node)] == ["simulated-0"]


def test_lightkube_waits_scales_and_watches(light: lightkube.Client) -> None:
    labels = {"app": "web"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels),
        spec=PodSpec(containers=[Container(name="web", image=_IMAGE)]),
    )
    spec = DeploymentSpec(replicas=1, selector=LabelSelector(matchLabels=labels), template=template)
    light.create(Deployment(metadata=ObjectMeta(name="web"), spec=spec))
    light.wait(Deployment, "web", for_conditions=["Available"])
    scale = Deployment.Scale(metadata=ObjectMeta(name="web"), spec=ScaleSpec(replicas=2))
    light.replace(scale, "web")
    eventually(lambda: light.get(Deployment, "web").status.readyReplicas == 2)
    seen: list[str] = []
    # In this thread: lightkube's decoder makes its types on first use and is not safe to share.
    for what, pod in light.watch(Pod, server_timeout=_WATCH_S):
        seen.append(f"{what} {pod.metadata.labels['app']}")
        if seen.count("ADDED web") == 2:
            break
    assert seen.count("ADDED web") == 2
    light.delete(Deployment, "web")
