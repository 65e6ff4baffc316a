"""Python's clients need the API and pods that pretend to run: one simulated cluster for all."""

from collections.abc import Iterator

import pytest
from harness import Cluster, simulated_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with simulated_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    admin = cluster.kubectl
    name = admin("create", "-f", "-", "-o", "jsonpath={.metadata.name}", stdin=_NAMESPACE)
    yield name
    admin("delete", "namespace", name, "--wait=false")


_NAMESPACE = '{"apiVersion":"v1","kind":"Namespace","metadata":{"generateName":"python-"}}'
