"""POST pods/NAME/binding: a scheduler assigns a pod to a node.

The write goes through a store without the pod's own rules, so that it, and no other, may set
spec.nodeName; what it may do is said by `bind`.
"""

import orjson

from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, metadata
from kapi.registry.core.pod_binding import bind
from kapi.registry.resource import Subresource
from kapi.registry.store import GenericStore
from kapi.registry.strategy import Strategy
from kapi.server.call import Call
from kapi.server.decoding import read_object

_BINDING = GroupVersionKind("", "v1", "Binding")
_SUBRESOURCE = Subresource("binding", "custom", ("create",), strategy=Strategy())


async def create_binding(call: Call) -> None:
    ctx = call.context()
    ctx.retry_conflicts = True
    binding = await read_object(call.exchange, _BINDING, None)
    found = metadata(binding).get("namespace")
    if found and found != call.namespace:
        raise errors.BadRequest("namespace in URL does not match namespace in Binding object")

    async def build(old: Object) -> Object:
        return bind(old, binding)

    store = GenericStore(call.resource, call.store.backing, _SUBRESOURCE)
    await store.update(ctx, call.name, build)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await call.exchange.respond(201, orjson.dumps(status))
