"""The scale subresource: autoscaling/v1 Scale as a view of the object."""

from datetime import datetime
from typing import Any

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.decode import parse_yaml
from kapi.api.object import Object, metadata, name_of, namespace_of, split_api_version
from kapi.api.patch.apply import apply_patch
from kapi.api.patch.json_patch import apply_json_patch
from kapi.api.patch.merge_patch import apply_merge_patch
from kapi.api.patch.strategic_merge import apply_strategic_merge
from kapi.api.schema import kind_schema
from kapi.registry.resource import ScaleFacts
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age
from kapi.server.call import Call, invalid_options
from kapi.server.decoding import check_kind, decode_with, read_object
from kapi.server.printing import render_object
from kapi.server.verbs.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, patch_type


class _ScaleColumns(Strategy):
    """The table form of a Scale, whatever it scales."""

    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", about="=api.autoscaling.v1.ScaleSpec.replicas"),
        Column("Available", "integer", about="=api.autoscaling.v1.ScaleStatus.replicas"),
        AGE_COLUMN,
    )

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        desired, available = obj["spec"].get("replicas", 0), obj["status"].get("replicas", 0)
        return [name_of(obj), desired, available, age(obj, now)]


_COLUMNS, _PLAIN = _ScaleColumns(), Strategy()


def _facts(call: Call) -> ScaleFacts:
    assert call.subresource is not None and call.subresource.scale is not None
    return call.subresource.scale


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.strip(".").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _put(obj: Object, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    target = obj
    for part in parents:
        target = target.setdefault(part, {})
    target[last] = value


def _drop(obj: Object, path: str) -> None:
    parent, _, last = path.strip(".").rpartition(".")
    holder = _at(obj, parent) if parent else obj
    if isinstance(holder, dict):
        holder.pop(last, None)


def scale_of(call: Call, obj: Object) -> Object:
    """The Scale that shows this object."""
    facts, meta = _facts(call), metadata(obj)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": int(_at(obj, facts.status_replicas) or 0)}
    selector = facts.selector(obj)
    if selector:
        status["selector"] = selector
    found = _at(obj, facts.spec_replicas)
    if found is None and facts.of_custom_kind:
        why = f'the spec replicas field "{facts.spec_replicas}" does not exist'
        raise errors.InternalError(
            f"Internal error occurred: {why}", details={"causes": [{"message": why}]}
        )
    replicas = int(found or 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


async def _respond(call: Call, obj: Object) -> None:
    form = call.form()
    scale = scale_of(call, obj)
    # Upstream has the columns for its own kinds only.
    columns = _PLAIN if _facts(call).of_custom_kind else _COLUMNS
    body = render_object(scale, None, form, columns, call.include())
    await call.exchange.respond(200, body, form.content_type)


async def get_scale(call: Call) -> None:
    await _respond(call, await call.store.get(call.namespace, call.name))


def _checked(call: Call, scale: Object, obj: Object) -> int:
    """The wanted replicas, once the Scale is judged. Raises Invalid, BadRequest."""
    meta = metadata(scale)
    if not meta.get("name"):
        raise errors.BadRequest(
            f"the name of the object ({call.name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if meta["name"] != name_of(obj):
        raise errors.BadRequest(
            f"the name of the object ({meta.get('name')}) does not match the name on the URL "
            f"({call.name})"
        )
    if meta.get("namespace", namespace_of(obj)) != namespace_of(obj):
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    replicas = int((scale.get("spec") or {}).get("replicas") or 0)
    if replicas < 0 and not _facts(call).of_custom_kind:
        problem = errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.object_invalid("Scale", "autoscaling", call.name, [problem])
    return replicas


async def _write(call: Call, make: Any) -> None:
    """Update the object so that its Scale is what `make(present scale)` says."""
    ctx = call.context()
    ctx.retry_conflicts = True

    async def build(old: Object) -> Object:
        scale = make(scale_of(call, old))
        replicas = _checked(call, scale, old)
        version = metadata(scale).get("resourceVersion")
        if version:
            metadata(old)["resourceVersion"] = version
        _put(old, _facts(call).spec_replicas, replicas)
        return old

    written = await call.store.update(ctx, call.name, build)
    await _respond(call, written.obj)


async def update_scale(call: Call) -> None:
    sent = await read_object(call.exchange, call.body_kind, None)
    await _write(call, lambda _present: sent)


async def _apply_scale(call: Call) -> None:
    """Server-side apply of a Scale is an apply of the object's replicas, and of nothing else."""
    manager = call.exchange.param("fieldManager")
    if not manager:
        problem = errors.required("fieldManager", "is required for apply patch")
        raise invalid_options("PATCH", problem)
    sent = parse_yaml(await call.exchange.body())
    if not isinstance(sent, dict):
        raise errors.BadRequest("error decoding YAML: a Scale must be an object")
    kind = call.resource.gvk
    if (sent.get("apiVersion"), sent.get("kind")) != ("autoscaling/v1", "Scale"):
        group, version = split_api_version(str(sent.get("apiVersion") or ""))
        named = f"{group}/{version}, Kind={sent.get('kind') or ''}"
        raise errors.BadRequest(f"invalid object type: {named}")
    applied: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
    applied["metadata"]["name"] = call.name
    replicas = (sent.get("spec") or {}).get("replicas")
    if replicas is not None:
        _put(applied, _facts(call).spec_replicas, replicas)
    schema = call.resource.kind_schema()
    if schema is None:
        raise errors.NotBuilt(f"server-side apply for {call.resource.qualified} is not built")
    ctx = call.context()
    ctx.managed_fields_done, ctx.retry_conflicts = True, True
    path = _facts(call).spec_replicas

    async def build(old: Object) -> Object:
        if not _at(old, path):
            # A Scale leaves out 0 replicas, so even a 0 that is applied is new.
            _drop(old, path)
        new: Object = apply_patch(
            old,
            applied,
            manager=manager,
            force=call.exchange.flag("force"),
            schema=schema,
            now=env.timestamp(),
            subresource="scale",
        )
        _checked(call, {"metadata": {"name": call.name}, "spec": sent.get("spec")}, old)
        return new

    written = await call.store.update(ctx, call.name, build)
    await _respond(call, written.obj)


async def patch_scale(call: Call) -> None:
    media = patch_type(call)
    kind = call.body_kind
    schema = kind_schema(kind.group, kind.version, kind.kind)
    assert schema is not None
    if media == APPLY_PATCH:
        await _apply_scale(call)
        return
    body = await call.exchange.body()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.BadRequest(f"error decoding patch: {error}") from error

    def patched(present: Object) -> Object:
        if media == JSON_PATCH:
            scale: Object = apply_json_patch(present, document)
        elif media == MERGE_PATCH:
            scale = apply_merge_patch(present, document)
        else:
            scale = apply_strategic_merge(present, document, schema.root)
        check_kind(scale, kind, body)
        decode_with(schema, scale, kind)
        return scale

    await _write(call, patched)
