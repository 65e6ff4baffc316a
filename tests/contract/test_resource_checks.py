"""The checks every stored kind must pass through the API, whatever it is.

The kinds come from the table and their objects from `samples/`: a new row earns these checks by
having a sample.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.pki import ClusterPki
from kapi.auth.service_account_tokens import ServiceAccountTokenIssuer
from kapi.client.client import NAMESPACES, Client
from kapi.client.in_process import InProcessTransport
from kapi.registry.resource import Resource
from kapi.registry.table import builtin_resources
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore
from openapi.protobuf import decode_envelope
from openapi.protobuf_types import message_of

SAMPLES = Path(__file__).parent / "samples"
NAMESPACE = "contract"
ADMIN = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
JSON = {"content-type": "application/json"}
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}

STORED = [
    row
    for row in builtin_resources("10.96.0.0/16", (30000, 32767))
    if not row.create_only and "create" in row.verbs and "list" in row.verbs
]


def row_id(row: Resource) -> str:
    return f"{row.qualified}/{row.version}"


def sample(row: Resource) -> dict[str, Any]:
    own = SAMPLES / f"{row.qualified}.{row.version}.yaml"
    path = own if own.exists() else SAMPLES / f"{row.qualified}.yaml"
    document = yaml.safe_load(path.read_text())
    found: dict[str, Any] = document["valid"]
    found["apiVersion"], found["kind"] = row.gvk.api_version, row.kind
    return found


class Api:
    """One row's endpoint, asked as an administrator."""

    def __init__(self, server: ApiServer, row: Resource) -> None:
        self.row = row
        self.transport = InProcessTransport(server.app, ADMIN)
        root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        scope = f"/namespaces/{NAMESPACE}" if row.namespaced else ""
        self.path = f"{root}{scope}/{row.plural}"

    async def __call__(
        self,
        method: str,
        name: str = "",
        body: Any = None,
        headers: dict[str, str] = JSON,
        **params: str,
    ) -> tuple[int, Any]:
        raw = b"" if body is None else orjson.dumps(body)
        path = f"{self.path}/{name}" if name else self.path
        answer = await self.transport.request(
            method, path, params=params, body=raw, headers={**headers, "user-agent": "contract"}
        )
        kind = answer.headers.get("content-type", "")
        return answer.status, orjson.loads(answer.body) if "json" in kind else answer.body

    async def created(self) -> dict[str, Any]:
        code, obj = await self("POST", body=sample(self.row))
        assert code == 201, obj
        found: dict[str, Any] = obj
        if self.row.plural == "customresourcedefinitions":
            # The server itself writes the conditions of a new definition.
            async with asyncio.timeout(5):
                while "Established" not in str(found.get("status")):
                    await asyncio.sleep(0.01)
                    found = (await self("GET", found["metadata"]["name"]))[1]
        return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    issuer = ServiceAccountTokenIssuer(ClusterPki(tmp_path).ensure_service_account_key())
    config = ApiServerConfig(
        lambda _lookup: UnionAuthenticator([]),
        cluster_authorizer,
        issuer,
        advertise_address="192.0.2.1",
    )
    server = ApiServer(MemoryStore(), config)
    await server.start()
    client = Client(InProcessTransport(server.app, ADMIN))
    await client.create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
    yield server
    await server.stop()


@pytest.fixture
def api(server: ApiServer, row: Resource) -> Api:
    return Api(server, row)


rows = pytest.mark.parametrize("row", STORED, ids=row_id)


@rows
async def test_what_was_created_can_be_read_listed_and_shown(api: Api) -> None:
    created = await api.created()
    name = created["metadata"]["name"]
    assert await api("GET", name) == (200, created)
    _code, listed = await api("GET")
    assert listed["kind"] == api.row.list_kind
    assert name in [item["metadata"]["name"] for item in listed["items"]]
    code, table = await api("GET", name, headers=TABLE)
    assert (code, table["kind"]) == (200, "Table")
    row = table["rows"][0]
    assert len(row["cells"]) == len(table["columnDefinitions"])
    if api.row.strategy.columns[0].name == "Name":
        assert row["cells"][0] == name


@rows
async def test_a_second_create_is_refused(api: Api) -> None:
    await api.created()
    code, status = await api("POST", body=sample(api.row))
    assert (code, status["reason"]) == (409, "AlreadyExists")


@rows
async def test_dry_run_leaves_no_trace(api: Api) -> None:
    code, dry = await api("POST", body=sample(api.row), dryRun="All")
    assert code == 201
    assert (await api("GET", dry["metadata"]["name"]))[0] == 404
    await api.created()


@rows
async def test_every_patch_form_changes_labels(api: Api) -> None:
    name = (await api.created())["metadata"]["name"]
    label = {"metadata": {"labels": {"one": "1"}}}
    code, obj = await api("PATCH", name, label, MERGE)
    assert code == 200, obj
    code, obj = await api("PATCH", name, {"metadata": {"labels": {"two": "2"}}}, STRATEGIC)
    assert code == 200, obj
    step = [{"op": "add", "path": "/metadata/labels/three", "value": "3"}]
    code, obj = await api("PATCH", name, step, JSON_PATCH)
    assert code == 200, obj
    assert {"one": "1", "two": "2", "three": "3"}.items() <= obj["metadata"]["labels"].items()
    applied = {
        "apiVersion": api.row.gvk.api_version,
        "kind": api.row.kind,
        "metadata": {"name": name, "labels": {"four": "4"}},
    }
    code, obj = await api("PATCH", name, applied, APPLY, fieldManager="applier", force="true")
    assert code == 200, obj
    assert obj["metadata"]["labels"]["four"] == "4"
    owners = {entry["manager"] for entry in obj["metadata"]["managedFields"]}
    assert "applier" in owners


@rows
async def test_a_stale_update_is_a_conflict(api: Api) -> None:
    created = await api.created()
    name = created["metadata"]["name"]
    await api("PATCH", name, {"metadata": {"annotations": {"x": "1"}}}, MERGE)
    code, status = await api("PUT", name, created)
    assert (code, status["reason"]) == (409, "Conflict")


@rows
async def test_an_unchanged_update_changes_nothing(api: Api) -> None:
    created = await api.created()
    code, same = await api("PUT", created["metadata"]["name"], created)
    assert code == 200, same
    assert same["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


@rows
async def test_status_is_isolated(api: Api) -> None:
    if api.row.subresource("status") is None:
        return
    created = await api.created()
    name = created["metadata"]["name"]
    code, obj = await api("GET", f"{name}/status")
    assert (code, obj) == (200, created)
    labels = {"metadata": {"labels": {"through": "main"}}}
    _code, main = await api("PATCH", name, {**labels, "status": {"junk": 1}}, MERGE)
    assert main.get("status") == created.get("status")


@rows
async def test_a_watch_shows_the_whole_life(api: Api) -> None:
    created = await api.created()
    version, name = created["metadata"]["resourceVersion"], created["metadata"]["name"]
    await api("PATCH", name, {"metadata": {"labels": {"x": "1"}}}, MERGE)
    await api("DELETE", name, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    answer = await api.transport.request(
        "GET",
        api.path,
        params={
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": "1",
            "fieldSelector": f"metadata.name={name}",
        },
    )
    events = [orjson.loads(line) for line in answer.body.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "MODIFIED" and set(kinds[1:]) <= {"MODIFIED", "DELETED"}
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


@rows
async def test_the_protobuf_form_says_the_same(api: Api) -> None:
    if message_of(api.row.group, api.row.version, api.row.kind) is None:
        return
    created = await api.created()
    code, body = await api("GET", created["metadata"]["name"], headers={"accept": PROTOBUF})
    assert code == 200
    api_version, kind, obj = decode_envelope(body)
    assert (api_version, kind) == (api.row.gvk.api_version, api.row.kind)
    assert without_zeros(obj) == without_zeros(created)


def without_zeros(value: Any) -> Any:
    """Protobuf does not tell zero from absent where Go does not either."""
    if isinstance(value, dict):
        cleaned = {key: without_zeros(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in ("", 0, None, [])}
    if isinstance(value, list):
        return [without_zeros(item) for item in value]
    return value
