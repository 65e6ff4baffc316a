"""From a request body to an object: encoding, kind check, field validation, defaults.

Sources of order and texts: k8s.io/apiserver `pkg/endpoints/handlers/{create,update}.go` and
apimachinery `pkg/runtime/serializer`.
"""

import re
from typing import Any

import orjson

from kapi.api import errors
from kapi.api.decode import duplicate_fields, parse_json, parse_yaml, yaml_duplicate_keys
from kapi.api.object import GroupVersionKind, Object
from kapi.api.schema import KindSchema, kind_schema
from kapi.registry.strategy import Strategy
from kapi.server.exchange import Exchange
from kapi.server.negotiation import PROTOBUF, YAML, body_media_type
from openapi.protobuf import decode_envelope

_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
_GROUP_VERSION = re.compile(r"^[^/]*(/[^/]*)?$")
FIELD_VALIDATIONS = ("Ignore", "Strict", "Warn")


# Versions upstream can still read though it no longer serves them.
_RETIRED = {
    "apps/v1": ("apps/v1beta1", "apps/v1beta2", "extensions/v1beta1"),
    "events.k8s.io/v1": ("events.k8s.io/v1beta1",),
    "policy/v1": ("policy/v1beta1",),
    "discovery.k8s.io/v1": ("discovery.k8s.io/v1beta1",),
}
_META_KINDS = (("v1", "List"), ("v1", "Status"), ("v1", "DeleteOptions"))


def field_validation(exchange: Exchange) -> str:
    """The request's fieldValidation; Warn is the default. Raises Invalid for anything else."""
    value = exchange.param("fieldValidation") or "Warn"
    if value not in FIELD_VALIDATIONS:
        problem = errors.not_supported("fieldValidation", value, ["", *FIELD_VALIDATIONS])
        kinds = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
        raise errors.object_invalid(
            kinds.get(exchange.method, "CreateOptions"), "meta.k8s.io", "", [problem]
        )
    return value


def _excerpt(body: bytes) -> str:
    """How upstream shows an undecodable body: text if it looks like JSON, else hex."""
    if not body:
        return "<empty>"
    text = body.decode("utf-8", "replace")
    shown = text[:30] if text.startswith("{") else body[:30].hex()
    return f"{shown} ..." if len(body) > 30 else shown


def _unrecognized(gvk: GroupVersionKind, why: str, body: bytes) -> errors.BadRequest:
    return errors.BadRequest(
        f"the object provided is unrecognized (must be of type {gvk.kind}): "
        f"{why} ({_excerpt(body)})"
    )


_GO_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)


def parse_object(body: bytes, content_type: str, gvk: GroupVersionKind) -> Object:
    """The body as a dict with kind and apiVersion as sent. Raises BadRequest."""
    media = body_media_type(content_type)
    if media == PROTOBUF:
        try:
            _api_version, _kind, obj = decode_envelope(body)
        except errors.BadRequest as error:
            raise _unrecognized(gvk, error.message, body) from error
        return obj
    try:
        if media == YAML:
            value = parse_yaml(body)
        else:
            value = parse_json(body)
    except errors.BadRequest as error:
        prefix = "" if media == YAML else "couldn't get version/kind; json parse error: "
        why = error.message.removeprefix("error converting YAML to JSON: ")
        raise _unrecognized(gvk, prefix + why, body) from error
    if value is None:
        return {}
    _check_type_meta(value, gvk, body)
    found: Object = value
    return found


_JSON_NAMES = {
    list: "array", dict: "object", str: "string", bool: "bool", int: "number", float: "number",
}  # fmt: skip


def _check_type_meta(value: Any, gvk: GroupVersionKind, body: bytes) -> None:
    """Refuse what is no object, or one whose kind or version is no text, in Go's words."""
    if not isinstance(value, dict):
        found, into = value, f"Go value of type {_GO_TYPE_META}"
    else:
        wrong = [field for field in ("apiVersion", "kind") if not _is_text(value.get(field))]
        if not wrong:
            return
        found, into = value[wrong[0]], f"Go struct field .{wrong[0]} of type string"
    raise _unrecognized(
        gvk,
        "couldn't get version/kind; json parse error: json: cannot unmarshal "
        f"{_JSON_NAMES.get(type(found), 'value')} into {into}",
        body,
    )


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def check_kind(obj: Object, gvk: GroupVersionKind, body: bytes) -> None:
    """Fill missing kind and apiVersion; refuse others than the endpoint's own."""
    _check_type_meta(obj, gvk, body)
    api_version = obj.get("apiVersion") or gvk.api_version
    kind = obj.get("kind") or gvk.kind
    if not _GROUP_VERSION.match(api_version):
        raise _unrecognized(gvk, f"unexpected GroupVersion string: {api_version}", body)
    if kind == gvk.kind and api_version == gvk.api_version:
        obj["kind"], obj["apiVersion"] = kind, api_version
        return
    group, _, version = api_version.rpartition("/")
    handled = f'{kind} in version "{version}" cannot be handled as a {gvk.kind}'
    if kind == gvk.kind and api_version in _RETIRED.get(gvk.api_version, ()):
        raise errors.BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({gvk.api_version})"
        )
    known = (api_version, kind) in _META_KINDS
    if not known and kind_schema(group, version, kind) is None:
        raise errors.BadRequest(
            f'{handled}: no kind "{kind}" is registered for version "{api_version}" {_SCHEME}'
        )
    internal = f"{gvk.group.split('.')[0] or 'core'}.{gvk.kind}"
    raise errors.BadRequest(
        f"{handled}: converting ({version}.{kind}) to ({internal}): unknown conversion"
    )


def judge_fields(exchange: Exchange, problems: list[str], handled: str = "") -> None:
    """Deal with unknown and duplicate fields as fieldValidation asks; `handled` starts a 400."""
    if not problems:
        return
    mode = field_validation(exchange)
    if mode == "Strict":
        raise errors.BadRequest(f"{handled}strict decoding error: {', '.join(problems)}")
    if mode == "Warn":
        exchange.warnings.extend(problems)


def decode_with(schema: KindSchema | None, obj: Object, gvk: GroupVersionKind) -> list[str]:
    """Type-check and prune; BadRequest gets upstream's prefix that names the kind."""
    if schema is None:
        return []
    try:
        return schema.decode(obj)
    except errors.BadRequest as error:
        if "cannot be handled as" in error.message:
            raise
        raise errors.BadRequest(
            f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
            f"{error.message}"
        ) from error


def apply_defaults(obj: Object, schema: KindSchema | None, strategy: Strategy | None) -> None:
    if schema is not None:
        schema.default(obj)
    if strategy is not None:
        strategy.default(obj)


def check_custom_kind(obj: Object, gvk: GroupVersionKind, body: bytes) -> None:
    """The same for custom kinds, which no scheme knows and so cannot be guessed.

    Raises BadRequest, and Invalid where only the kind is another one.
    """
    _check_type_meta(obj, gvk, body)
    for field, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not obj.get(field):
            sent = body.decode("utf-8", "replace")
            raise errors.BadRequest(
                f"the object provided is unrecognized (must be of type {gvk.kind}): Object "
                f"'{shown}' is missing in '{sent}' ({_excerpt(body)})"
            )
    if obj["apiVersion"] != gvk.api_version:
        raise errors.BadRequest(
            f"the API version in the data ({obj['apiVersion']}) does not match the expected API "
            f"version ({gvk.api_version})"
        )
    if obj["kind"] != gvk.kind:
        meta = obj.get("metadata")
        name = str(meta.get("name") or "") if isinstance(meta, dict) else ""
        problem = errors.invalid("kind", obj["kind"], f"must be {gvk.kind}")
        raise errors.object_invalid(obj["kind"], gvk.group, name, [problem])


async def read_object(
    exchange: Exchange,
    gvk: GroupVersionKind,
    strategy: Strategy | None,
    *,
    also: tuple[str, ...] = (),
    custom: KindSchema | None = None,
) -> Object:
    """The request's body as a defaulted object of the given kind.

    `also` names older apiVersions of the same shape that are read as this one; `custom` is the
    schema of a custom kind.
    """
    mode = field_validation(exchange)
    body = await exchange.body()
    content_type = exchange.header(b"content-type")
    if custom is not None and body_media_type(content_type) == PROTOBUF:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml"
        )
    obj = parse_object(body, content_type, gvk)
    if obj.get("apiVersion") in also:
        obj["apiVersion"] = gvk.api_version
    schema = custom or kind_schema(gvk.group, gvk.version, gvk.kind)
    if custom is None:
        check_kind(obj, gvk, body)
    if custom is not None and obj.get("apiVersion", gvk.api_version) != gvk.api_version:
        # A version without a schema: nothing in it is known.
        known = ("apiVersion", "kind", "metadata")
        problems = [f'unknown field "{field}"' for field in sorted(obj) if field not in known]
    else:
        problems = decode_with(schema, obj, gvk)
    if mode != "Ignore" and body_media_type(content_type) != PROTOBUF:
        problems = problems + _duplicates(exchange, body, content_type)
    handled = f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
    judge_fields(exchange, problems, handled)
    if custom is not None:
        check_custom_kind(obj, gvk, body)
    apply_defaults(obj, schema, strategy)
    return obj


def _duplicates(exchange: Exchange, body: bytes, content_type: str) -> list[str]:
    """Duplicate keys, which the fast JSON reader does not see."""
    if body_media_type(content_type) == YAML:
        return yaml_duplicates(exchange, body)
    return duplicate_fields(body)


def yaml_duplicates(exchange: Exchange, body: bytes) -> list[str]:
    """Repeated keys in YAML; a strict refusal shows them as one error, as go-yaml does."""
    found = yaml_duplicate_keys(body)
    if found and field_validation(exchange) == "Strict":
        return ["\n  ".join(["yaml: unmarshal errors:", *found])]
    return found


def private_copy(obj: Object) -> Object:
    """A deep copy; a JSON round trip is the fastest for plain objects."""
    copied: Object = orjson.loads(orjson.dumps(obj))
    return copied
