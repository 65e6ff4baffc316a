"""POST pods/NAME/binding: a scheduler assigns a pod to a node.

The write goes through a store without the pod's own rules, so that it, and no other, may set
spec.nodeName; what it may do is said by `bind`.
"""

import orjson

from kapi.api import errors
from kapi.api.object import GroupVersionKind, Object, metadata, name_of
from kapi.registry.core.pod_binding import bind, check_binding
from kapi.registry.resource import Subresource
from kapi.registry.store import GenericStore
from kapi.registry.strategy import Strategy
from kapi.server.call import Call
from kapi.server.decoding import read_object
from kapi.server.negotiation import require_no_conversion

_BINDING = GroupVersionKind("", "v1", "Binding")
_SUBRESOURCE = Subresource("binding", "custom", ("create",), strategy=Strategy())


async def create_binding(call: Call) -> None:
    binding = await read_object(call.exchange, _BINDING, None)
    check_binding(binding)
    await _bind(call, call.name, binding)


async def create_legacy_binding(call: Call) -> None:
    """POST bindings: the pod is named by the Binding itself."""
    binding = await read_object(call.exchange, _BINDING, None)
    check_binding(binding)
    await _bind(call, name_of(binding), binding)


async def _bind(call: Call, name: str, binding: Object) -> None:
    require_no_conversion(call.form())
    ctx = call.context()
    ctx.retry_conflicts = True
    found = metadata(binding).get("namespace")
    if found and found != call.namespace:
        raise errors.BadRequest("namespace in URL does not match namespace in Binding object")

    async def build(old: Object) -> Object:
        return bind(old, binding)

    pods = call.api.store_of("pods").resource
    store = GenericStore(pods, call.store.backing, _SUBRESOURCE)
    await store.update(ctx, name, build)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await call.exchange.respond(201, orjson.dumps(status))
