"""GET one object: bytes from the cache, rendered as the client asked."""

from kapi.api import errors
from kapi.api.go_numbers import NumberError, parse_uint
from kapi.registry.errors import too_large_resource_version
from kapi.server.call import Call
from kapi.server.exchange import JSON
from kapi.server.printing import render_object


def check_resource_version(version: str) -> int:
    """The resourceVersion parameter, 0 when empty. Anything else is a 500, as upstream."""
    if not version:
        return 0
    try:
        return parse_uint(version)
    except NumberError as error:
        raise errors.UntypedError(
            f'resourceVersion: Invalid value: "{version}": {error}'
        ) from error


async def get(call: Call) -> None:
    form = call.form()
    version = call.exchange.param("resourceVersion")
    wanted = check_resource_version(version)
    cache = call.store.backing.cache
    if wanted > cache.revision:
        current = await call.store.backing.store.current_revision()
        if wanted > current:
            raise too_large_resource_version(wanted, current)
        await cache.wait_for(wanted, 3.0)
    entry = await call.store.entry(call.namespace, call.name, fresh=version != "0")
    data = call.store.external_bytes(entry)
    if form.is_plain_json:
        await call.exchange.respond(200, data, JSON)
        return
    obj = call.store.to_external(entry.data)
    body = render_object(obj, data, form, call.strategy, call.include())
    await call.exchange.respond(200, body, form.content_type)
