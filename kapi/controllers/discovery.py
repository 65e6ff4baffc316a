"""Which resources the server has, for the controllers that treat all of them alike."""

from dataclasses import dataclass

from kapi.api.errors import ApiError
from kapi.api.object import Object, split_api_version
from kapi.client.client import Client, ResourceRef

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
)


@dataclass(frozen=True, slots=True)
class ServedResource:
    """A resource in the version its group prefers, with its verbs."""

    ref: ResourceRef
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovered:
    """`failures` names the group versions that could not be asked, with why."""

    resources: tuple[ServedResource, ...]
    failures: dict[str, str]

    def with_verbs(self, *verbs: str) -> list[ResourceRef]:
        return [served.ref for served in self.resources if served.verbs.issuperset(verbs)]


async def discover(client: Client) -> Discovered:
    """Preferred versions of all resources. Raises ApiError or ConnectionError only if the server
    cannot be asked at all; a group that fails is reported in the answer.
    """
    resources: list[ServedResource] = []
    failures: dict[str, str] = {}
    for path in ("/api", "/apis"):
        found = await client.request("GET", path, accept=_AGGREGATED)
        if found.get("kind") == "APIGroupDiscoveryList":
            _read_aggregated(found, resources, failures)
        else:
            await _read_each(client, found, resources, failures)
    return Discovered(tuple(resources), failures)


def _read_aggregated(
    found: Object, resources: list[ServedResource], failures: dict[str, str]
) -> None:
    for group in found.get("items") or ():
        name = (group.get("metadata") or {}).get("name") or ""
        seen: set[str] = set()
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                failures[_group_version(name, version["version"])] = "stale group version"
            for entry in version.get("resources") or ():
                if entry["resource"] in seen:
                    continue
                seen.add(entry["resource"])
                ref = ResourceRef(
                    name,
                    version["version"],
                    entry["resource"],
                    (entry.get("responseKind") or {}).get("kind", ""),
                    namespaced=entry.get("scope") == "Namespaced",
                )
                resources.append(ServedResource(ref, frozenset(entry.get("verbs") or ())))


async def _read_each(
    client: Client, found: Object, resources: list[ServedResource], failures: dict[str, str]
) -> None:
    """Servers without aggregated discovery: one question per group, for its preferred version."""
    if found.get("kind") == "APIVersions":
        versions = list(found.get("versions") or ())[:1]
    else:
        versions = [g["preferredVersion"]["groupVersion"] for g in found.get("groups") or ()]
    for group_version in versions:
        root = "/apis" if "/" in group_version else "/api"
        try:
            listed = await client.request("GET", f"{root}/{group_version}")
        except ApiError as error:
            failures[group_version] = str(error)
            continue
        group, version = split_api_version(group_version)
        for entry in listed.get("resources") or ():
            if "/" not in entry["name"]:
                ref = ResourceRef(
                    group, version, entry["name"], entry["kind"], namespaced=entry["namespaced"]
                )
                resources.append(ServedResource(ref, frozenset(entry.get("verbs") or ())))


def _group_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
