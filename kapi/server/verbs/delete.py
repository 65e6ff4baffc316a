"""DELETE of one object, and of a collection.

Sources: k8s.io/apiserver `pkg/endpoints/handlers/delete.go` and
`pkg/apis/meta/v1/validation` for the options.
"""

import asyncio
from typing import Any

import orjson

from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, name_of, uid_of
from kapi.api.schema import kind_schema
from kapi.registry.store import DeleteOptions, Preconditions
from kapi.server.call import Call, dry_run, invalid_options
from kapi.server.decoding import parse_object
from kapi.server.exchange import int_param
from kapi.server.printing import encode, list_document
from kapi.server.selection import selection_of
from kapi.server.verbs.list import ListQuery, list_page, list_query
from kapi.server.verbs.respond import respond_written

_KIND = GroupVersionKind("meta.k8s.io", "v1", "DeleteOptions")
_POLICIES = ("Background", "Foreground", "Orphan")
_AT_ONCE = 32
_UNSAFE = "ignoreStoreReadErrorWithClusterBreakingPotential"


async def delete_options(call: Call) -> tuple[DeleteOptions, bool]:
    """The options and whether this is a dry run. A body replaces the query parameters."""
    exchange = call.exchange
    body = await exchange.body()
    if body.strip():
        try:
            sent = parse_object(body, exchange.header(b"content-type"), _KIND)
        except errors.BadRequest as error:
            raise errors.BadRequest(_plain(error.message)) from error
        _check_options_kind(sent, body)
    else:
        sent = _from_query(call)
    if sent.get(_UNSAFE) and exchange.info.verb == "deletecollection":
        raise invalid_options(
            "DELETE",
            errors.invalid(
                _UNSAFE,
                True,
                "is not allowed with DELETECOLLECTION, try again after removing the option",
            ),
        )
    return checked_options(sent)


def _plain(message: str) -> str:
    """A decode error without the frame that only whole objects get."""
    start = "(must be of type DeleteOptions): "
    if start not in message:
        return message
    return message.split(start, 1)[1].rsplit(" (", 1)[0]


def _check_options_kind(sent: Object, body: bytes) -> None:
    kind = sent.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        version = str(sent.get("apiVersion") or "v1")
        raise errors.BadRequest(
            f'no kind "{kind}" is registered for version "{version}" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        )


def _from_query(call: Call) -> Object:
    exchange = call.exchange
    sent: Object = {}
    if "gracePeriodSeconds" in exchange.query:
        sent["gracePeriodSeconds"] = int_param(exchange, "gracePeriodSeconds")
    if exchange.param("propagationPolicy"):
        sent["propagationPolicy"] = exchange.param("propagationPolicy")
    if "orphanDependents" in exchange.query:
        sent["orphanDependents"] = exchange.flag("orphanDependents")
    if dry_run(exchange):
        sent["dryRun"] = ["All"]
    return sent


def checked_options(sent: Object) -> tuple[DeleteOptions, bool]:
    """DeleteOptions from its JSON form. Raises Invalid and BadRequest."""
    schema = kind_schema("", "v1", "DeleteOptions")
    assert schema is not None
    schema.decode(sent)
    policy, orphan = sent.get("propagationPolicy"), sent.get("orphanDependents")
    problems = []
    if policy and orphan is not None:
        problems.append(
            errors.invalid(
                "propagationPolicy",
                policy,
                "orphanDependents and deletionPropagation cannot be both set",
            )
        )
    if policy and policy not in _POLICIES:
        problems.append(
            errors.not_supported(
                "propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]
            )
        )
    runs = list(sent.get("dryRun") or ())
    if any(value != "All" for value in runs):
        problems.append(errors.not_supported("dryRun", runs, ["All"]))
    problems += _unsafe_errors(sent)
    if problems:
        raise errors.object_invalid("DeleteOptions", "meta.k8s.io", "", problems)
    wanted: dict[str, Any] = sent.get("preconditions") or {}
    options = DeleteOptions(
        grace_period_seconds=sent.get("gracePeriodSeconds"),
        propagation_policy=policy or "",
        orphan_dependents=orphan,
        preconditions=Preconditions(
            str(wanted.get("uid") or ""), str(wanted.get("resourceVersion") or "")
        ),
    )
    return options, bool(runs)


def _unsafe_errors(sent: Object) -> list[errors.FieldError]:
    """The option that removes unreadable objects stands alone; where all can be read it does
    nothing, as upstream without its feature gate."""
    if not sent.get(_UNSAFE):
        return []
    others = ("dryRun", "propagationPolicy", "orphanDependents", "gracePeriodSeconds")
    return [
        errors.invalid(_UNSAFE, True, f"cannot be set together with .{other}")
        for other in (*others, "preconditions")
        if sent.get(other) not in (None, [])
    ]


async def delete(call: Call) -> None:
    call.form()
    options, dry = await delete_options(call)
    ctx = call.context()
    ctx.dry_run = dry
    if not options.propagation_policy and options.orphan_dependents is None:
        call.exchange.warnings.extend(call.strategy.default_propagation_warnings)
    written, gone = await call.store.delete(ctx, call.name, options)
    if gone and not call.strategy.returns_deleted_object:
        await call.exchange.respond(200, orjson.dumps(_success(call, written.obj)))
        return
    # As upstream: an owner that waits for its dependents is accepted, not done.
    waits = not gone and options.orphan_dependents is False
    await respond_written(call, 202 if waits else 200, written)


def _success(call: Call, obj: Object) -> Object:
    details = {"name": name_of(obj), "kind": call.resource.plural, "uid": uid_of(obj)}
    if call.resource.group:
        details["group"] = call.resource.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


async def delete_collection(call: Call) -> None:
    """Delete what the selectors match, several at once; answers with the deleted objects."""
    exchange = call.exchange
    form = call.form()
    options, dry = await delete_options(call)
    if options.preconditions != Preconditions():
        raise invalid_options(
            "DELETE",
            errors.forbidden("preconditions", "may not be specified for a collection"),
        )
    query = list_query(exchange)
    selection = selection_of(exchange, call.resource)
    page = await list_page(call, ListQuery(query.limit, query.token, query.version, ""), selection)
    objects = [orjson.loads(item) for item in page.items]
    ctx = call.context()
    ctx.dry_run = dry
    turn = asyncio.Semaphore(_AT_ONCE)
    failures: list[errors.ApiError] = []

    async def one(name: str, namespace: str) -> None:
        own = call.context()
        own.namespace, own.dry_run = namespace, dry
        async with turn:
            if failures:
                # The answer is an error already: what was not begun stays.
                return
            try:
                await call.store.delete(own, name, options)
            except errors.NotFound:
                return
            except errors.ApiError as error:
                failures.append(error)

    await asyncio.gather(
        *(one(name_of(obj), obj["metadata"].get("namespace", "")) for obj in objects)
    )
    if failures:
        raise failures[0]
    meta = {"resourceVersion": str(page.revision)}
    if call.resource.is_custom:
        meta = {"continue": "", **meta}
    else:
        for obj in objects:
            obj.pop("kind", None)
            obj.pop("apiVersion", None)
    document = list_document(call.resource, objects, meta)
    await exchange.respond(200, encode(document, form), form.content_type)
