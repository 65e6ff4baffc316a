"""Exchanges recorded from a real kube-apiserver, where the recordings are at hand.

Only what `kapi.api` decides by itself is compared: decode errors, strategic merges, and the apply
and managedFields scenarios of kinds whose defaults are all in the schema.
"""

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from kapi.api.decode import duplicate_fields, parse_json, parse_yaml
from kapi.api.errors import ApiError, BadRequest
from kapi.api.object import split_api_version
from kapi.api.patch.apply import apply_patch, track_update
from kapi.api.patch.json_patch import apply_json_patch
from kapi.api.patch.merge_patch import apply_merge_patch
from kapi.api.schema import KindSchema, kind_schema

GOLDENS = Path(__file__).parents[2].parent / "shared" / "goldens" / "machinery"

pytestmark = pytest.mark.skipif(not GOLDENS.is_dir(), reason=f"no recordings at {GOLDENS}")

HANDLED = " cannot be handled as a "
APPLIES = (
    "apply-conflict",
    "apply-conflict-with-update",
    "apply-create",
    "apply-last-applied-kept",
    "apply-list-set",
    "apply-migrate-client-side",
    "apply-nulls-and-empties",
    "apply-shared-removal",
    "managedfields-before-first-apply",
    "managedfields-reset",
)


def exchanges(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(request, answer) for each step of a scenario."""
    scenario = yaml.safe_load((GOLDENS / f"{name}.yaml").read_text())
    golden = orjson.loads((GOLDENS / f"{name}.golden.json").read_bytes())
    requests = {step["id"]: step for step in scenario["steps"]}
    return [(requests[step["id"]], step) for step in golden["steps"] if step["id"] in requests]


def schema_of(obj: dict[str, Any]) -> KindSchema:
    found = kind_schema(*split_api_version(obj["apiVersion"]), obj["kind"])
    assert found is not None
    return found


@pytest.mark.parametrize(
    "name", ["decode-errors-types", "fieldvalidation-create-strict", "fieldvalidation-bad-value"]
)
def test_decode_errors(name: str) -> None:
    compared = 0
    for request, answer in exchanges(name):
        message = (answer.get("body") or {}).get("message", "")
        if HANDLED not in message or "yaml" in request["id"]:
            continue
        raw = request.get("raw")
        body = raw.encode() if raw else orjson.dumps(request["body"])
        obj = parse_json(body)
        try:
            problems = schema_of(obj).decode(obj) + duplicate_fields(body)
            found = f"strict decoding error: {', '.join(problems)}"
        except BadRequest as error:
            found = error.message
        assert message.split(HANDLED, 1)[1].split(": ", 1)[1] == found, request["id"]
        compared += 1
    assert compared


class _Server:
    """Just enough of a server to write objects of self-contained kinds."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None
        self._second = 0

    def _now(self) -> str:
        self._second += 1
        return f"2026-01-01T00:{self._second // 60:02d}:{self._second % 60:02d}Z"

    def write(self, request: dict[str, Any], manager: str, force: bool) -> None:
        body = copy.deepcopy(request["body"])
        live = self.live
        schema = schema_of(live or body)
        if request.get("patch") == "apply":
            new = apply_patch(
                live, body, manager=manager, force=force, schema=schema, now=self._now()
            )
        elif request.get("patch") == "json":
            new = apply_json_patch(live, body)
        elif request.get("patch") == "merge":
            new = apply_merge_patch(live, body)
        else:
            new = body
        schema.decode(new)
        schema.default(new)
        new["metadata"]["uid"] = "u"
        if request.get("patch") != "apply":
            track_update(live, new, manager=manager, schema=schema, now=self._now())
        self.live = new


def _comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """What this test judges: data, and metadata without what a server fills in."""
    meta = dict(obj.get("metadata", {}))
    entries = copy.deepcopy(meta.get("managedFields") or [])
    for entry in entries:
        if "time" in entry:
            entry["time"] = "<time>"
    kept = {key: meta.get(key) for key in ("annotations", "labels", "finalizers")}
    return {"data": obj.get("data"), "metadata": kept, "managedFields": entries}


def _query(path: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.partition("?")[2].split("&") if "=" in part)


@pytest.mark.parametrize("name", APPLIES)
def test_applies(name: str) -> None:
    servers: dict[str, _Server] = {}
    for request, answer in exchanges(name):
        body = request.get("body")
        if request["method"] == "GET" or body is None:
            continue
        path = request["path"].partition("?")[0]
        if request["method"] == "POST":
            path += f"/{body['metadata']['name']}"
        server = servers.setdefault(path, _Server())
        query = _query(request["path"])
        manager, force = query.get("fieldManager", "goldens"), query.get("force") == "true"
        if answer["status"] < 300:
            server.write(request, manager, force)
            assert server.live is not None
            found, wanted = _comparable(server.live), _comparable(answer["body"])
            if "apiVersion" not in answer["body"]:
                # The recording keeps only a part of this answer.
                wanted = {key: value for key, value in wanted.items() if value}
                wanted.pop("metadata", None)
                found = {key: found[key] for key in wanted}
            assert found == wanted, request["id"]
        else:
            with pytest.raises(ApiError) as caught:
                server.write(request, manager, force)
            assert caught.value.code == answer["status"], request["id"]
            assert caught.value.message == answer["body"]["message"], request["id"]
            assert caught.value.details == (answer["body"].get("details") or {}), request["id"]


def test_yaml_bodies() -> None:
    (request,) = [one for one, _ in exchanges("decode-content-type") if one["id"] == "yaml"]
    obj = parse_yaml(request["raw"].encode())
    with pytest.raises(BadRequest, match="cannot unmarshal bool into Go struct field ObjectMeta"):
        schema_of(obj).decode(obj)
