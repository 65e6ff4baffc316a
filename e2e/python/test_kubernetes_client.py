"""The official `kubernetes` client: typed, dynamic, watch, informer-like loops, leader election."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Cluster, eventually
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

_IMAGE = "example.com/web:v1"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    made = config.new_client_from_config(str(cluster.kubeconfig))
    yield made
    made.close()


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def _config_map(name: str, **data: str) -> client.V1ConfigMap:
    meta = client.V1ObjectMeta(name=name, labels={"of": "test"})
    return client.V1ConfigMap(metadata=meta, data=data)


def _deployment(replicas: int) -> client.V1Deployment:
    labels = {"app": "web"}
    container = client.V1Container(name="web", image=_IMAGE)
    pod = client.V1PodSpec(containers=[container], termination_grace_period_seconds=0)
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod)
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)


def test_typed_objects_through_their_life(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, _config_map("c", a="1"))
    assert made.metadata.creation_timestamp.tzinfo is not None
    made.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("c", namespace, made)
    assert replaced.data == {"a": "2"}
    with pytest.raises(ApiException) as conflict:
        made.metadata.resource_version = "1"
        core.replace_namespaced_config_map("c", namespace, made)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("c", namespace, {"data": {"b": "3"}})
    assert patched.data == {"a": "2", "b": "3"}
    steps = [{"op": "remove", "path": "/data/a"}]
    assert core.patch_namespaced_config_map("c", namespace, steps).data == {"b": "3"}
    dry = core.create_namespaced_config_map(namespace, _config_map("dry"), dry_run="All")
    assert dry.metadata.name == "dry"
    listed = core.list_namespaced_config_map(namespace, label_selector="of=test")
    assert [item.metadata.name for item in listed.items] == ["c"]
    core.delete_namespaced_config_map("c", namespace)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("c", namespace)
    assert missing.value.status == 404


def test_deployment_and_its_subresources(api: client.ApiClient, namespace: str) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, _deployment(2))

    def ready(count: int) -> bool:
        found = apps.read_namespaced_deployment_status("web", namespace)
        return bool(found.status.ready_replicas == count)

    eventually(lambda: ready(2))
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    scale.spec.replicas = 1
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    eventually(lambda: ready(1) and len(core.list_namespaced_pod(namespace).items) == 1)
    (pod,) = core.list_namespaced_pod(namespace, field_selector="status.phase=Running").items
    assert pod.spec.node_name == "simulated-0"
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name))
    core.create_namespaced_pod_eviction(pod.metadata.name, namespace, eviction)
    eventually(lambda: ready(1) and pod.metadata.name not in _pod_names(core, namespace))
    foreground = client.V1DeleteOptions(propagation_policy="Foreground")
    apps.delete_namespaced_deployment("web", namespace, body=foreground)
    eventually(lambda: not core.list_namespaced_pod(namespace).items)


def _pod_names(core: client.CoreV1Api, namespace: str) -> list[str]:
    return [item.metadata.name for item in core.list_namespaced_pod(namespace).items]


def test_pages_and_collections(core: client.CoreV1Api, namespace: str) -> None:
    for number in range(7):
        core.create_namespaced_config_map(namespace, _config_map(f"c-{number}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(
            namespace, label_selector="of=test", limit=3, _continue=token
        )
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
        # Written between the pages, so not of the list that is being read.
        core.create_namespaced_config_map(namespace, _config_map(f"late-{len(names)}"))
    assert names == [f"c-{number}" for number in range(7)]
    core.delete_collection_namespaced_config_map(namespace, label_selector="of=test")
    assert not core.list_namespaced_config_map(namespace, label_selector="of=test").items


def test_tokens_and_reviews(api: client.ApiClient, namespace: str) -> None:
    core, reviews = client.CoreV1Api(api), client.AuthenticationV1Api(api)
    spec = client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    request = client.AuthenticationV1TokenRequest(spec=spec)
    made = core.create_namespaced_service_account_token("default", namespace, request)
    asked = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=made.status.token))
    answer = reviews.create_token_review(asked)
    assert answer.status.authenticated
    assert answer.status.user.username == f"system:serviceaccount:{namespace}:default"
    who = reviews.create_self_subject_review(client.V1SelfSubjectReview())
    assert "system:masters" in who.status.user_info.groups
    attributes = client.V1ResourceAttributes(verb="get", resource="pods", namespace=namespace)
    question = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(question).status.allowed


def test_a_watch_continues_where_a_list_ended(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, _config_map("before"))
    listed = core.list_namespaced_config_map(namespace)
    core.create_namespaced_config_map(namespace, _config_map("after", a="1"))
    core.patch_namespaced_config_map("after", namespace, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("after", namespace)
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=3,
        label_selector="of=test",
    )
    seen = [(event["type"], event["object"].metadata.name) for event in stream]
    assert seen == [("ADDED", "after"), ("MODIFIED", "after"), ("DELETED", "after")]


def test_a_watch_stops_and_names_what_was(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, _config_map("one"))
    watching = watch.Watch()
    names = []
    for event in watching.stream(core.list_namespaced_config_map, namespace, timeout_seconds=10):
        names.append(event["object"].metadata.name)
        if "one" in names:
            watching.stop()
    assert watching.resource_version


def test_an_informer_recovers_from_410(core: client.CoreV1Api, namespace: str) -> None:
    """List, watch, and list again when the revision to watch from is long gone."""
    core.create_namespaced_config_map(namespace, _config_map("one"))
    known: set[str] = set()
    restarts, version = 0, "1"
    while "one" not in known:
        try:
            stream = watch.Watch().stream(
                core.list_namespaced_config_map,
                namespace,
                resource_version=version,
                timeout_seconds=1,
            )
            known |= {event["object"].metadata.name for event in stream}
        except ApiException as error:
            assert error.status == 410, error
            restarts += 1
            listed = core.list_namespaced_config_map(namespace)
            known |= {item.metadata.name for item in listed.items}
            version = listed.metadata.resource_version
        assert restarts <= 1
    core.create_namespaced_config_map(namespace, _config_map("two"))
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=1
    )
    assert "two" in {event["object"].metadata.name for event in stream}


def test_dynamic_client(api: client.ApiClient, namespace: str) -> None:
    anything = dynamic.DynamicClient(api)
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "1"}}
    maps.create(body=body, namespace=namespace)
    assert maps.get(name="c", namespace=namespace).data.a == "1"
    merge = {"content_type": "application/merge-patch+json"}
    maps.patch(name="c", namespace=namespace, body={"data": {"a": "2"}}, **merge)
    applied = maps.server_side_apply(
        body=body, name="c", namespace=namespace, field_manager="mine", force_conflicts=True
    )
    assert applied.data.a == "1"
    managers = [entry.manager for entry in applied.metadata.managedFields]
    assert "mine" in managers
    events = maps.watch(namespace=namespace, timeout=1)
    assert "c" in [event["object"].metadata.name for event in events]
    maps.delete(name="c", namespace=namespace)
    deployments = anything.resources.get(group="apps", kind="Deployment", api_version="v1")
    assert "scale" in deployments.subresources
    kinds = {found.kind for found in anything.resources.search(group="batch")}
    assert {"Job", "CronJob"} <= kinds


def test_create_from_yaml(api: client.ApiClient, namespace: str, tmp_path: Path) -> None:
    plain = api.sanitize_for_serialization(_deployment(0)) | {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([plain, service]))
    utils.create_from_yaml(api, str(path), namespace=namespace)
    assert client.AppsV1Api(api).read_namespaced_deployment("web", namespace).spec.replicas == 0
    with pytest.raises(utils.FailToCreateError) as again:
        utils.create_from_yaml(api, str(path), namespace=namespace)
    assert {error.status for error in again.value.api_exceptions} == {409}


def test_leader_election(cluster: Cluster, namespace: str) -> None:
    """Two candidates for one Lease: the second leads only when the first no longer renews."""
    config.load_kube_config(str(cluster.kubeconfig))
    led: list[str] = []
    ending = threading.Event()

    def lead(name: str) -> None:
        led.append(name)
        ending.wait(0.0 if name == "second" else 1.0)

    def run(name: str) -> None:
        lock = LeaseLock("leader", namespace, name)
        options = electionconfig.Config(
            lock,
            lease_duration=3,
            renew_deadline=2,
            retry_period=1,
            onstarted_leading=lambda: lead(name),
            onstopped_leading=lambda: None,
        )
        leaderelection.LeaderElection(options).acquire()
        lead(name)

    first = threading.Thread(target=run, args=("first",), daemon=True)
    first.start()
    eventually(lambda: led == ["first"], timeout_s=10)
    second = threading.Thread(target=run, args=("second",), daemon=True)
    second.start()
    time.sleep(0.5)
    assert led == ["first"]
    eventually(lambda: "second" in led, timeout_s=15)
    lease = client.CoordinationV1Api().read_namespaced_lease("leader", namespace)
    assert lease.spec.holder_identity == "second"


def test_every_group_the_client_knows_answers(api: client.ApiClient) -> None:
    """The generated classes read the server's answers: versions, groups, whole lists."""
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups
    lists: list[Any] = [
        client.RbacAuthorizationV1Api(api).list_cluster_role,
        client.SchedulingV1Api(api).list_priority_class,
        client.CoordinationV1Api(api).list_lease_for_all_namespaces,
        client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces,
        client.NetworkingV1Api(api).list_service_cidr,
        client.CoreV1Api(api).list_node,
    ]
    for listing in lists:
        assert listing().items is not None
