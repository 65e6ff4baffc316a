"""What a cluster is made of follows from wishes, history and the machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from kapi.cli import plan as plan_module
from kapi.cli.errors import CliError
from kapi.cli.plan import Wishes, check_port_free, make_plan
from kapi.cli.settings import ClusterSettings, DataDir, load_settings, save_settings


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    there = [True]

    async def answers(path: str) -> bool:
        return there[0]

    monkeypatch.setattr(plan_module, "docker_answers", answers)
    monkeypatch.setattr(plan_module, "can_route", lambda: True)
    return there


async def test_the_default_is_one_real_node(docker: list[bool]) -> None:
    settings = (await make_plan(Wishes(node_name="n"), None)).settings
    assert settings.runtime == "docker"
    assert settings.node_names == ("n",)
    assert settings.bind_addresses == ("127.0.0.1", "10.244.0.1")
    assert settings.advertise_address == "10.244.0.1"
    assert settings.dns_service_ip == "10.96.0.10"
    assert settings.server_url == "https://127.0.0.1:6443"


async def test_without_docker_nodes_are_simulated_and_it_is_said(docker: list[bool]) -> None:
    docker[0] = False
    plan = await make_plan(Wishes(nodes=3), None)
    assert plan.settings.simulated_nodes == 3
    assert plan.settings.node_names == ()
    assert plan.settings.bind_addresses == ("127.0.0.1",)
    assert "No Docker engine" in plan.notes[0]
    with pytest.raises(CliError, match="no Docker engine answers"):
        await make_plan(Wishes(runtime="docker"), None)


async def test_a_second_start_keeps_what_it_was_given(docker: list[bool]) -> None:
    wishes = Wishes(nodes=2, simulated_nodes=5, node_name="n", secure_port=7443)
    first = (await make_plan(wishes, None)).settings
    assert first.node_names == ("n", "n-2")
    assert (await make_plan(Wishes(), first)).settings == first
    more = (await make_plan(Wishes(nodes=3), first)).settings
    assert more.node_names == ("n", "n-2", "n-3")
    assert more.simulated_nodes == 5


async def test_mixtures(docker: list[bool]) -> None:
    only_simulated = Wishes(runtime="simulated", simulated_nodes=4)
    assert (await make_plan(only_simulated, None)).settings.simulated_nodes == 4
    both = (await make_plan(Wishes(simulated_nodes=4), None)).settings
    assert len(both.node_names) == 1
    assert both.simulated_node_names == tuple(f"simulated-{number}" for number in range(4))
    none = (await make_plan(Wishes(nodes=0), None)).settings
    assert none.node_names == ()


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(service_cidr="10.96.0.1/16"),
        Wishes(cluster_cidr="x"),
        Wishes(node_name="Not A Name"),
        Wishes(nodes=-1),
        Wishes(bind_addresses=("example.org",)),
    ],
)
async def test_impossible_wishes(docker: list[bool], wishes: Wishes) -> None:
    with pytest.raises(CliError):
        await make_plan(wishes, None)


async def test_address_ranges_are_for_life(docker: list[bool]) -> None:
    with pytest.raises(CliError, match="cannot change"):
        await make_plan(Wishes(service_cidr="10.97.0.0/16"), ClusterSettings())


async def test_listening_everywhere_includes_the_bridge(docker: list[bool]) -> None:
    settings = (await make_plan(Wishes(bind_addresses=("0.0.0.0",)), None)).settings
    assert settings.bind_addresses == ("0.0.0.0",)
    assert settings.server_url == "https://127.0.0.1:6443"


def test_settings_survive_a_round_trip_and_damage_is_named(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    assert load_settings(data) is None
    settings = replace(ClusterSettings(), node_names=("a", "b"), etcd_servers=("http://e:2379",))
    save_settings(data, settings)
    assert load_settings(data) == settings
    data.settings_file.write_text("{")
    with pytest.raises(CliError, match="damaged"):
        load_settings(data)


def test_a_taken_port_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CliError, match=f"port {port}"):
            check_port_free("127.0.0.1", port)
