"""Registry credentials from pull secrets. Pure.

Upstream: pkg/credentialprovider/keyring.go: keys may be bare hosts or URLs with paths, and hosts
may hold wildcards per part.
"""

import base64
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import orjson

from kapi.api.object import Object
from kapi.kubelet.image_reference import DEFAULT_REGISTRY, ImageReference
from kapi.kubelet.runtime.interface import RegistryAuth

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def credentials_for(reference: ImageReference, secrets: Iterable[Object]) -> list[RegistryAuth]:
    """Everything that might open the image's registry; the longest path first."""
    place = reference.name
    if reference.registry == DEFAULT_REGISTRY and not place.startswith(DEFAULT_REGISTRY):
        place = f"{DEFAULT_REGISTRY}/{place}"
    found: list[tuple[str, RegistryAuth]] = []
    for secret in secrets:
        for server, entry in _entries(secret).items():
            bare = server.removeprefix("https://").removeprefix("http://").rstrip("/")
            bare = bare.removesuffix("/v1").removesuffix("/v2")
            auth = _auth(server, entry)
            if auth is not None and _matches(bare, place):
                found.append((bare, auth))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [auth for _, auth in found]


def _entries(secret: Object) -> dict[str, Any]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            found = dict(orjson.loads(base64.b64decode(data[".dockerconfigjson"]))["auths"])
        elif ".dockercfg" in data:
            found = dict(orjson.loads(base64.b64decode(data[".dockercfg"])))
        else:
            return {}
    except (ValueError, KeyError, TypeError):
        return {}
    return {server: entry for server, entry in found.items() if isinstance(entry, dict)}


def _auth(server: str, entry: dict[str, Any]) -> RegistryAuth | None:
    username, password = entry.get("username"), entry.get("password")
    if not username and entry.get("auth"):
        try:
            text = base64.b64decode(entry["auth"]).decode()
        except (ValueError, TypeError):
            return None
        username, _, password = text.partition(":")
    return RegistryAuth(username, password or "", server) if username else None


def _matches(pattern: str, place: str) -> bool:
    host, _, path = pattern.partition("/")
    place_host, _, place_path = place.partition("/")
    same = host in _DOCKER_HUB and place_host in _DOCKER_HUB
    parts, place_parts = host.split("."), place_host.split(".")
    same = same or (
        len(parts) == len(place_parts)
        and all(fnmatchcase(have, want) for want, have in zip(parts, place_parts))
    )
    return same and (not path or place_path == path or place_path.startswith(path))
