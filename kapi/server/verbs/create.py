"""POST to a collection."""

from kapi.api import errors
from kapi.api.object import Object, metadata, name_of
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.namespace_content import fill_namespace
from kapi.server.verbs.respond import respond_written


def check_namespace(call: Call, obj: Object) -> None:
    """The body may leave the namespace out, but not name another one. Raises BadRequest."""
    found = metadata(obj).get("namespace")
    if found and call.resource.namespaced and found != call.namespace:
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


async def create(call: Call) -> None:
    call.form()  # an unacceptable answer must not write
    ctx = call.context()
    obj = await read_object(call.exchange, call.body_kind, call.strategy, custom=call.custom_schema)
    check_namespace(call, obj)
    written = await call.store.create(ctx, obj)
    if call.resource.qualified == "namespaces" and not ctx.dry_run:
        await fill_namespace(call.api, name_of(written.obj))
    await respond_written(call, 201, written)
