"""Recorded exchanges with upstream's API server, replayed against API server and controllers."""

import fnmatch
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemons
from harness import ROOT, run

_GOLDENS = ROOT.parent / "shared" / "goldens"
_FLOOR = 0.90
_TOKENS = """\
T1,admin,admin-uid,"system:masters"
T2,alice,alice-uid,dev
T3,bob,bob-uid,ops
"""

_LEFT_OUT = {
    "cr-*": "custom resources",
    "crd-*": "CustomResourceDefinition",
    "limitrange-*": "LimitRange",
    "quota-*": "ResourceQuota",
    "rbac-*": "Role, ClusterRole and their bindings",
    "authz-missing-role": "Role and RoleBinding",
    "authz-role-grants": "Role and RoleBinding",
    "authz-subresource-rules": "Role and RoleBinding",
    "names-rbac": "Role and RoleBinding",
    "impersonation": "ClusterRole",
    "review-rules": "Role and RoleBinding",
    "review-subject-access": "Role and RoleBinding",
    "delete-response-forms": "PersistentVolumeClaim, PodDisruptionBudget, ResourceQuota",
    "discovery-legacy": "groups of many other kinds",
    "list-empty-kinds": "PodDisruptionBudget and Role",
    "list-field-selectors": "Job and ResourceQuota",
    "notfound-forms": "Role",
    "table-kinds": "Job, LimitRange, Ingress, Role",
    "update-unconditional-refused": "Job, Ingress, Role",
}
"""Scenarios, by glob, that touch a kind outside the first slice, and which kind that is."""


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    """API server, controller manager and scheduler; no node, as there was none at the recording."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(_TOKENS)
    tokens.chmod(0o600)
    started = Daemons(tmp_path, ("--token-auth-file", str(tokens)))
    try:
        started.start("apiserver", "controller-manager", "scheduler")
        yield started
    finally:
        started.stop()


def _names() -> list[str]:
    """The scenarios that touch no other kinds."""
    every = sorted(path.stem for path in (_GOLDENS / "machinery").glob("*.yaml"))
    unused = [glob for glob in _LEFT_OUT if not fnmatch.filter(every, glob)]
    assert not unused, "no scenario has such a name"
    return [name for name in every if not any(fnmatch.fnmatch(name, glob) for glob in _LEFT_OUT)]


@pytest.mark.skipif(
    not _GOLDENS.exists(),
    reason="the recorded exchanges are not next to this checkout (../shared/goldens)",
)
@pytest.mark.timeout(300)
def test_nine_of_ten_recorded_steps_are_answered_alike(
    daemons: Daemons, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = _names()
    results = tmp_path / "results.json"
    tokens = ("--token-admin", "T1", "--token-alice", "T2", "--token-bob", "T3")
    only = [part for name in names for part in ("--only", name)]
    replay = [sys.executable, _GOLDENS / "engine.py", "replay", _GOLDENS / "machinery"]
    server = ("--server", f"https://127.0.0.1:{daemons.port}")
    command = [*replay, *server, *tokens, *only, "--json", results, "--quiet"]
    done = run(command, check=False, timeout_s=280)
    assert results.exists(), done.stderr
    found: dict[str, Any] = json.loads(results.read_text())
    passed, failed = found["passed"], found["failed"]
    share = passed / (passed + failed)
    with capsys.disabled():
        print(f"\n{len(names)} scenarios: {passed} of {passed + failed} steps alike, {share:.1%}")
    assert len(found["scenarios"]) == len(names)
    assert share >= _FLOOR, "\n".join(_differences(found["scenarios"]))


def _differences(scenarios: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for name, steps in scenarios.items():
        if different := [step["id"] for step in steps if not step["ok"]]:
            yield f"{name}: {', '.join(different)}"
