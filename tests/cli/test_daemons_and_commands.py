"""Daemons are found again by more than a number, and the command line says what it does."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from kapi.cli import app, daemons
from kapi.cli.settings import DataDir
from kapi.cli.systemd import SystemdOptions, render, units


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def test_a_daemon_that_fails_leaves_its_reason_in_the_log(data: DataDir) -> None:
    started = daemons.start(data, "control-plane", ["control-plane", str(data.root)])
    pid, _ = os.waitpid(started.pid, 0)
    assert pid == started.pid
    assert daemons.find(data, "control-plane") is None
    assert "there is no cluster in" in daemons.log_tail(data, "control-plane")
    assert asyncio.run(daemons.stop(data, "control-plane")) is False
    assert daemons.known(data) == []


def test_a_process_id_alone_is_not_believed(data: DataDir) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        fields = {"name": "x", "pid": process.pid, "started": 1, "boot_id": "none"}
        data.pid_file("x").parent.mkdir(parents=True)
        data.pid_file("x").write_bytes(orjson.dumps(fields))
        assert daemons.find(data, "x") is None
        assert asyncio.run(daemons.stop(data, "x")) is False
        assert process.poll() is None
        process.communicate(b"\n")


def test_damaged_pid_files_are_no_daemons(data: DataDir) -> None:
    data.pid_file("x").parent.mkdir(parents=True)
    data.pid_file("x").write_text("{")
    assert daemons.find(data, "x") is None


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.run(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in app.COMMANDS:
        assert name in text
    for name in app.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            app.run([name, "--help"])
        assert ended.value.code == 0


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.run(["kubeconfig", "--data-dir", str(tmp_path)])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"kapi: {tmp_path}/kubeconfig does not exist\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.run(["version"])
    assert "Kubernetes v1.36" in capsys.readouterr().out


def test_units_start_in_order() -> None:
    options = SystemdOptions(data_dir=Path("/var/lib/kapi"), node_name="n")
    found = units(options)
    names = [unit.name for unit in found]
    assert names == ["apiserver", "controller-manager", "scheduler", "kubelet", "proxy", "dns"]
    for position, unit in enumerate(found):
        assert set(unit.after) <= set(names[:position])
    text = render(found[1], ("/usr/bin/kapi",))
    assert "After=network.target kapi-apiserver.service\n" in text
    assert (
        "ExecStart=/usr/bin/kapi controller-manager "
        "--kubeconfig /var/lib/kapi/kubeconfigs/controller-manager.kubeconfig\n"
    ) in text
