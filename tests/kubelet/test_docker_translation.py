"""The Docker runtime's pure parts: requests, answers, addresses, the pause program."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.kubelet.runtime.docker.images import split_reference
from kapi.kubelet.runtime.docker.network import AddressPool
from kapi.kubelet.runtime.docker.pause import pause_program
from kapi.kubelet.runtime.docker.translate import (
    Joined,
    container_config,
    container_from,
    moment,
    sandbox_config,
)
from kapi.kubelet.runtime.interface import (
    ContainerSpec,
    Mount,
    Resources,
    SandboxSpec,
    SecuritySpec,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T04:04:05.25+01:00", datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a", ("a", "latest")),
        ("a:1", ("a", "1")),
        ("r:5000/a", ("r:5000/a", "latest")),
        ("r:5000/a/b:1", ("r:5000/a/b", "1")),
        ("a@sha256:12", ("a", "sha256:12")),
    ],
)
def test_references(reference: str, expected: tuple[str, str]) -> None:
    assert split_reference(reference) == expected


def test_addresses_go_round_and_leave_out_gateways() -> None:
    pool = AddressPool("10.1.0.0/29", reserved=("10.1.0.3",))
    taken = [pool.take() for _ in range(5)]
    assert taken == ["10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6", None]
    pool.keep_only(["10.1.0.2", "10.1.0.6"])
    assert [pool.take() for _ in range(3)] == ["10.1.0.4", "10.1.0.5", None]


def state(**fields: Any) -> dict[str, Any]:
    return {
        "Id": "c1",
        "Created": "2026-01-02T03:04:05Z",
        "Image": "sha256:x",
        "Config": {"Labels": {"io.kubernetes.container.name": "main"}, "Image": "i"},
        "State": {
            "Status": "exited",
            "StartedAt": "2026-01-02T03:04:06Z",
            "FinishedAt": "2026-01-02T03:04:07Z",
            "ExitCode": 0,
            **fields,
        },
    }


def test_ends_are_told_apart() -> None:
    killed = container_from(state(ExitCode=137, OOMKilled=True))
    assert (killed.state, killed.exit_code, killed.reason) == ("exited", 137, "OOMKilled")
    never = {"StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    broken = container_from(state(Status="created", ExitCode=127, Error="no such file", **never))
    assert (broken.state, broken.exit_code, broken.reason) == ("exited", 128, "StartError")
    assert broken.message == "no such file"
    assert container_from(state(Status="created", **never)).state == "created"
    assert container_from(state(Status="running")).finished_at is None


def test_a_container_joins_its_sandbox() -> None:
    spec = ContainerSpec(
        name="main",
        image_id="sha256:x",
        labels={"l": "1"},
        command=("sh",),
        environment=(("A", "b=c"),),
        mounts=(Mount("/host", "/in", read_only=True, propagation="rslave"),),
        resources=Resources(cpu_shares=10, memory_bytes=100, oom_score_adjust=-997),
        security=SecuritySpec(user="1:2", no_new_privileges=True, seccomp="unconfined"),
    )
    body = container_config(
        spec, Joined("sb", "container:sb", ""), seccomp="unconfined", may_lower_oom_score=False
    )
    host = body["HostConfig"]
    assert body["Entrypoint"] == ["sh"]
    assert "Cmd" not in body
    assert body["Env"] == ["A=b=c"]
    assert host["NetworkMode"] == "container:sb"
    assert host["SecurityOpt"] == ["no-new-privileges", "seccomp=unconfined"]
    assert (host["Memory"], host["MemorySwap"], host["OomScoreAdj"]) == (100, 100, 0)
    assert host["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/host",
            "Target": "/in",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rslave"},
        }
    ]


def test_a_sandbox_publishes_its_ports() -> None:
    spec = SandboxSpec(
        name="p",
        namespace="n",
        uid="u",
        hostname="h",
        labels={},
        host_ports=((8080, 80, "tcp", "127.0.0.1"), (53, 53, "udp", "")),
    )
    body = sandbox_config(
        spec, image="i", network="kapi", address="10.1.0.2", may_lower_oom_score=True
    )
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }
    endpoint = body["NetworkingConfig"]["EndpointsConfig"]["kapi"]
    assert endpoint == {"IPAMConfig": {"IPv4Address": "10.1.0.2"}}


def test_the_pause_program_for_arm() -> None:
    """Checked word by word against the architecture's encoding: there is no such machine here."""
    code = pause_program("aarch64")[120:]
    words = struct.unpack("<30I", code[:120])
    assert code[120:] == b"\xff" * 8
    assert words[4] == 0xD28010E8  # movz x8, #135 (rt_sigprocmask)
    assert words[5] == words[11] == words[23] == words[29] == 0xD4000001  # svc #0
    assert words[28] == 0xD2800BA8  # movz x8, #93 (exit)
    # adr x1, data: data is 29 words after word 1, in units of 4 bytes.
    assert words[1] >> 31 == 0 and words[1] & 0x1F == 1
    assert ((words[1] >> 5 & 0x7FFFF) << 2 | words[1] >> 29 & 3) == 29 * 4
    targets = {at: at + _signed(words[at] >> 5 & 0x7FFFF, 19) for at in (13, 15, 17, 25)}
    assert targets == {13: 27, 15: 27, 17: 6, 25: 18}
    assert 26 + _signed(words[26] & 0x3FFFFFF, 26) == 6


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def test_no_pause_program_for_other_machines() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        pause_program("riscv64")
