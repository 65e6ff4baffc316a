"""What the server serves, in both discovery forms, derived from the rows of the table.

Source of the documents' shape: apidiscovery.k8s.io/v2 and metav1 APIResourceList.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence

import orjson

from kapi.api.object import Object
from kapi.registry.resource import Resource, Subresource, version_rank

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# Where a client sees groups first; kubectl takes the first group that has a clashing name.
_GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)


def _group_rank(group: str) -> tuple[int, str]:
    known = group in _GROUP_ORDER
    return (_GROUP_ORDER.index(group) if known else len(_GROUP_ORDER), group)


class Discovery:
    """The discovery documents of one set of rows; the aggregated ones are encoded once."""

    def __init__(self, resources: Sequence[Resource], server_address: str) -> None:
        self._server_address = server_address
        self._builtin = tuple(resources)
        self.serve(())

    def serve(self, custom: Iterable[Resource]) -> None:
        """Show these rows of custom kinds beside the built-in ones, and no others."""
        groups: dict[str, dict[str, list[Resource]]] = {}
        for row in (*self._builtin, *custom):
            groups.setdefault(row.group, {}).setdefault(row.version, []).append(row)
        self._groups = {
            group: {
                version: sorted(rows, key=lambda row: row.plural)
                for version, rows in sorted(
                    groups[group].items(), key=lambda item: version_rank(item[0])
                )
            }
            for group in sorted(groups, key=_group_rank)
        }
        self._encoded: dict[bool, bytes] = {}

    def has_group(self, group: str) -> bool:
        return group in self._groups

    def has_group_version(self, group: str, version: str) -> bool:
        return version in self._groups.get(group, {})

    def group_versions(self) -> list[tuple[str, str]]:
        return [(group, version) for group, rows in self._groups.items() for version in rows]

    def rows(self, group: str, version: str) -> list[Resource]:
        return self._groups[group][version]

    # Aggregated --------------------------------------------------------------------------------

    def aggregated_core(self) -> bytes:
        return self._aggregated_once(core=True)

    def aggregated_groups(self) -> bytes:
        return self._aggregated_once(core=False)

    def _aggregated_once(self, *, core: bool) -> bytes:
        found = self._encoded.get(core)
        if found is None:
            groups = [group for group in self._groups if bool(group) != core]
            found = self._encoded[core] = orjson.dumps(self._aggregated(groups))
        return found

    def _aggregated(self, groups: list[str]) -> Object:
        items = []
        for group in groups:
            if group not in self._groups:
                continue
            versions = [
                {
                    "version": version,
                    "resources": [_aggregated_resource(row) for row in rows],
                    "freshness": "Current",
                }
                for version, rows in self._groups[group].items()
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": items,
        }

    # Legacy ------------------------------------------------------------------------------------

    def api_versions(self) -> Object:
        return {
            "kind": "APIVersions",
            "versions": list(self._groups.get("", {})),
            "serverAddressByClientCIDRs": [
                {"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address}
            ],
        }

    def group_list(self) -> Object:
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [self._group_body(group) for group in self._groups if group],
        }

    def group(self, group: str) -> Object:
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group_body(group)}

    def _group_body(self, group: str) -> Object:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version}
            for version in self._groups[group]
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def resource_list(self, group: str, version: str) -> Object:
        rows = []
        for row in self._groups[group][version]:
            rows.append(_legacy_resource(row))
            items = row.subresources if row.is_custom else _sorted(row.subresources)
            rows += [_legacy_subresource(row, item) for item in items]
        document: Object = {"kind": "APIResourceList"}
        if group:
            document["apiVersion"] = "v1"
        document["groupVersion"] = f"{group}/{version}" if group else version
        document["resources"] = rows
        return document


def _sorted(subresources: Sequence[Subresource]) -> list[Subresource]:
    return sorted(subresources, key=lambda item: item.name)


def _aggregated_resource(row: Resource) -> Object:
    found: Object = {
        "resource": row.plural,
        "responseKind": {"group": "", "version": "", "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular or row.kind.lower(),
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        found["shortNames"] = list(row.short_names)
    if row.categories:
        found["categories"] = list(row.categories)
    if row.subresources:
        found["subresources"] = [
            {
                "subresource": item.name,
                "responseKind": _response_kind(row, item),
                "verbs": sorted(item.verbs),
            }
            for item in _sorted(row.subresources)
        ]
    return found


def _response_kind(row: Resource, item: Subresource) -> Object:
    if item.kind is None:
        return {"group": "", "version": "", "kind": row.kind}
    same = (item.kind.group, item.kind.version) == (row.group, row.version)
    return {
        "group": "" if same else item.kind.group,
        "version": "" if same else item.kind.version,
        "kind": item.kind.kind,
    }


def _legacy_resource(row: Resource) -> Object:
    found: Object = {
        "name": row.plural,
        "singularName": row.singular or row.kind.lower(),
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs) if row.is_custom else sorted(row.verbs),
    }
    if row.short_names:
        found["shortNames"] = list(row.short_names)
    if row.categories:
        found["categories"] = list(row.categories)
    # What is only answered, or computed like the component statuses, is not stored.
    if "create" in row.verbs and not row.create_only:
        found["storageVersionHash"] = storage_version_hash(row)
    return found


def storage_version_hash(row: Resource) -> str:
    """The first eight bytes of the SHA-256 of group/version/kind, as upstream computes it."""
    stored = row.storage_version or row.gvk
    text = f"{stored.group}/{stored.version}/{stored.kind}"
    return b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _legacy_subresource(row: Resource, item: Subresource) -> Object:
    found: Object = {
        "name": f"{row.plural}/{item.name}",
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": item.kind.kind if item.kind else row.kind,
        "verbs": sorted(item.verbs),
    }
    if item.kind and (item.kind.group, item.kind.version) != (row.group, row.version):
        found["group"], found["version"] = item.kind.group, item.kind.version
    return found
