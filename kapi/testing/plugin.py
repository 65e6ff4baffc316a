"""A pytest plugin: the fixture `kapi_cluster`, a whole cluster in the test process.

It is loaded by every pytest run on a machine where kapi is installed, so it imports nothing of kapi
until the fixture is asked for.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kapi.testing.cluster import TestCluster


@pytest.fixture(scope="session")
def kapi_cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[TestCluster]":
    """A cluster in memory, shared by all tests of the session; give each a namespace of its own.

    It has an API server on a loopback port, controllers, a scheduler and one simulated node, on
    which pods run without containers. `kapi_cluster.kubeconfig` is the path of an administrator's
    kubeconfig, for kubectl, helm or any client library.
    """
    from kapi.testing.cluster import running_cluster

    with running_cluster(tmp_path_factory.mktemp("kapi")) as cluster:
        yield cluster
