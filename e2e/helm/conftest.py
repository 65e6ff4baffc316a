"""helm needs the API and pods that pretend to run: one simulated cluster for all."""

from collections.abc import Iterator

import pytest
from harness import Cluster, simulated_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with simulated_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started
