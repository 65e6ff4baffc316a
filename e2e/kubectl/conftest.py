"""kubectl's commands need the API and pods that pretend to run: one simulated cluster for all."""

from collections.abc import Callable, Iterator

import pytest
from harness import Client, Cluster, eventually, simulated_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with simulated_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def controlled(kubectl: Client) -> Callable[[str], None]:
    """Skips the test if no controller looks at an object, `controlled("daemonset/d")`."""

    def look(target: str) -> None:
        def seen() -> bool:
            return "observedGeneration" in kubectl.json("get", target).get("status", {})

        try:
            eventually(seen, timeout_s=3)
        except AssertionError:
            pytest.skip(f"this cluster runs no controller for {target.split('/')[0]} objects")

    return look
