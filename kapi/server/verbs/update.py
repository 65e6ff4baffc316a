"""PUT: replace an object, or create it where the kind allows that."""

from kapi.api import errors
from kapi.api.object import Object, metadata
from kapi.server.call import Call
from kapi.server.decoding import private_copy, read_object
from kapi.server.verbs.create import check_namespace
from kapi.server.verbs.respond import respond_written


def check_name(call: Call, obj: Object) -> None:
    """The body's name must be the URL's. Raises BadRequest."""
    found = metadata(obj).get("name")
    if not found:
        raise errors.BadRequest(
            f"the name of the object ({call.name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if found != call.name:
        raise errors.BadRequest(
            f"the name of the object ({found}) does not match the name on the URL ({call.name})"
        )


async def update(call: Call) -> None:
    call.form()
    ctx = call.context()
    obj = await read_object(call.exchange, call.body_kind, call.strategy, custom=call.custom_schema)
    check_name(call, obj)
    check_namespace(call, obj)

    async def build(old: Object) -> Object:
        uid = metadata(obj).get("uid")
        if uid and uid != metadata(old)["uid"]:
            raise uid_conflict(call, uid, metadata(old)["uid"])
        return private_copy(obj)

    try:
        written = await call.store.update(ctx, call.name, build)
    except errors.NotFound:
        if not call.strategy.allow_create_on_update or call.subresource is not None:
            raise
        if metadata(obj).get("uid"):
            raise uid_conflict(call, metadata(obj)["uid"], "") from None
        metadata(obj).pop("resourceVersion", None)
        written = await call.store.create(ctx, obj)
        await respond_written(call, 201, written)
        return
    await respond_written(call, 200, written)


def uid_conflict(call: Call, wanted: str, found: str) -> errors.Conflict:
    """409: the object that the body speaks of is not the one that is stored."""
    return errors.resource_conflict(
        call.resource.plural,
        call.resource.group,
        call.name,
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
    )
