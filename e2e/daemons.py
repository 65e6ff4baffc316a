"""kapi's components as processes of their own, the way `kapi systemd` starts them, and etcd."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import ROOT, Client, eventually, free_port, kapi_command, kubectl_path, tool


def listens(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


@dataclass
class Daemon:
    """One process that may be killed and started again; its output is kept in a file."""

    name: str
    command: Sequence[str | Path]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends the signal and waits for the end; nothing happens if it does not run."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)
            self.process = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Etcd(Daemon):
    """One etcd on loopback with its data in a directory."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{free_port()}"
        command = [
            tool("etcd", hint="apt-get install etcd-server"),
            *("--data-dir", directory / "etcd"),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]
        super().__init__("etcd", command, directory / "etcd.log")

    def start(self) -> None:
        """Comes back when it listens."""
        super().start()
        eventually(lambda: listens(self.port), what="etcd listens")


@dataclass
class Daemons:
    """A cluster of single processes: `start("apiserver")`, `kill("kubelet")`.

    `api_options` go to `kapi apiserver` as they are.
    """

    directory: Path
    api_options: Sequence[str] = ()
    node: str = "alone"
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        data = self.data = self.directory / "data"
        bridge = ("--bind-address", "10.244.0.1", "--advertise-address", "10.244.0.1")
        node = ("--node-name", self.node)
        here = ("--data-dir", str(data))
        port = ("--secure-port", str(self.port), "--bind-address", "127.0.0.1")
        commands: dict[str, tuple[str, ...]] = {
            "apiserver": (*here, *port, *bridge, *node, *self.api_options),
            "controller-manager": self._access("controller-manager"),
            "scheduler": self._access("scheduler"),
            "kubelet": (*self._access(f"node-{self.node}"), *node, *here),
            "proxy": (*self._access("proxy"), *node),
            "dns": self._access("dns"),
        }
        self._daemons = {
            name: Daemon(name, [*kapi_command(), name, *options], self.directory / f"{name}.log")
            for name, options in commands.items()
        }

    def _access(self, name: str) -> tuple[str, ...]:
        return ("--kubeconfig", str(self.data / "kubeconfigs" / f"{name}.kubeconfig"))

    @property
    def kubectl(self) -> Client:
        environment = {"KUBECONFIG": str(self.data / "kubeconfig")}
        environment["KUBECACHEDIR"] = str(self.directory / "cache")
        return Client(kubectl_path(), environment)

    def start(self, *names: str) -> None:
        """Starts them one after another; comes back from the API server when it is ready."""
        for name in names:
            self._daemons[name].start()
            if name == "apiserver":
                eventually(self._is_ready, timeout_s=60, what=f"/readyz; {self.logs()}")

    def _is_ready(self) -> bool:
        assert self._daemons["apiserver"].runs, self.logs()
        ready = self.kubectl.run("get", "--raw", "/readyz", check=False)
        return ready.stdout == "ok"

    def kill(self, name: str) -> None:
        self._daemons[name].kill()

    def stop(self) -> None:
        """Ends all of them in the order opposite to their start."""
        for daemon in reversed(self._daemons.values()):
            daemon.kill(signal.SIGTERM)

    def logs(self, lines_max: int = 15) -> str:
        parts = []
        for daemon in self._daemons.values():
            if daemon.log.exists():
                tail = daemon.log.read_text(errors="replace").splitlines()[-lines_max:]
                parts.append("\n".join([f"--- {daemon.name}", *tail]))
        return "\n".join(parts)
