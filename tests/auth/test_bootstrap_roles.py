"""The bootstrap RBAC objects are upstream's, and the compact table reads back in full."""

import json
from pathlib import Path

import pytest

from kapi.auth.bootstrap import BootstrapLookup, bootstrap_objects

FACTS = Path(__file__).parents[3] / "shared" / "goldens" / "facts"


@pytest.mark.parametrize(
    ("kind", "count"),
    [("ClusterRole", 69), ("Role", 7), ("ClusterRoleBinding", 50), ("RoleBinding", 7)],
)
def test_every_default_object_is_there(kind: str, count: int) -> None:
    objects = [obj for obj in bootstrap_objects() if obj["kind"] == kind]
    assert len(objects) == count
    if not FACTS.exists():
        pytest.skip("the recorded facts are not on this machine")
    recorded = json.loads((FACTS / f"bootstrap_{kind.lower()}s.json").read_text())
    own = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in objects]
    assert own == recorded


def test_the_caller_may_change_what_it_gets() -> None:
    bootstrap_objects()[0]["metadata"]["name"] = "changed"
    assert bootstrap_objects()[0]["metadata"]["name"] == "admin"


def test_every_binding_points_at_a_role() -> None:
    lookup = BootstrapLookup()
    for obj in bootstrap_objects():
        if "roleRef" in obj:
            kind = obj["roleRef"]["kind"].lower()
            namespace = obj["metadata"].get("namespace", "") if kind == "role" else ""
            resource = f"{kind}s.rbac.authorization.k8s.io"
            assert lookup.get(resource, namespace, obj["roleRef"]["name"]), obj
