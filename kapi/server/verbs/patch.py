"""PATCH in its four forms.

Source: k8s.io/apiserver `pkg/endpoints/handlers/patch.go`. The three merging forms are built again
on a newer object when someone else wrote in between, unless the patch names a resourceVersion.
"""

from collections.abc import Callable
from typing import Any

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.decode import duplicate_fields, parse_json, parse_yaml
from kapi.api.go_format import go_value
from kapi.api.object import Object, metadata, split_api_version
from kapi.api.patch.apply import apply_patch
from kapi.api.patch.json_patch import apply_json_patch
from kapi.api.patch.merge_patch import apply_merge_patch
from kapi.api.patch.strategic_merge import apply_strategic_merge
from kapi.api.schema import KindSchema
from kapi.registry.strategy import RequestContext
from kapi.server.call import Call, invalid_options
from kapi.server.decoding import (
    apply_defaults,
    check_custom_kind,
    check_kind,
    decode_with,
    field_validation,
    judge_fields,
    yaml_duplicates,
)
from kapi.server.negotiation import split_media_type
from kapi.server.verbs.create import check_namespace
from kapi.server.verbs.respond import respond_written
from kapi.server.verbs.update import check_name

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_KNOWN = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def patch_type(call: Call) -> str:
    """The patch's media type. Raises UnsupportedMediaType with the list that kubectl reads."""
    media, _parameters = split_media_type(call.exchange.header(b"content-type"))
    if media not in _KNOWN:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join(_KNOWN)}"
        )
    return media


async def patch(call: Call) -> None:
    call.form()
    media = patch_type(call)
    force = call.exchange.flag("force")
    if media != APPLY_PATCH and "force" in call.exchange.query:
        problem = errors.forbidden("force", "may not be specified for non-apply patch")
        raise invalid_options("PATCH", problem)
    ctx = call.context()
    body = await call.exchange.body()
    if media == APPLY_PATCH:
        await _apply(call, ctx, body, force)
        return
    document = _parsed(media, body)
    ctx.retry_conflicts = not _names_version(media, document)
    patched = _patcher(call, media, document)
    duplicates = duplicate_fields(body)
    if media == JSON_PATCH:
        duplicates = [f"json patch {text}" for text in duplicates]

    async def build(old: Object) -> Object:
        try:
            return _finished(call, patched(old), duplicates)
        except _Undecodable as error:
            # Decoding dropped what it did not know; the complaint shows it.
            raise _undecodable(call, patched(old), document, str(error)) from error

    written = await call.store.update(ctx, call.name, build)
    await respond_written(call, 200, written)


def _parsed(media: str, body: bytes) -> Any:
    try:
        document = parse_json(body)
    except errors.BadRequest as error:
        raise errors.BadRequest(f"error decoding patch: {error.message}") from error
    if media == JSON_PATCH:
        return document
    if not isinstance(document, dict):
        names = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
        found = names.get(type(document), "null")
        raise errors.BadRequest(
            f"error decoding patch: json: cannot unmarshal {found} into Go value of type "
            "map[string]interface {}"
        )
    return document


def _names_version(media: str, document: Any) -> bool:
    if media == JSON_PATCH:
        return isinstance(document, list) and any(
            isinstance(step, dict) and step.get("path") == "/metadata/resourceVersion"
            for step in document
        )
    meta = document.get("metadata")
    return isinstance(meta, dict) and bool(meta.get("resourceVersion"))


def _patcher(call: Call, media: str, document: Any) -> Callable[[Object], Object]:
    """The function from the present object to the patched one."""
    if media == JSON_PATCH:
        return lambda old: apply_json_patch(old, document)
    if media == MERGE_PATCH:
        return lambda old: apply_merge_patch(old, document)
    schema = _schema(call)
    if schema is None or call.resource.is_custom:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}"
        )
    return lambda old: apply_strategic_merge(old, document, schema.root)


def _schema(call: Call) -> KindSchema | None:
    return call.resource.kind_schema()


class _Undecodable(Exception):
    """The patched object cannot be decoded, and why."""


def _finished(call: Call, new: Object, duplicates: list[str]) -> Object:
    """Decode the patched object as if it had been sent, so that it is checked and defaulted.

    Raises _Undecodable, and BadRequest for unknown fields where those are judged so.
    """
    kind = call.resource.gvk
    schema = _schema(call)
    try:
        if call.resource.is_custom:
            check_custom_kind(new, kind, orjson.dumps(new))
        else:
            check_kind(new, kind, b"")
        problems = decode_with(schema, new, kind)
    except errors.BadRequest as error:
        _handled, unknown, what = error.message.partition('no kind "')
        raise _Undecodable(unknown + what if unknown else error.message) from error
    mode = field_validation(call.exchange)
    if mode == "Strict" and (duplicates or problems):
        why = f"strict decoding error: {', '.join([*duplicates, *problems])}"
        raise _Undecodable(why)
    if mode != "Ignore":
        # One patch may be built several times; its warnings are not repeated (see Exchange.start).
        judge_fields(call.exchange, [*duplicates, *problems])
    apply_defaults(new, schema, call.strategy)
    check_name(call, new)
    return new


def _undecodable(call: Call, new: Object, document: Any, why: str) -> errors.Invalid:
    """422 for a patch whose result cannot be decoded, or not strictly.

    The value shown is the patched object, or for a strategic patch the patch itself as Go prints
    a map. Upstream names neither kind nor object here.
    """
    if call.exchange.header(b"content-type").startswith(STRATEGIC_MERGE_PATCH):
        shown = go_value(document)
    else:
        shown = orjson.dumps(as_go_orders(new, document)).decode()
    return errors.object_invalid("", "", "", [errors.invalid("patch", shown, why)])


_META_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


def as_go_orders(new: Any, document: Any) -> Any:
    """The object as Go's patch library writes it: maps that the patch enters are sorted."""
    if not isinstance(new, dict):
        return new
    entered = _entered_by(document)
    shown = {key: new[key] for key in sorted(new)}
    meta = shown.get("metadata")
    if isinstance(meta, dict):
        known = [key for key in _META_ORDER if key in meta]
        order = sorted(meta) if "metadata" in entered else [*known, *sorted(meta.keys() - known)]
        shown["metadata"] = {key: meta[key] for key in order}
    return shown


def _entered_by(document: Any) -> set[str]:
    """Top-level fields inside of which a merge or JSON patch changes something."""
    if isinstance(document, dict):
        return {key for key, value in document.items() if isinstance(value, dict)}
    paths = [str(step.get("path", "")) for step in document if isinstance(step, dict)]
    return {path.split("/")[1] for path in paths if path.count("/") > 1}


async def _apply(call: Call, ctx: RequestContext, body: bytes, force: bool) -> None:
    """Server-side apply: merges, keeps managedFields, and creates what does not exist."""
    manager = call.exchange.param("fieldManager")
    if not manager:
        problem = errors.required("fieldManager", "is required for apply patch")
        raise invalid_options("PATCH", problem)
    mode = field_validation(call.exchange)
    try:
        applied = parse_yaml(body)
    except errors.BadRequest as error:
        raise errors.BadRequest(f"error decoding YAML: {error.message}") from error
    if applied is None:
        applied = {}
    if not isinstance(applied, dict):
        names = {list: "array", str: "string", bool: "bool"}
        raise errors.BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot "
            f"unmarshal {names.get(type(applied), 'number')} into Go value of type "
            "map[string]interface {}"
        )
    repeated = yaml_duplicates(call.exchange, body)
    if repeated and mode == "Strict":
        raise errors.BadRequest(
            f"error strict decoding YAML: error converting YAML to JSON: {repeated[0]}"
        )
    if mode == "Warn":
        call.exchange.warnings.extend(repeated)
    schema = _schema(call)
    if schema is None:
        raise errors.NotBuilt(f"server-side apply for {call.resource.qualified} is not built")
    _check_applied(call, applied)
    ctx.managed_fields_done = True
    ctx.retry_conflicts = not metadata(applied).get("resourceVersion")

    def merged(live: Object | None) -> Object:
        new: Object = apply_patch(
            live,
            applied,
            manager=manager,
            force=force,
            schema=schema,
            now=env.timestamp(),
            subresource=call.store.subresource,
        )
        decode_with(schema, new, call.resource.gvk)
        apply_defaults(new, schema, call.strategy)
        return new

    async def build(old: Object) -> Object:
        return merged(old)

    try:
        written = await call.store.update(ctx, call.name, build)
        await respond_written(call, 200, written)
    except errors.NotFound:
        if call.subresource is not None:
            raise
        uid = metadata(applied).pop("uid", None)
        metadata(applied).pop("resourceVersion", None)
        if uid:
            problem = errors.invalid("metadata.uid", uid, "field is immutable")
            raise errors.object_invalid(
                call.resource.kind, call.resource.group, call.name, [problem, problem]
            ) from None
        new = merged(None)
        if not metadata(new).get("name"):
            check_name(call, new)
        written = await call.store.create(ctx, new)
        await respond_written(call, 201, written)


def _check_applied(call: Call, applied: Object) -> None:
    meta = metadata(applied)
    kind = call.resource.gvk
    if not applied.get("apiVersion") or not applied.get("kind"):
        group, version = split_api_version(str(applied.get("apiVersion") or ""))
        raise errors.BadRequest(
            f"invalid object type: {group}/{version}, Kind={applied.get('kind') or ''}"
        )
    if (applied["apiVersion"], applied["kind"]) != (kind.api_version, kind.kind):
        group, version = split_api_version(str(applied["apiVersion"]))
        named = f"{group}/{version}, Kind={applied['kind']}"
        raise errors.BadRequest(f"invalid object type: {named}")
    if meta.get("managedFields"):
        raise errors.BadRequest("metadata.managedFields must be nil")
    if meta.get("name") and meta["name"] != call.name:
        raise errors.BadRequest(
            f"the name of the object ({meta['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    check_namespace(call, applied)
