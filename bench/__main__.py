"""Prints the table of kapi's figures on this machine; `python -m bench [--quick]`."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench import processes, reference
from bench.load import Connection, Request, Target, fan_out, rate, stopwatch, target_of
from e2e.harness import ROOT, Cluster, eventually, run

_PODS = "/api/v1/namespaces/bench/pods"
_CONFIG_MAPS = "/api/v1/namespaces/bench/configmaps"
_LISTED_PODS = 500
_REPLICAS = 500
_SIMULATED_NODES = 10
_WATCHERS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    load_s: float
    idle_s: float
    runs: int
    fan_out_events: int


FULL = Plan(load_s=5, idle_s=60, runs=5, fan_out_events=200)
QUICK = Plan(load_s=1, idle_s=5, runs=1, fan_out_events=20)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `key` names figures that the reference server has too."""

    name: str
    value: str
    goal: str = ""
    key: str = ""
    number: float = 0.0


@contextmanager
def cluster(*options: str) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="kapi-bench-") as folder:
        started = Cluster(Path(folder), options)
        try:
            yield started
        finally:
            started.delete()


def with_containers(plan: Plan) -> Iterator[Row]:
    """Figures of a cluster with one node that runs real containers."""
    with cluster("--runtime", "docker") as under_test:
        with stopwatch() as taken:
            under_test.up()
            yield Row("kapi up until Ready", f"{taken():.2f} s", "<= 2 s")
        # Start-up work (first syncs, leases, garbage collection) is over after a while.
        time.sleep(min(10, plan.idle_s))
        pids = processes.with_children(under_test.pids().values())
        share = processes.cpu_share(pids, plan.idle_s)
        yield Row("idle memory, resident", _megabytes(processes.rss_bytes(pids)), "<= 150 MB")
        yield Row("idle memory, proportional", _megabytes(processes.pss_bytes(pids)))
        yield Row(f"idle CPU over {plan.idle_s:.0f} s", f"{share:.2%} of a core", "< 1 %")
        seconds = [_run_pod(under_test, number) for number in range(plan.runs)]
        yield Row("kubectl run until Running", f"{statistics.median(seconds):.2f} s", "<= 1.5 s")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _run_pod(under_test: Cluster, number: int) -> float:
    name, kubectl = f"bench-{number}", under_test.kubectl
    with stopwatch() as taken:
        image = ["--image=kapi-test/busybox", "--image-pull-policy=IfNotPresent"]
        kubectl("run", name, *image, "--restart=Never", "--", "sleep", "60")
        kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
        seconds = taken()
    kubectl("delete", "pod", name, "--now", "--wait=false")
    return seconds


def with_simulated_nodes(plan: Plan) -> Iterator[Row]:
    """Figures of the API server, controllers and scheduler; pods have no containers."""
    options = ("--runtime", "simulated", "--simulated-nodes", str(_SIMULATED_NODES))
    with cluster(*options) as under_test:
        under_test.up()
        yield _big_deployment(under_test)
        target = target_of(under_test.kubeconfig)
        yield from asyncio.run(api_load(target, plan))


def _big_deployment(under_test: Cluster) -> Row:
    kubectl = under_test.kubectl
    target = target_of(under_test.kubeconfig)
    path = "/apis/apps/v1/namespaces/default/deployments/big"

    def all_running() -> bool:
        answer = asyncio.run(Connection(target).request("GET", path))
        return bool(answer.json()["status"].get("readyReplicas") == _REPLICAS)

    with stopwatch() as taken:
        kubectl("create", "deployment", "big", "--image=none", f"--replicas={_REPLICAS}")
        eventually(all_running, timeout_s=120, what=f"{_REPLICAS} replicas Running")
        seconds = taken()
    kubectl("delete", "deployment", "big", timeout_s=120)
    # Its pods go in the background; the load that follows should not compete with that.
    eventually(lambda: not kubectl.json("get", "pods")["items"], timeout_s=120)
    return Row(f"Deployment of {_REPLICAS} until all Running", f"{seconds:.1f} s", "<= 5 s")


async def api_load(target: Target, plan: Plan) -> list[Row]:
    """GET, LIST, create and watch, with the same requests for kapi and the reference."""
    setup = Connection(target)
    namespace = orjson.dumps({"metadata": {"name": "bench"}})
    await setup.request("POST", "/api/v1/namespaces", namespace)
    # Pods need their account; where a controller makes it too, one of the two comes second.
    account = orjson.dumps({"metadata": {"name": "default"}})
    await setup.request("POST", "/api/v1/namespaces/bench/serviceaccounts", account)
    create = await rate(target, _create_pod("load"), seconds=plan.load_s)
    await _exactly(setup, _LISTED_PODS)
    get = await rate(
        target, lambda number: ("GET", f"{_PODS}/list-{number % _LISTED_PODS}", b""),
        seconds=plan.load_s,
    )  # fmt: skip
    listed = await rate(target, lambda _: ("GET", _PODS, b""), seconds=plan.load_s)
    version = (await setup.request("GET", _CONFIG_MAPS)).json()["metadata"]["resourceVersion"]
    delivered = await fan_out(
        target,
        f"{_CONFIG_MAPS}?watch=true&resourceVersion={version}",
        _create_config_map,
        watchers=_WATCHERS,
        events=plan.fan_out_events,
    )
    await setup.close()
    figures = (
        ("create pod", create),
        ("get pod", get),
        (f"list {_LISTED_PODS} pods", listed),
        (f"watch events to {_WATCHERS} watchers", delivered),
    )
    return [Row(f"{name}, per second", f"{n:,.0f}", key=name, number=n) for name, n in figures]


async def _exactly(setup: Connection, count: int) -> None:
    """Leaves the namespace with `count` pods, whatever the load before has made."""
    await setup.request("DELETE", f"{_PODS}?gracePeriodSeconds=0")
    make = _create_pod("list")
    for number in range(count):
        answer = await setup.request(*make(number))
        if answer.status != 201:
            raise RuntimeError(f"create: {answer.status} {answer.body[:300]!r}")


def _create_pod(prefix: str) -> Callable[[int], Request]:
    spec = {
        # Bound to no real node and never scheduled: only the API server is measured.
        "schedulerName": "none",
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "none", "env": [{"name": "A", "value": "b"}]}],
    }

    def request(number: int) -> Request:
        pod = {"metadata": {"name": f"{prefix}-{number}", "labels": {"app": "b"}}, "spec": spec}
        return ("POST", _PODS, orjson.dumps(pod))

    return request


def _create_config_map(number: int) -> Request:
    body = {"metadata": {"name": f"event-{number}"}, "data": {"key": "value"}}
    return ("POST", _CONFIG_MAPS, orjson.dumps(body))


def reference_figures(plan: Plan) -> dict[str, float]:
    """The same load on kube-apiserver, if one is given."""
    binary = reference.program()
    if binary is None:
        return {}
    with reference.kube_apiserver(binary) as target:
        return {row.key: row.number for row in asyncio.run(api_load(target, plan))}


def render(rows: list[Row], compared: dict[str, float]) -> str:
    header = ("figure", "kapi", "goal", "ratio to kube-apiserver")
    lines: list[tuple[str, ...]] = [header]
    for row in rows:
        other = compared.get(row.key)
        ratio = f"{row.number / other:.2f}" if other else "not given" if row.key else ""
        lines.append((row.name, row.value, row.goal, ratio))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short measurements, for a look")
    plan = QUICK if parser.parse_args().quick else FULL
    run([ROOT / "e2e" / "images" / "build.sh"], timeout_s=120)
    rows: list[Row] = []
    compared: dict[str, float] = {}
    try:
        for part in (with_containers, with_simulated_nodes):
            rows += part(plan)
        compared = reference_figures(plan)
    finally:
        # What was measured before something failed is worth seeing.
        print(render(rows, compared))


if __name__ == "__main__":
    main()
