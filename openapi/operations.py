"""The operations that follow from a served resource, before they are spelled as v2 or v3.

Operation ids, actions and media types are those of upstream (apiserver `pkg/endpoints/installer`
and its `openapi` package), so that generated clients keep their method names.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kapi.api.object import GroupVersionKind
from openapi.definitions import META, Definitions
from openapi.parameters import (
    BY_ACTION,
    BY_CONNECT,
    PARAMETERS,
    PROXY_PATH,
    PROXY_PATH_IN_PATH,
    Parameter,
)
from openapi.resource import ServedResource, ServedSubresource, gvk_of

JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", STRATEGIC_MERGE_PATCH)
_APPLY = "application/apply-patch+yaml"

_METHODS = {
    "get": "get",
    "list": "get",
    "create": "post",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "delete",
}
_ACTIONS = {"create": "post", "update": "put"}
_ID_VERBS = {"get": "read", "update": "replace", "deletecollection": "delete"}
_COLLECTION_VERBS = ("list", "create", "deletecollection")
_ITEM_VERBS = ("get", "update", "patch", "delete")
# Kinds whose storage answers a DELETE with the object itself (`ReturnDeletedObject`).
_RETURNS_DELETED = frozenset(
    {
        *("CSIDriver", "CSINode", "DeviceClass", "PersistentVolume", "PersistentVolumeClaim"),
        *("Pod", "PodTemplate", "ResourceClaim", "ResourceClaimTemplate", "ResourceQuota"),
        *("ResourceSlice", "Service", "ServiceAccount", "StorageClass", "VolumeAttachment"),
        "VolumeAttributesClass",
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. Bodies and answers are definition names; empty means a string."""

    method: str
    action: str
    operation_id: str
    tag: str
    gvk: GroupVersionKind
    parameters: tuple[Parameter, ...]
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    responses: tuple[tuple[int, str], ...]
    body: str = ""


@dataclass(frozen=True, slots=True)
class PathOperations:
    """A path with its path parameters and operations."""

    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]


def group_version_path(group: str, version: str) -> str:
    """`api/v1`, `apis/apps/v1`: the key of the v3 index, and the path without its slashes."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[.-]", text) if part)


def tag_of(group: str, version: str) -> str:
    """`core_v1`: the operation's tag."""
    return f"{_bare(group).replace('.', '_') or 'core'}_{version}"


def _bare(group: str) -> str:
    return group.removesuffix(".k8s.io")


def id_part(group: str, version: str) -> str:
    """`RbacAuthorizationV1`: the group version inside an operation id."""
    return group_id_part(group) + _camel(version)


def group_id_part(group: str) -> str:
    """`RbacAuthorization`: the group inside an operation id."""
    return _camel(_bare(group) or "core")


def definition_name(definitions: Definitions, gvk: GroupVersionKind) -> str:
    """The definition of a kind; custom kinds are named by their group spelled backwards."""
    known = definitions.kinds.get(gvk)
    if known is not None:
        return known
    return ".".join([*reversed(gvk.group.split(".")), gvk.version, gvk.kind])


def list_kind(gvk: GroupVersionKind) -> GroupVersionKind:
    return replace(gvk, kind=f"{gvk.kind}List")


class _ResourceOperations:
    """Builds the paths of one resource."""

    def __init__(self, resource: ServedResource, definitions: Definitions) -> None:
        self._resource = resource
        self._definitions = definitions
        self._gvk = gvk_of(resource)
        self._builtin = self._gvk in definitions.kinds
        self._root = f"/{group_version_path(resource.group, resource.version)}"
        self._id = id_part(resource.group, resource.version)
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        self._collection = f"{self._root}{scope}/{resource.plural}"
        self._item = f"{self._collection}/{{name}}"

    def paths(self) -> Iterator[PathOperations]:
        resource = self._resource
        scoped = "Namespaced" if resource.namespaced else ""
        yield self._path(
            self._collection,
            [self._store(verb, scoped) for verb in _COLLECTION_VERBS if verb in resource.verbs],
        )
        if resource.namespaced and "list" in resource.verbs:
            everywhere = self._store("list", "", suffix="ForAllNamespaces")
            yield self._path(f"{self._root}/{resource.plural}", [everywhere])
        yield self._path(
            self._item,
            [self._store(verb, scoped) for verb in _ITEM_VERBS if verb in resource.verbs],
        )
        for subresource in resource.subresources:
            yield from self._subresource(subresource, scoped)

    def _path(self, path: str, operations: list[Operation]) -> PathOperations:
        in_path = sorted(re.findall(r"{(name|namespace)}", path))
        parameters = [PARAMETERS[name] for name in (*in_path, "pretty")]
        if path.endswith("/{path}"):
            parameters.insert(len(in_path), PROXY_PATH_IN_PATH)
        return PathOperations(path, tuple(parameters), tuple(operations))

    def _store(
        self,
        verb: str,
        scoped: str,
        *,
        suffix: str = "",
        kind: GroupVersionKind | None = None,
    ) -> Operation:
        gvk = kind or self._gvk
        action = _ACTIONS.get(verb, verb)
        collection = "Collection" if verb == "deletecollection" else ""
        own = definition_name(self._definitions, gvk)
        produces: tuple[str, ...] = (JSON, YAML, PROTOBUF) if self._builtin else (JSON, YAML)
        if verb == "list":
            produces += tuple(f"{media};stream=watch" for media in produces if media != YAML)
        return Operation(
            method=_METHODS[verb],
            action=action,
            operation_id=(
                f"{_ID_VERBS.get(verb, verb)}{self._id}{collection}{scoped}"
                f"{self._resource.kind}{suffix}"
            ),
            tag=tag_of(self._resource.group, self._resource.version),
            gvk=gvk,
            parameters=tuple(PARAMETERS[name] for name in BY_ACTION[action]),
            consumes=self._consumes(verb),
            produces=produces,
            responses=self._responses(verb, gvk),
            body=_body(verb, own),
        )

    def _consumes(self, verb: str) -> tuple[str, ...]:
        if verb == "patch":
            # A custom kind has no strategic merge; kubectl chooses its patch by this list.
            return (*_PATCHES, _APPLY) if self._builtin else (*_PATCHES[:2], _APPLY)
        return ("*/*",) if self._builtin else (JSON, YAML)

    def _responses(self, verb: str, gvk: GroupVersionKind) -> tuple[tuple[int, str], ...]:
        own = definition_name(self._definitions, gvk)
        status = f"{META}Status"
        match verb:
            case "create":
                return ((200, own), (201, own), (202, own))
            case "update" | "patch":
                return ((200, own), (201, own))
            case "delete":
                answer = own if self._builtin and gvk.kind in _RETURNS_DELETED else status
                return ((200, answer), (202, answer))
            case "deletecollection":
                return ((200, status),)
            case "list":
                return ((200, definition_name(self._definitions, list_kind(gvk))),)
        return ((200, own),)

    def _subresource(self, subresource: ServedSubresource, scoped: str) -> Iterator[PathOperations]:
        path = f"{self._item}/{subresource.name}"
        suffix = _camel(subresource.name)
        if subresource.name == "log":
            log = self._store("get", scoped, suffix=suffix)
            parameters = tuple(PARAMETERS[name] for name in BY_CONNECT["log"])
            produces = ("text/plain", *log.produces)
            log = replace(log, parameters=parameters, produces=produces, responses=((200, ""),))
            yield self._path(path, [log])
        elif subresource.name in (*BY_CONNECT, "proxy"):
            yield self._path(path, self._connect(subresource, scoped, suffix))
            if subresource.name == "proxy":
                below = self._connect(subresource, scoped, f"{suffix}WithPath")
                yield self._path(f"{path}/{{path}}", below)
        else:
            verbs = (verb for verb in ("create", *_ITEM_VERBS) if verb in subresource.verbs)
            operations = [
                self._store(verb, scoped, suffix=suffix, kind=subresource.kind) for verb in verbs
            ]
            yield self._path(path, operations)

    def _connect(self, subresource: ServedSubresource, scoped: str, suffix: str) -> list[Operation]:
        proxy = subresource.name == "proxy"
        methods = [_METHODS[verb] for verb in subresource.verbs if verb in _METHODS]
        if proxy:
            methods += ["head", "options"]
            parameters: tuple[Parameter, ...] = (PROXY_PATH,)
            options = f"{self._resource.kind}ProxyOptions"
        else:
            parameters = tuple(PARAMETERS[name] for name in BY_CONNECT[subresource.name])
            named = {"portforward": "PortForward"}.get(subresource.name, _camel(subresource.name))
            options = f"{self._resource.kind}{named}Options"
        return [
            Operation(
                method=method,
                action="connect",
                operation_id=(
                    f"connect{self._id}{method.capitalize()}{scoped}{self._resource.kind}{suffix}"
                ),
                tag=tag_of(self._resource.group, self._resource.version),
                gvk=replace(self._gvk, kind=options),
                parameters=parameters,
                consumes=("*/*",),
                produces=("*/*",),
                responses=((200, ""),),
            )
            for method in sorted(set(methods))
        ]


def _body(verb: str, own: str) -> str:
    match verb:
        case "create" | "update":
            return own
        case "patch":
            return f"{META}Patch"
        case "delete" | "deletecollection":
            return f"{META}DeleteOptions"
    return ""


def resource_paths(
    resources: Iterable[ServedResource], definitions: Definitions
) -> list[PathOperations]:
    """Every path of the resources, sorted; paths without operations are left out."""
    found = [
        path
        for resource in resources
        for path in _ResourceOperations(resource, definitions).paths()
        if path.operations
    ]
    return sorted(found, key=lambda item: item.path)


def definitions_used(paths: Iterable[PathOperations]) -> set[str]:
    """The definitions that the operations name; the roots of what a document must contain."""
    used = {
        name
        for path in paths
        for operation in path.operations
        for name in (operation.body, *(answer for _, answer in operation.responses))
    }
    return used - {""}
