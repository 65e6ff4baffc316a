"""Rows of the table from a CustomResourceDefinition: one per served version.

All versions share one set of keys. Objects are stored in the storage version; the conversion
strategy None changes their apiVersion and nothing else. Reading costs nothing extra as long as
every stored object was written under the very schema that serves it, which is so while the
definition is as it was first created; afterwards each object read is pruned and defaulted anew.
"""

import asyncio
from collections.abc import Callable

from kapi.api.object import GroupVersionKind, Object, metadata
from kapi.api.schema import KindSchema, structural_kind_schema
from kapi.registry.apiextensions.conditions import is_terminating
from kapi.registry.custom.json_path import JsonPath
from kapi.registry.custom.strategy import CustomStatusStrategy, CustomStrategy, VersionFacts
from kapi.registry.resource import Resource, ScaleFacts, Subresource, version_rank
from kapi.registry.subresources import SCALE, STATUS_VERBS

# In the order in which upstream lists them.
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


def custom_rows(definition: Object) -> tuple[Resource, ...]:
    """The rows of a definition whose names are accepted, the preferred version first."""
    spec = definition["spec"]
    storage = next(version for version in spec["versions"] if version["storage"])
    by_webhook = (spec.get("conversion") or {}).get("strategy") == "Webhook"
    retired = asyncio.Event()
    return tuple(
        _row(definition, version, storage["name"], retired)
        for version in spec["versions"]
        if version["served"] and (version["storage"] or not by_webhook)
    )


def _row(definition: Object, version: Object, storage: str, retired: asyncio.Event) -> Resource:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    facts = version_facts(version, terminating=is_terminating(definition))
    strategy = CustomStrategy(facts)
    gvk = GroupVersionKind(spec["group"], version["name"], names["kind"])
    stored = GroupVersionKind(spec["group"], storage, names["kind"])
    schema = structural_kind_schema(
        gvk.group, gvk.version, gvk.kind, facts.schema, status_is_separate=facts.has_status
    )
    unchanged = int(metadata(definition).get("generation") or 1) == 1
    return Resource(
        gvk.group,
        gvk.version,
        gvk.kind,
        names["plural"],
        spec["scope"] == "Namespaced",
        strategy,
        names.get("singular") or "",
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        verbs=_VERBS,
        subresources=_subresources(facts),
        storage_version=stored,
        to_storage=None if gvk == stored else _renamed(stored.api_version),
        from_storage=None if gvk == stored and unchanged else _read_as(gvk, schema),
        deprecation=_deprecation(gvk, version, spec["versions"]),
        schema=schema,
        openapi_schema=facts.schema,
        retired=retired,
        listed_as=names.get("listKind") or "",
    )


def version_facts(version: Object, *, terminating: bool = False) -> VersionFacts:
    """What `spec.versions[]` says, in the form strategies want."""
    subresources = version.get("subresources") or {}
    return VersionFacts(
        (version.get("schema") or {}).get("openAPIV3Schema"),
        "status" in subresources,
        subresources.get("scale"),
        tuple(version.get("additionalPrinterColumns") or ()),
        tuple(field["jsonPath"] for field in version.get("selectableFields") or ()),
        terminating,
    )


def _subresources(facts: VersionFacts) -> tuple[Subresource, ...]:
    found = []
    if facts.has_status:
        strategy = CustomStatusStrategy(facts)
        found.append(Subresource("status", "store", STATUS_VERBS, strategy=strategy))
    if facts.scale:
        scale = ScaleFacts(
            _selector(facts.scale.get("labelSelectorPath") or ""),
            facts.scale["specReplicasPath"],
            facts.scale["statusReplicasPath"],
            of_custom_kind=True,
        )
        found.append(Subresource("scale", "scale", STATUS_VERBS, kind=SCALE, scale=scale))
    return tuple(found)


def _selector(path: str) -> Callable[[Object], str]:
    """Scale's selector, which a custom object holds in its string form."""
    if not path:
        return lambda _obj: ""
    where = JsonPath(path)

    def selector(obj: Object) -> str:
        found = where.first(obj)
        return found if isinstance(found, str) else ""

    return selector


def _renamed(api_version: str) -> Callable[[Object], Object]:
    return lambda obj: {**obj, "apiVersion": api_version}


def _read_as(gvk: GroupVersionKind, schema: KindSchema) -> Callable[[Object], Object]:
    """Stored objects as this version shows them."""

    def read(obj: Object) -> Object:
        obj["apiVersion"] = gvk.api_version
        schema.decode(obj)
        schema.default(obj)
        return obj

    return read


def _deprecation(gvk: GroupVersionKind, version: Object, versions: list[Object]) -> str:
    """The warning of a deprecated version; a newer one is recommended if there is one."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    text = f"{gvk.api_version} {gvk.kind} is deprecated"
    better = [
        other["name"]
        for other in versions
        if other["served"]
        and not other.get("deprecated")
        and version_rank(other["name"]) < version_rank(gvk.version)
    ]
    if not better:
        return text
    return f"{text}; use {gvk.group}/{min(better, key=version_rank)} {gvk.kind}"
