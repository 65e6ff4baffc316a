"""Fixtures of the end-to-end tests: one real cluster for each file, others on request.

A missing program fails the tests, as what is not run is not proven; helm alone may be missing,
since no package registry is sure to have it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Client, Cluster, CommandFailed, run
from install_helm import install_helm

_HERE = Path(__file__).parent
_counter = iter(range(1, 1_000_000))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def images() -> None:
    """The images `kapi-test/busybox`, `kapi-test/web:v1` and `:v2` are in the Docker engine."""
    run([_HERE / "images" / "build.sh"], timeout_s=120)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, images: None) -> Iterator[Cluster]:
    """The cluster of a file, with real containers.

    Not of the whole run: files that start a cluster of another shape need the pod network and the
    packet rules of the machine for themselves.
    """
    started = Cluster(tmp_path_factory.mktemp("cluster"), ("--runtime", "docker"))
    try:
        started.up()
        yield started
    finally:
        started.delete()


@pytest.fixture
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of one test: `new_cluster("--runtime", "simulated")`, already up.

    They are taken down after the test. Two clusters with real containers on one machine would
    share its pod network, so give all but one `--runtime simulated`.
    """
    made: list[Cluster] = []

    def make(*options: str) -> Cluster:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), options)
        made.append(cluster)
        cluster.up()
        return cluster

    yield make
    for cluster in made:
        cluster.delete()


@pytest.fixture
def kubectl(cluster: Cluster) -> Iterator[Client]:
    """kubectl in a namespace of the test's own, which is deleted afterwards."""
    namespace = f"e2e-{next(_counter)}"
    admin = cluster.kubectl
    admin("create", "namespace", namespace)
    yield admin.within(namespace)
    admin("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def helm(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """helm for the cluster of the file."""
    try:
        program = install_helm()
    except (CommandFailed, OSError) as error:
        pytest.skip(f"helm is not to be had here: {str(error).splitlines()[0]}")
    home = tmp_path_factory.mktemp("helm")
    homes = {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    return Client(program, {**cluster.environment, **homes})
