"""What the tour does to a cluster, step by step, for every kind of cluster that it is tried on."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from harness import Client, eventually, run

WEB = "kapi-test/web:v1"
WEB_2 = "kapi-test/web:v2"
BUSYBOX = "kapi-test/busybox"
_POD_UID = "io.kubernetes.pod.uid"


def http_get(address: str, port: int = 80, path: str = "/", timeout_s: float = 5) -> str:
    """The body of one answer over a connection of its own. Raises OSError if there is none."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise OSError(f"{address}:{port}{path} answered {answer.status}: {body}")
        return body.strip()
    except http.client.HTTPException as error:
        raise OSError(f"{address}:{port}{path}: {error!r}") from error
    finally:
        connection.close()


def deploy(kubectl: Client, replicas: int = 3, name: str = "web") -> None:
    """A Deployment of the web image, rolled out."""
    kubectl("create", "deployment", name, f"--image={WEB}", f"--replicas={replicas}")
    rolled_out(kubectl, name)


def rolled_out(kubectl: Client, name: str = "web", timeout_s: int = 60) -> None:
    kubectl(
        *("rollout", "status", f"deployment/{name}", f"--timeout={timeout_s}s"),
        timeout_s=timeout_s + 5,
    )


def expose(kubectl: Client, name: str = "web") -> str:
    """A Service in front of the Deployment; gives its cluster address."""
    kubectl("expose", "deployment", name, "--port=80", "--target-port=8080")
    return kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")


def pods(kubectl: Client, selector: str = "app=web") -> list[dict[str, Any]]:
    """The Pods that are not being deleted."""
    found = kubectl.json("get", "pods", "-l", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def pod_names(kubectl: Client, selector: str = "app=web") -> set[str]:
    return {pod["metadata"]["name"] for pod in pods(kubectl, selector)}


def until_answered_by(address: str, names: set[str], port: int = 80, timeout_s: float = 20) -> None:
    """Asks until each of the Pods has answered; a failed request fails the test at once."""
    missing, ends = set(names), time.monotonic() + timeout_s
    while missing:
        assert time.monotonic() < ends, f"never answered: {missing}"
        missing.discard(http_get(address, port).split()[1])


def pod(kubectl: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "pod", name)
    return found


def wait_for_phase(kubectl: Client, name: str, phase: str, timeout_s: int = 30) -> None:
    kubectl(
        *("wait", f"--for=jsonpath={{.status.phase}}={phase}", f"pod/{name}"),
        f"--timeout={timeout_s}s",
    )


def wait_ready(kubectl: Client, *what: str, timeout_s: int = 30) -> None:
    kubectl("wait", "--for=condition=Ready", *what, f"--timeout={timeout_s}s")


def docker(*arguments: str) -> str:
    return run(["docker", *arguments]).stdout.strip()


def containers(pod_uid: str, *, every: bool = False) -> set[str]:
    """Ids of the containers of a Pod, its sandbox included; all or the running ones."""
    shown = ("--all",) if every else ()
    listed = docker(
        "ps", *shown, "--quiet", "--no-trunc", "--filter", f"label={_POD_UID}={pod_uid}"
    )
    return set(listed.split())


def container_id(pod: dict[str, Any], index: int = 0) -> str:
    """Docker's id of a container of the Pod."""
    identity: str = pod["status"]["containerStatuses"][index]["containerID"]
    return identity.removeprefix("docker://")


@dataclass
class Asking:
    """A client that keeps asking, a new connection each time, until the block ends."""

    address: str
    port: int = 80
    pause_s: float = 0.01
    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Asking":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def _ask(self) -> None:
        while not self._stop.wait(self.pause_s):
            try:
                self.answers.append(http_get(self.address, self.port))
            except OSError as error:
                self.failures.append(f"after {len(self.answers)} answers: {error!r}")

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def versions(self) -> set[str]:
        return {answer.split()[0] for answer in self.answers}

    def heard_since_now(self, version: str) -> None:
        """Waits for an answer of that version to a question not yet asked."""
        begin = len(self.answers) + 1
        eventually(
            lambda: any(answer.startswith(f"{version} ") for answer in self.answers[begin:]),
            timeout_s=10,
            what=f"an answer of {version}",
        )
