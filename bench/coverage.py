"""Makes docs/api-coverage.md: what upstream serves, and whether a running kapi serves it.

`python -m bench.coverage --paths openapi_paths.json [--replay results.json ...]` starts a cluster
with simulated pods and asks it for every operation of upstream's OpenAPI paths, one request each.
Writes are dry runs of names that do not exist; an operation is served if the answer is about the
object and not about the path or the method.

`--paths` is a JSON object of upstream's paths, each with its methods and their `action`;
`--replay` takes the results of replayed recordings, one file for each set of scenarios.
The reasons for what differs in a replay are kept in docs/api-differences.yaml.
"""

import argparse
import asyncio
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.load import Target, target_of
from e2e.harness import ROOT, simulated_cluster

_OUTPUT = ROOT / "docs" / "api-coverage.md"
_REASONS = ROOT / "docs" / "api-differences.yaml"
_NOBODY = "not-there"
_AT_ONCE = 8
_TIMEOUT_S = 20
_SHOWN_STEPS_MAX = 12

_VERBS = {
    "get": "get",
    "list": "list",
    "post": "create",
    "put": "update",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "delete&shy;collection",
    "watch": "old watch",
    "watchlist": "old watch",
}
_COLUMNS = (
    "get", "list", "watch", "create", "update", "patch", "delete", "delete&shy;collection",
    "old watch", "connect",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path as upstream has it."""

    path: str
    method: str
    action: str
    """Empty for what is not about a resource."""

    @property
    def parts(self) -> list[str]:
        """The path without the group, the old watch prefix and the namespace."""
        parts = self.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts and parts[0] == "watch":
            parts = parts[1:]
        if parts[:2] == ["namespaces", "{namespace}"] and len(parts) > 2:
            parts = parts[2:]
        return parts

    @property
    def group_version(self) -> str:
        parts = self.path.strip("/").split("/")
        return parts[1] if parts[0] == "api" else "/".join(parts[1:3])

    @property
    def resource(self) -> str:
        """`pods`, `pods/log`; a path below a proxy is told apart."""
        named = [part for part in self.parts if part != "{name}"]
        return "/".join("…" if part.startswith("{") else part for part in named)

    @property
    def verb(self) -> str:
        if self.action == "connect":
            return f"connect {self.method.upper()}"
        return _VERBS[self.action]

    def url(self) -> str:
        """Where to ask: nothing of that name exists, but the namespace does."""
        filled = self.path.replace("{namespace}", "default")
        return filled.replace("{name}", _NOBODY).replace("{path}", "x").replace("{logpath}", "x")


def operations(paths: dict[str, dict[str, dict[str, Any]]]) -> Iterator[Operation]:
    for path, methods in paths.items():
        for method, facts in methods.items():
            yield Operation(path, method, facts["action"] or "")


@dataclass(slots=True)
class Row:
    """One resource or subresource: what is served of each verb, over all its paths."""

    verbs: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def cell(self, column: str) -> str:
        if column != "connect":
            found = self.verbs.get(column)
            return "" if found is None else "yes" if all(found) else "**no**"
        methods = {verb: all(ok) for verb, ok in self.verbs.items() if verb.startswith("connect ")}
        if not methods:
            return ""
        missing = [verb.removeprefix("connect ") for verb, ok in methods.items() if not ok]
        return f"**no** {' '.join(missing)}" if missing else "yes"


class Probe:
    """Asks a server for operations, a few at a time."""

    def __init__(self, target: Target) -> None:
        base = f"https://{target.host}:{target.port}"
        self._client = httpx.AsyncClient(base_url=base, verify=target.tls, timeout=_TIMEOUT_S)
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        await self._client.aclose()

    async def served(self, operation: Operation) -> bool:
        """Whether the server knows this path and method."""
        params: dict[str, str] = {}
        if operation.method in ("post", "put", "patch", "delete"):
            params = {"dryRun": "All"}
        elif operation.action in ("watch", "watchlist"):
            params = {"timeoutSeconds": "1"}
        return await self._known(operation.method, operation.url(), params)

    async def watched(self, operation: Operation) -> bool:
        """Whether a list can be watched."""
        return await self._known("get", operation.url(), {"watch": "1", "timeoutSeconds": "1"})

    async def _known(self, method: str, url: str, params: dict[str, str]) -> bool:
        """Reads no more of an answer than tells; the body of a watch has no end."""
        content: bytes | None = b"{}" if method in ("post", "put", "patch") else None
        kind = "application/merge-patch+json" if method == "patch" else "application/json"
        headers = {"content-type": kind} if content is not None else {}
        async with self._at_once:
            request = self._client.build_request(
                method.upper(), url, params=params, content=content, headers=headers
            )
            answer = await self._client.send(request, stream=True)
            try:
                if answer.status_code == 405:
                    return False
                if answer.status_code != 404:
                    return True
                # The answer to HEAD has no body: what tells is that it may be asked.
                return method == "head" or _about_an_object(await answer.aread())
            finally:
                await answer.aclose()


def _about_an_object(body: bytes) -> bool:
    """Whether a 404 says that the object is not there, and not that the path is not."""
    try:
        status = json.loads(body)
    except ValueError:
        return False
    if not isinstance(status, dict):
        return False
    named = (status.get("details") or {}).get("name")
    return bool(named) or _NOBODY in str(status.get("message"))


async def probed(
    target: Target, wanted: Sequence[Operation]
) -> tuple[dict[tuple[str, str], Row], dict[str, bool]]:
    """The rows by group version and resource, and whether each other path is served."""
    rows: dict[tuple[str, str], Row] = defaultdict(Row)
    others: dict[str, bool] = {}
    probe = Probe(target)

    def at(operation: Operation) -> tuple[str, str]:
        return operation.group_version, operation.resource

    # What upstream cannot watch has no old watch path either, whatever its parameters say.
    watchable = {at(operation) for operation in wanted if operation.action == "watchlist"}

    async def ask(operation: Operation) -> None:
        found = await probe.served(operation)
        if not operation.action:
            others[operation.path] = found
            return
        row = rows[at(operation)]
        row.verbs[operation.verb].append(found)
        if operation.action == "list" and at(operation) in watchable:
            row.verbs["watch"].append(await probe.watched(operation))

    try:
        await asyncio.gather(*(ask(operation) for operation in wanted))
    finally:
        await probe.close()
    return rows, others


def coverage(rows: dict[tuple[str, str], Row], others: dict[str, bool]) -> Iterator[str]:
    """The Markdown of the first part."""
    cells = [ok for row in rows.values() for found in row.verbs.values() for ok in [all(found)]]
    yield "# What of the Kubernetes API is served\n"
    yield "Made by `python -m bench.coverage` from the OpenAPI paths of Kubernetes v1.36: every"
    yield "operation was asked of a running cluster. Empty: upstream has no such operation.\n"
    yield f"**{sum(cells)} of {len(cells)}** verbs of {len(rows)} resources and subresources, and"
    yield f"**{sum(others.values())} of {len(others)}** other paths are served.\n"
    for group_version in sorted({key[0] for key in rows}, key=lambda name: ("/" in name, name)):
        yield f"## {group_version}\n"
        yield f"| resource | {' | '.join(_COLUMNS)} |"
        yield "|---|" + "---|" * len(_COLUMNS)
        for resource in sorted(key[1] for key in rows if key[0] == group_version):
            row = rows[group_version, resource]
            yield f"| {resource} | {' | '.join(row.cell(column) for column in _COLUMNS)} |"
        yield ""
    yield "## Other paths\n"
    yield "| path | served |\n|---|---|"
    for path in sorted(others):
        yield f"| `{path}` | {'yes' if others[path] else '**no**'} |"


@dataclass(slots=True)
class Replay:
    """What a replay of recordings gave: failed steps as `set/scenario/step`."""

    passed: Counter[str] = field(default_factory=Counter)
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, path: Path) -> None:
        name = path.stem
        for scenario, steps in json.loads(path.read_text())["scenarios"].items():
            for step in steps:
                if step["ok"]:
                    self.passed[name] += 1
                else:
                    self.failed[name].append(f"{name}/{scenario}/{step['id']}")


def differences(replay: Replay, reasons: list[dict[str, Any]]) -> Iterator[str]:
    """The Markdown of the second part. `reasons`: [{steps: [glob, ...], reason: text}, ...]."""
    yield "\n# Recorded exchanges, replayed\n"
    yield "The same requests as were recorded with kube-apiserver v1.36.2, and how many steps are"
    yield "answered alike.\n"
    yield "| set | steps | alike | share |\n|---|---|---|---|"
    for name in sorted({*replay.passed, *replay.failed}):
        passed, failed = replay.passed[name], len(replay.failed[name])
        total = passed + failed
        yield f"| {name} | {total} | {passed} | {passed / total:.1%} |"
    left = [step for steps in replay.failed.values() for step in steps]
    yield "\n## What differs, and why\n"
    for group in reasons:
        mine = [step for step in left if any(fnmatchcase(step, glob) for glob in group["steps"])]
        left = [step for step in left if step not in mine]
        if mine:
            yield from _difference(group["reason"].strip(), mine)
    if left:
        yield from _difference("Not looked into yet.", left)


def _difference(reason: str, steps: list[str]) -> Iterator[str]:
    shown = ", ".join(f"`{step}`" for step in sorted(steps)[:_SHOWN_STEPS_MAX])
    more = f" and {len(steps) - _SHOWN_STEPS_MAX} more" if len(steps) > _SHOWN_STEPS_MAX else ""
    yield f"- **{len(steps)}**: {' '.join(reason.split())} ({shown}{more})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--paths", type=Path, required=True)
    parser.add_argument("--replay", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    wanted = list(operations(json.loads(given.paths.read_text())))
    with (
        tempfile.TemporaryDirectory(prefix="kapi-coverage-") as folder,
        simulated_cluster(Path(folder)) as cluster,
    ):
        rows, others = asyncio.run(probed(target_of(cluster.kubeconfig), wanted))
    lines = list(coverage(rows, others))
    if given.replay:
        replay = Replay()
        for path in given.replay:
            replay.add(path)
        reasons = yaml.safe_load(_REASONS.read_text()) if _REASONS.exists() else []
        lines += differences(replay, reasons)
    _OUTPUT.write_text("\n".join(lines) + "\n")
    print(f"{_OUTPUT.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
