"""What a path means: group, version, namespace, resource, name, and the verb authorization sees.

Source: k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`.
"""

from dataclasses import dataclass

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A path taken apart. `rest` is what follows the subresource (proxy paths)."""

    is_resource: bool
    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    method_on_collection: bool = False
    """No name in the path: a PUT or PATCH has nothing to work on."""

    @property
    def qualified(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def parse(method: str, path: str, query: dict[str, list[str]]) -> RequestInfo:
    """Read a request line. Paths outside `/api` and `/apis` are not about resources."""
    plain = RequestInfo(False, method.lower(), path)
    trailing = path.endswith("/")
    parts = path[1:].rstrip("/").split("/") if path.startswith("/") else []
    if not parts or parts[0] not in ("api", "apis"):
        return plain
    if parts[0] == "api":
        if len(parts) < 3:
            return plain
        group, version, parts = "", parts[1], parts[2:]
    else:
        if len(parts) < 4:
            return plain
        group, version, parts = parts[1], parts[2], parts[3:]
    if not version or any(part in ("", ".", "..") for part in parts[:3]):
        return plain
    # Other methods have no verb; only who may do everything may use them, through a proxy.
    verb = _VERBS.get(method, "")
    legacy_watch = parts[0] == "watch" and len(parts) > 1
    if legacy_watch:
        verb, parts = "watch", parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    rest = "/".join(parts[3:])
    if rest and trailing:
        rest += "/"
    if legacy_watch and name:
        return RequestInfo(
            True, "watch", path, group, version, namespace, resource, name, "", "", True
        )
    if not name:
        verb = _collection_verb(verb, query)
        name = _selected_name(verb, query)
        return RequestInfo(
            True, verb, path, group, version, namespace, resource, name, "", "", True
        )
    return RequestInfo(
        True, verb, path, group, version, namespace, resource, name, subresource, rest
    )


def _collection_verb(verb: str, query: dict[str, list[str]]) -> str:
    if verb == "get":
        watch = query.get("watch", ["false"])[0].lower()
        return "list" if watch in ("false", "0") else "watch"
    return "deletecollection" if verb == "delete" else verb


def _selected_name(verb: str, query: dict[str, list[str]]) -> str:
    """A list or watch for one name is authorized as if it named the object in its path.

    Of a repeated parameter only the first counts, as for the verb that runs afterwards: judging
    another one would let a rule for one name open the whole collection.
    """
    if verb not in ("list", "watch"):
        return ""
    for term in query.get("fieldSelector", [""])[0].split(","):
        field, separator, value = term.partition("=")
        if field == "metadata.name" and separator and value:
            return value.lstrip("=")
    return ""
