"""How a write is answered: the object as the client accepts it, with the right code."""

from kapi.registry.store import Written
from kapi.server.call import Call
from kapi.server.printing import render_object


async def respond_written(call: Call, status: int, written: Written) -> None:
    """Send the object that a create, update, patch or delete left."""
    form = call.form()
    body = render_object(written.obj, written.data, form, call.strategy, call.include())
    await call.exchange.respond(status, body, form.content_type)
