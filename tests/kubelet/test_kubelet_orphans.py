"""What a kubelet finds of pods it does not know is removed; what has just arrived is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kapi import env
from kapi.client.client import Client
from kapi.kubelet.config import KubeletConfig
from kapi.kubelet.kubelet import Kubelet
from kapi.kubelet.runtime.simulated import SimulatedRuntime


class Nowhere:
    """A transport that nobody uses in this test."""


async def test_a_pod_that_arrives_during_the_look_keeps_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = KubeletConfig(node_name="n", data_dir=str(tmp_path))
    kubelet = Kubelet(Client(Nowhere()), config, SimulatedRuntime())  # type: ignore[arg-type]
    pods = tmp_path / "pods"
    for name in ("orphan/volumes/kubernetes.io~empty-dir/v", "runs"):
        (pods / name).mkdir(parents=True)
    in_thread = env.in_thread

    async def arriving(function: Callable[..., Any], *arguments: Any) -> Any:
        if not (pods / "arrives").exists():
            kubelet._workers["arrives"] = None  # type: ignore[assignment]
            (pods / "arrives").mkdir()
        return await in_thread(function, *arguments)

    monkeypatch.setattr(env, "in_thread", arriving)
    await kubelet._remove_orphan_directories({"runs"})
    assert sorted(found.name for found in pods.iterdir()) == ["arrives", "runs"]
