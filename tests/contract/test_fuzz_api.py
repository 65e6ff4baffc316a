"""Whatever is asked, the server answers, soon, and without an error of its own.

The operations and their parameters come from the server's own OpenAPI document. Bodies begin as
the valid samples and are then spoilt: a value of another type, a name that is too long, an empty
object. What reaches validation this way is what a careless client sends.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.pki import ClusterPki
from kapi.auth.service_account_tokens import ServiceAccountTokenIssuer
from kapi.client.in_process import InProcessTransport
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig
from kapi.storage.memory import MemoryStore

_SAMPLES = Path(__file__).parent / "samples"
_ADMIN = UserInfo("admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
_NAMESPACE = "contract"
_ANSWER_WITHIN_S = 10
_EXAMPLES = 4000
_BUDGET_S = 18.0

_PATCHES = {
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
}
_ACCEPTS = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "*/*",
    "",
    "text/html;q=x",
]
# Streams to kubelets and proxied requests leave this server.
_NOT_ASKED = ("/proxy", "/exec", "/attach", "/portforward", "/log")


_WIDGET = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "sample"},
    "spec": {"size": 3, "parts": [{"name": "a", "weight": 0.5}], "free": {"x": [1]}},
}
_WIDGETS = yaml.safe_load("""
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                size: {type: integer, maximum: 9, default: 1}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                parts:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties: {name: {type: string}, weight: {type: number, minimum: 0}}
""")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    parameters: tuple[str, ...]
    sample: dict[str, Any] | None
    """A valid object of the kind, where there is one."""


class _Incidents(logging.Handler):
    """The errors of the server itself, with their traces."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(logging.Formatter().format(record))


class Fuzzed:
    """A server in this process, and the loop that it lives in."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.incidents = _Incidents()
        self.runner.run(self._start(folder))
        logging.getLogger("kapi").addHandler(self.incidents)
        self.operations = self._operations()

    async def _start(self, folder: Path) -> None:
        issuer = ServiceAccountTokenIssuer(ClusterPki(folder).ensure_service_account_key())
        config = ApiServerConfig(
            lambda _lookup: UnionAuthenticator([]),
            cluster_authorizer,
            issuer,
            advertise_address="192.0.2.1",
        )
        self.server = ApiServer(MemoryStore(), config)
        await self.server.start()
        self.transport = InProcessTransport(self.server.app, _ADMIN)
        await self._create("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        accounts = f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts"
        await self._create(accounts, {"metadata": {"name": "default"}})
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await self._create(definitions, _WIDGETS)
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            while (await self.transport.request("GET", "/apis/example.com/v1")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _create(self, path: str, body: dict[str, Any]) -> None:
        answer = await self.transport.request(
            "POST",
            path,
            body=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        assert answer.status in (201, 409), answer

    def close(self) -> None:
        logging.getLogger("kapi").removeHandler(self.incidents)
        self.runner.run(self.server.stop())
        self.runner.close()

    def ask(
        self,
        method: str,
        path: str,
        params: dict[str, str],
        body: bytes,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        """The answer; of a watch, the beginning. Fails if there is none in time."""
        self.incidents.seen.clear()
        return self.runner.run(self._ask(method, path, params, body, headers))

    async def _ask(
        self,
        method: str,
        path: str,
        params: dict[str, str],
        body: bytes,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            if "watch" in params or "/watch/" in path:
                watching = self.transport.stream(method, path, params=params, headers=headers)
                async with watching as (status, _chunks):
                    return status, b""
            answer = await self.transport.request(
                method, path, params=params, body=body, headers=headers
            )
            return answer.status, answer.body

    def _operations(self) -> list[Operation]:
        status, raw = self.ask("GET", "/openapi/v2", {}, b"", {"accept": "application/json"})
        assert status == 200
        samples = _samples()
        found = []
        for path, item in json.loads(raw)["paths"].items():
            if any(word in path for word in _NOT_ASKED):
                continue
            shared = item.get("parameters", [])
            for method, operation in item.items():
                if method == "parameters":
                    continue
                named = [*shared, *operation.get("parameters", [])]
                queries = [one["name"] for one in named if one.get("in") == "query"]
                kind = operation.get("x-kubernetes-group-version-kind") or {}
                key = (kind.get("group", ""), kind.get("kind", ""))
                found.append(Operation(method.upper(), path, tuple(queries), samples.get(key)))
        assert len(found) > 400
        assert any("/widgets" in operation.path for operation in found)
        return found


def _samples() -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {("example.com", "Widget"): _WIDGET}
    for path in _SAMPLES.glob("*.yaml"):
        obj = yaml.safe_load(path.read_text())["valid"]
        group = str(obj.get("apiVersion", "v1")).rpartition("/")[0]
        found[group, str(obj.get("kind"))] = obj
    return found


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    made = Fuzzed(tmp_path_factory.mktemp("pki"))
    yield made
    made.close()


# Strange values ------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        ["", "x" * 300, "a.b/c", "-1", "1e400", "9" * 30, "100%", "٣", "\x00", "\ud83d\ude00",
         "2024-01-01T00:00:00Z", "0.1.2.3", "::1/129", "{{", "$(A)", "a b"]
    ),
)  # fmt: skip
_JUNK = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_NAMES = st.one_of(
    st.just("sample"),
    st.sampled_from(
        ["sample", "default", "kubernetes", "none", "system:node", "..", "a b", "%2e", "x" * 300]
    ),
)
_STRANGE_WORDS = st.sampled_from(
    ["", "0", "1", "-1", "true", "a=b", "a in (b", "!a", "x=y,", "é", "a/b", "x" * 200,
     "99999999999999999999", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"]
)  # fmt: skip
# What a parameter may be; the others take anything.
_GOOD_WORDS = {
    "dryRun": ["All"],
    "fieldValidation": ["Strict", "Warn", "Ignore"],
    "force": ["true", "false"],
    "gracePeriodSeconds": ["0", "1", "30"],
    "labelSelector": ["a=b", "a in (b,c),!d", "app"],
    "fieldSelector": ["metadata.name=sample", "metadata.namespace!=contract"],
    "limit": ["1", "2"],
    "orphanDependents": ["true"],
    "pretty": ["true"],
    "propagationPolicy": ["Background", "Foreground", "Orphan"],
    "resourceVersion": ["0", "1", "100000"],
    "resourceVersionMatch": ["Exact", "NotOlderThan"],
    "sendInitialEvents": ["true", "false"],
    "watch": ["true"],
}


@st.composite
def _parameters(draw: st.DrawFn, known: tuple[str, ...]) -> dict[str, str]:
    """Up to two of an operation's parameters, seldom with a value that makes no sense."""
    found = {}
    for name in draw(st.lists(st.sampled_from(known), max_size=2)) if known else ():
        good = _GOOD_WORDS.get(name)
        strange = good is None or draw(st.integers(0, 4)) == 0
        found[name] = draw(_STRANGE_WORDS if strange else st.sampled_from(good))
    return found


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside, the whole first."""
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*at, index))
    return found


def _replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[at[0]] = _replaced(value[at[0]], at[1:], new)
    return copied


@st.composite
def _spoilt(draw: st.DrawFn, sample: dict[str, Any]) -> Any:
    """The sample with up to three values replaced."""
    value: Any = sample
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        value = _replaced(value, draw(st.sampled_from(_places(value))), draw(_JUNK))
    return value


@st.composite
def _patch(draw: st.DrawFn, kind: str, sample: dict[str, Any]) -> Any:
    if kind != "application/json-patch+json":
        return draw(_spoilt(sample))
    places = ["/" + "/".join(map(str, at)) for at in _places(sample)]
    step = st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy", "none"]),
            "path": st.sampled_from([*places, "", "/", "/spec/-", "/metadata/labels/a~1b", "x"]),
        },
        optional={"value": _JUNK, "from": st.sampled_from(places)},
    )
    return draw(st.lists(step, max_size=4))


def _encoded(value: Any, *, as_yaml: bool) -> bytes:
    text = yaml.safe_dump(value) if as_yaml else json.dumps(value)
    return text.encode(errors="replace")


@st.composite
def _requests(
    draw: st.DrawFn, operations: list[Operation]
) -> tuple[str, str, dict[str, str], bytes, dict[str, str]]:
    asked = draw(st.sampled_from(operations))
    path = asked.path.replace(
        "{namespace}", draw(st.sampled_from([_NAMESPACE] * 6 + ["none", "A"]))
    )
    path = path.replace("{name}", draw(_NAMES))
    params = draw(_parameters(asked.parameters))
    usual = st.just("application/json")
    headers = {"accept": draw(usual | st.sampled_from(_ACCEPTS)), "user-agent": "fuzz"}
    if asked.method not in ("POST", "PUT", "PATCH", "DELETE"):
        return asked.method, path, params, b"", headers
    sample = asked.sample or {"metadata": {"name": "sample"}}
    if asked.method == "PATCH":
        kind = draw(st.sampled_from(sorted(_PATCHES)))
        value = draw(_patch(kind, sample))
    elif asked.method == "DELETE":
        kind = "application/json"
        value = draw(st.just({}) | _spoilt({"preconditions": {"uid": "u"}, "dryRun": ["All"]}))
    else:
        kind = draw(st.sampled_from(["application/json"] * 4 + ["application/yaml"]))
        value = draw(_spoilt(sample))
    body = _encoded(value, as_yaml=kind.endswith("yaml"))
    if draw(st.integers(0, 19)) == 0:
        body = draw(st.binary(max_size=40) | st.just(body[: len(body) // 2]))
        kind = draw(
            st.sampled_from([kind, "application/vnd.kubernetes.protobuf", "text/plain", ""])
        )
    return asked.method, path, params, body, {**headers, "content-type": kind}


def test_no_request_breaks_the_server(fuzzed: Fuzzed) -> None:
    ends = env.monotonic() + _BUDGET_S
    codes: dict[int, int] = {}

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(request=_requests(fuzzed.operations))
    def ask(request: tuple[str, str, dict[str, str], bytes, dict[str, str]]) -> None:
        if env.monotonic() > ends:
            return
        status, body = fuzzed.ask(*request)
        codes[status] = codes.get(status, 0) + 1
        assert not fuzzed.incidents.seen, f"{request}\n{fuzzed.incidents.seen[0]}"
        # Upstream answers 500 to some of what is the client's fault; it never lacks a reason.
        assert status <= 500, (request, status, body)
        if status == 500 and request[4]["accept"] == "application/json":
            assert json.loads(body)["message"], request

    ask()
    assert {200, 201, 404, 422} <= set(codes), codes


@pytest.mark.parametrize(
    "path", ["/", "/api/", "//api/v1", "/apis//v1", "/api/v1/%", "/é", "/api/v1/pods/"]
)
def test_strange_paths(fuzzed: Fuzzed, path: str) -> None:
    status, _body = fuzzed.ask("GET", path, {}, b"", {"accept": "application/json"})
    assert status < 500
    assert not fuzzed.incidents.seen
