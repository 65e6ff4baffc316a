"""What one server says of itself, against the recorded facts of a real v1.36 one.

Every difference that is meant stands in `MEANT`, with its reason; one that is no longer there has
to leave the list too.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson
import pytest

from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.pki import ClusterPki
from kapi.auth.service_account_tokens import ServiceAccountTokenIssuer
from kapi.client.in_process import InProcessTransport
from kapi.registry.table import builtin_resources
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.server.discovery import AGGREGATED
from kapi.storage.memory import MemoryStore
from openapi.build import build, request
from openapi.plain_paths import documents_of_their_own

FACTS = Path(__file__).parents[3] / "shared" / "goldens" / "facts"
ADMIN = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

pytestmark = pytest.mark.skipif(
    not FACTS.is_dir(), reason=f"the recorded facts are not on this machine: no {FACTS}"
)

_HOOKS = "the recorded name is a start hook of upstream's process; kapi has checks of its own"
_AGGREGATION = "for aggregated API servers, and kapi has no aggregation layer yet"
_WATCH = "deprecated since v1.11 in favour of ?watch=true; served, but described nowhere"
_ACCOUNT = "a controller manager makes those of its controllers; here is none"

MEANT: dict[str, dict[str, str]] = {
    "root_paths": {
        "/*z/poststarthook/* is missing": _HOOKS,
        "/*z/poststarthook/bootstrap is ours only": _HOOKS,
        "/*z/autoregister-completion is missing": _HOOKS,
        "/readyz/informer-sync is missing": _HOOKS,
        "/*z/log is missing": _HOOKS,
        "/*z/loopback-serving-certificate is missing": _HOOKS,
        "/readyz/shutdown is missing": _HOOKS,
        "/readyz/etcd is ours only": "a server that cannot reach its store is not ready",
        "/flagz is missing": "it lists the command line flags of upstream's process",
        "/statusz is missing": "it describes upstream's process",
        "/metrics/slis is missing": "it measures the health checks, whose names differ",
    },
    "bootstrap": {
        "configmaps.kube-system/extension-apiserver-authentication is missing": _AGGREGATION,
        "configmaps.kube-system/kube-apiserver-legacy-service-account-token-tracking is missing": (
            "it dates the tracking of tokens that older releases made by themselves"
        ),
        "leases.kube-system/apiserver-* is missing": (
            "its name is of that server; kapi's servers keep one where they share a store"
        ),
        "serviceaccounts.kube-system/* is missing": _ACCOUNT,
        "servicecidrs.kubernetes.metadata.finalizers is missing": (
            "upstream's service-cidrs-controller adds it; kapi allocates from its own range only"
        ),
    },
    "openapi_paths": {"/api*/watch/* is missing": _WATCH},
    "openapi_v3_schemas": {"io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent is missing": _WATCH},
}
"""Fact -> pattern of a difference -> why it is meant."""


def fact(name: str) -> Any:
    return json.loads((FACTS / f"{name}.json").read_text())


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """One line per place: what only one side has, and what is not the same."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            place = f"{path}.{key}" if path else key
            if key not in ours:
                yield f"{place} is missing"
            elif key not in theirs:
                yield f"{place} is ours only"
            else:
                yield from differences(ours[key], theirs[key], place)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(our, their, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} instead of {theirs!r}"


def check(name: str, ours: Any, theirs: Any) -> None:
    """Nothing may differ but what is meant to, and what is meant to must still differ."""
    found = list(differences(ours, theirs))
    meant = MEANT.get(name, {})
    unmeant = [line for line in found if not any(fnmatchcase(line, one) for one in meant)]
    assert not unmeant, "\n".join(unmeant)
    stale = [one for one in meant if not any(fnmatchcase(line, one) for line in found)]
    assert not stale, f"no longer different: {stale}"


class Api:
    """A server, asked as an administrator."""

    def __init__(self, server: ApiServer) -> None:
        self._transport = InProcessTransport(server.app, ADMIN)

    async def __call__(
        self, path: str, accept: str = "application/json", **params: str
    ) -> tuple[int, Any]:
        headers = {"accept": accept, "user-agent": "facts"}
        answer = await self._transport.request("GET", path, params=params, headers=headers)
        return answer.status, orjson.loads(answer.body)

    async def got(self, path: str, accept: str = "application/json") -> Any:
        code, document = await self(path, accept)
        assert code == 200, document
        return document


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A server at the address of the recorded one."""
    issuer = ServiceAccountTokenIssuer(ClusterPki(tmp_path).ensure_service_account_key())
    config = ApiServerConfig(
        lambda _lookup: UnionAuthenticator([]),
        cluster_authorizer,
        issuer,
        advertise_address="192.0.2.2",
        advertise_port=7443,
        cluster_ca_pem=fact("bootstrap_configmaps")[0]["data"]["ca.crt"],
    )
    server = ApiServer(MemoryStore(), config)
    await server.start()
    yield Api(server)
    await server.stop()


# Discovery -------------------------------------------------------------------------------------


async def test_aggregated_discovery(api: Api) -> None:
    for path in ("api", "apis"):
        name = f"discovery_aggregated_{path}"
        check(name, await api.got(f"/{path}", AGGREGATED), fact(name))


async def test_discovery_of_groups(api: Api) -> None:
    core = await api.got("/api")
    for entry in core["serverAddressByClientCIDRs"]:
        entry["serverAddress"] = "<addr>"
    check("discovery_api", core, fact("discovery_api"))
    check("discovery_apis", await api.got("/apis"), fact("discovery_apis"))


async def test_discovery_of_resources(api: Api) -> None:
    recorded = fact("discovery_groupversions")
    check("discovery_groupversions", {path: await api.got(path) for path in recorded}, recorded)


async def test_root_paths(api: Api) -> None:
    ours = (await api.got("/"))["paths"]
    assert ours == sorted(ours)
    check("root_paths", dict.fromkeys(ours), dict.fromkeys(fact("root_paths")))


# Objects of a new cluster ----------------------------------------------------------------------

BOOTSTRAP = {
    path.stem.removeprefix("bootstrap_"): path.stem for path in FACTS.glob("bootstrap_*.json")
}
VOLATILE = ("creationTimestamp", "managedFields", "resourceVersion", "uid")


def settled(value: Any) -> Any:
    """Without what no two servers agree on."""
    if isinstance(value, list):
        return [settled(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: settled(item) for key, item in value.items() if key not in VOLATILE}
    if "lastTransitionTime" in kept:
        kept["lastTransitionTime"] = "<lastTransitionTime>"
    return kept


def by_name(objects: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {
        "/".join(filter(None, (obj["metadata"].get("namespace"), obj["metadata"]["name"]))): obj
        for obj in map(settled, objects)
    }


async def test_objects_of_a_new_cluster(api: Api) -> None:
    rows = {row.plural: row for row in builtin_resources("10.96.0.0/16", (30000, 32767))}
    rows["crds"] = rows["customresourcedefinitions"]
    ours, theirs = {}, {}
    for plural, file in BOOTSTRAP.items():
        row = rows[plural]
        root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        ours[plural] = by_name((await api.got(f"{root}/{row.plural}"))["items"])
        theirs[plural] = by_name(fact(file))
    check("bootstrap", ours, theirs)


# What lists accept and show --------------------------------------------------------------------


def collection(record: dict[str, Any]) -> str:
    root = f"apis/{record['group']}" if record["group"] else "api"
    return f"/{root}/{record['version']}/{record['plural']}"


async def test_table_headers(api: Api) -> None:
    ours, theirs = {}, {}
    for record in fact("kubectl_headers"):
        path = collection(record)
        columns = (await api.got(path, TABLE))["columnDefinitions"]
        narrow = [column["name"].upper() for column in columns if not column["priority"]]
        for column in columns:
            del column["description"]
        found = {
            "columns": columns,
            "get": "  ".join(narrow),
            "wide": "  ".join(column["name"].upper() for column in columns),
        }
        # Of a kind that is never listed empty not everything was recorded.
        theirs[path] = {key: record[key] for key in found if key in record}
        ours[path] = {key: found[key] for key in theirs[path]}
    check("kubectl_headers", ours, theirs)


async def test_field_selectors(api: Api) -> None:
    ours, theirs = {}, {}
    for record in fact("field_selectors"):
        path, unknown = collection(record), "no.such.field"
        status, refusal = await api(path, fieldSelector=f"{unknown}=x")
        accepted = {
            field: (await api(path, fieldSelector=f"{field}=x"))[0] == 200
            for field in every_field()
        }
        ours[path] = {
            "supported": sorted(field for field, taken in accepted.items() if taken),
            "refusal": f"{status} {refusal.get('message')}",
        }
        (text,) = record["error_for_others"]
        theirs[path] = {
            "supported": sorted(record["supported"]),
            "refusal": text.replace("<label>", unknown),
        }
    check("field_selectors", ours, theirs)


def every_field() -> list[str]:
    """Each field that some kind of ours or theirs can be selected by."""
    rows = builtin_resources("10.96.0.0/16", (30000, 32767))
    own = {field for row in rows for field in row.strategy.selectable_fields({})}
    return sorted(own.union(*(record["supported"] for record in fact("field_selectors"))))


# OpenAPI ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    """Every published document of the built-in kinds, by its name in the index."""
    rows = builtin_resources("10.96.0.0/16", (30000, 32767))
    index = orjson.loads(build(request("v3", rows)))["paths"]
    plain = documents_of_their_own(rows)
    return {
        name: orjson.loads(build(request(_request_name(name, name in plain), rows)))
        for name in index
    }


def _request_name(name: str, plain: bool) -> str:
    if plain:
        return f"v3-plain/{name}"
    return "v3//v1" if name == "api/v1" else f"v3/{name.removeprefix('apis/')}"


METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
QUERY = ("dryRun", "fieldValidation")
"""The parameters whose presence was recorded."""


def operation(document: dict[str, Any], shared: list[Any]) -> dict[str, Any]:
    both = [(item["in"], item["name"]) for item in (*shared, *document.get("parameters", []))]
    assert len(both) == len(set(both)), both
    return {
        "operationId": document["operationId"],
        "action": document.get("x-kubernetes-action"),
        "gvk": document.get("x-kubernetes-group-version-kind"),
        "query": sorted(name for place, name in both if place == "query" and name in QUERY),
    }


def test_openapi_index(documents: dict[str, Any]) -> None:
    check("openapi_v3_index", dict.fromkeys(documents), dict.fromkeys(fact("openapi_v3_index")))


async def test_openapi_documents_are_served(api: Api, documents: dict[str, Any]) -> None:
    index = (await api.got("/openapi/v3"))["paths"]
    assert set(index) == set(documents)
    for name in ("apis/scheduling.k8s.io", "apis/scheduling.k8s.io/v1", "openid/v1/jwks"):
        path = index[name]["serverRelativeURL"].partition("?")[0]
        assert await api.got(path) == documents[name]


def test_openapi_paths(documents: dict[str, Any]) -> None:
    ours = {
        path: {
            method: operation(item[method], item.get("parameters", []))
            for method in METHODS
            if method in item
        }
        for document in documents.values()
        for path, item in document["paths"].items()
    }
    theirs = {
        path: {
            method: {key: recorded[key] for key in ("operationId", "action", "gvk", "query")}
            for method, recorded in methods.items()
        }
        for path, methods in fact("openapi_paths").items()
    }
    check("openapi_paths", ours, theirs)


def test_openapi_schemas(documents: dict[str, Any]) -> None:
    ours = {name for document in documents.values() for name in document["components"]["schemas"]}
    check(
        "openapi_v3_schemas", dict.fromkeys(ours), dict.fromkeys(fact("openapi_v3_schemas_nodesc"))
    )
