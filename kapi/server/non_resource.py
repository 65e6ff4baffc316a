"""Everything that is not about a resource: discovery, OpenAPI, version, health, tokens' keys."""

import platform
from collections.abc import Awaitable, Callable, Iterable

import orjson
from prometheus_client import REGISTRY, generate_latest

from kapi import GIT_VERSION
from kapi.api import errors
from kapi.api.object import Object
from kapi.server.call import Api
from kapi.server.discovery import AGGREGATED, Discovery
from kapi.server.exchange import JSON, Exchange
from kapi.server.health import Health
from kapi.server.negotiation import YAML, Accepted, split_media_type
from kapi.server.openapi_documents import OpenApiDocuments, respond_cached
from kapi.server.printing import encode
from kapi.server.router import unknown_path, wrong_method

_TEXT = "text/plain; charset=utf-8"
_JWKS = "application/jwk-set+json"
_HEALTH = ("healthz", "livez", "readyz")


async def page_not_found(exchange: Exchange) -> None:
    await exchange.respond(404, b"404 page not found\n", _TEXT)


def version_info() -> Object:
    major, minor = GIT_VERSION.lstrip("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{_architecture()}",
    }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def wants_aggregated(accept: str) -> bool:
    """Does the client ask for the one-document form of discovery? Raises NotAcceptable."""
    plain = not accept.strip()
    for clause in accept.split(","):
        media, parameters = split_media_type(clause)
        if parameters.get("as") == "APIGroupDiscoveryList":
            if (
                media == JSON
                and parameters.get("g") == "apidiscovery.k8s.io"
                and parameters.get("v") == "v2"
            ):
                return True
            continue
        if media in (JSON, "*/*", "application/*", "application/yaml"):
            plain = True
            break
    if not plain:
        raise errors.NotAcceptable(
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf"
        )
    return False


async def _respond_document(
    exchange: Exchange, document: Object, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """A discovery document in the first of JSON and YAML that the client names."""
    for clause in exchange.header(b"accept").split(","):
        media, _parameters = split_media_type(clause)
        if media == YAML:
            body = encode(document, Accepted(YAML))
            await exchange.respond(200, body, YAML, headers)
            return
        if media in (JSON, "*/*", "application/*"):
            break
    await exchange.respond(200, orjson.dumps(document), JSON, headers)


class NonResourceHandler:
    """Answers by path; what no branch knows is a plain 404 page, as upstream's."""

    def __init__(
        self, api: Api, discovery: Discovery, documents: OpenApiDocuments, health: Health
    ) -> None:
        self._api, self._discovery = api, discovery
        self._documents, self._health = documents, health
        self._exact: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            "": self._root,
            "/api": self._api_root,
            "/apis": self._apis_root,
            "/version": self._version,
            "/metrics": self._metrics,
            "/openapi/v2": documents.serve_v2,
            "/openapi/v3": documents.serve_v3_root,
            "/.well-known/openid-configuration": self._openid_configuration,
            "/openid/v1/jwks": self._jwks,
        }

    async def serve(self, exchange: Exchange) -> None:
        path = exchange.path
        exact = self._exact.get(path.rstrip("/"))
        if exact is not None:
            if exchange.method not in ("GET", "HEAD"):
                raise wrong_method()
            await exact(exchange)
            return
        parts = path[1:].split("/")
        if parts[0] in _HEALTH:
            if len(parts) > 1 and not parts[1]:
                await page_not_found(exchange)
                return
            await self._health.serve(exchange, parts[0], "/".join(parts[1:]))
        elif parts[0] in ("api", "apis"):
            await self._legacy_discovery(exchange, [part for part in parts if part], parts)
        elif path.startswith("/openapi/v3/"):
            await self._documents.serve_v3(exchange, path.removeprefix("/openapi/v3/"))
        else:
            await page_not_found(exchange)

    async def _root(self, exchange: Exchange) -> None:
        paths = {path for path in self._exact if path} | {"/apis/", "/openapi/v3/"}
        for endpoint in _HEALTH:
            paths |= {f"/{endpoint}", *(f"/{endpoint}/{name}" for name in self._health.names)}
        for group, version in self._discovery.group_versions():
            paths.add(f"/apis/{group}/{version}" if group else f"/api/{version}")
            if group:
                paths.add(f"/apis/{group}")
        await exchange.respond_object(200, {"paths": sorted(paths)})

    async def _api_root(self, exchange: Exchange) -> None:
        await self._discovery_root(
            exchange, self._discovery.aggregated_core(), self._discovery.api_versions()
        )

    async def _apis_root(self, exchange: Exchange) -> None:
        await self._discovery_root(
            exchange, self._discovery.aggregated_groups(), self._discovery.group_list()
        )

    async def _discovery_root(self, exchange: Exchange, aggregated: bytes, plain: Object) -> None:
        if wants_aggregated(exchange.header(b"accept")):
            await respond_cached(exchange, aggregated, AGGREGATED)
        else:
            await _respond_document(exchange, plain, [(b"vary", b"Accept")])

    async def _legacy_discovery(self, exchange: Exchange, parts: list[str], raw: list[str]) -> None:
        discovery = self._discovery
        doubled = "" in raw[:-1]
        if parts[0] == "api" and len(parts) == 2 and not doubled:
            if not discovery.has_group_version("", parts[1]):
                raise unknown_path()
            document = discovery.resource_list("", parts[1])
        elif parts[0] == "apis" and len(parts) in (2, 3) and not doubled:
            if not discovery.has_group(parts[1]):
                await page_not_found(exchange)
                return
            if len(parts) == 2:
                document = discovery.group(parts[1])
            elif discovery.has_group_version(parts[1], parts[2]):
                document = discovery.resource_list(parts[1], parts[2])
            else:
                raise unknown_path()
        else:
            raise unknown_path()
        if exchange.method not in ("GET", "HEAD"):
            raise wrong_method()
        await _respond_document(exchange, document)

    async def _version(self, exchange: Exchange) -> None:
        await exchange.respond_object(200, version_info())

    async def _metrics(self, exchange: Exchange) -> None:
        await exchange.respond(200, generate_latest(REGISTRY), "text/plain; version=0.0.4")

    async def _openid_configuration(self, exchange: Exchange) -> None:
        issuer = self._api.config.token_issuer
        document = {
            "issuer": issuer.issuer,
            "jwks_uri": f"{issuer.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted(
                {str(key["alg"]) for key in issuer.jwks()["keys"]}
            ),
        }
        await exchange.respond_object(200, document)

    async def _jwks(self, exchange: Exchange) -> None:
        body = orjson.dumps(self._api.config.token_issuer.jwks())
        await exchange.respond(200, body, _JWKS)
