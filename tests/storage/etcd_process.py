"""A real etcd on free loopback ports with its data in a temporary folder."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Etcd:
    """One member; `stop` and `start` keep its data and its address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._client = f"http://127.0.0.1:{_free_port()}"
        self._peer = f"http://127.0.0.1:{_free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return self._client

    def start(self) -> None:
        program = shutil.which("etcd")
        if program is None:
            pytest.skip("there is no etcd program on this machine")
        with (self._folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "--data-dir=" + str(self._folder / "data"),
                    "--listen-client-urls=" + self._client,
                    "--advertise-client-urls=" + self._client,
                    "--listen-peer-urls=" + self._peer,
                    "--initial-advertise-peer-urls=" + self._peer,
                    "--initial-cluster=default=" + self._peer,
                    "--logger=zap",
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        health = f"{self._client}/health"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=1) as answer:
                if json.load(answer)["health"] == "true":
                    return
            time.sleep(0.05)
        raise AssertionError((self._folder / "etcd.log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running_etcd(folder: Path, *options: str) -> Iterator[Etcd]:
    etcd = Etcd(folder, *options)
    etcd.start()
    try:
        yield etcd
    finally:
        etcd.stop()
