"""GET and LIST of ComponentStatus: computed when asked, stored nowhere.

The store is asked a question. The scheduler and the controller manager are known by their leases,
so without leader election their condition is Unknown. Source: k8s.io/kubernetes
`pkg/registry/core/componentstatus/rest.go`.
"""

import orjson

from kapi import env
from kapi.api import errors
from kapi.api.object import Object, name_of
from kapi.server.call import Call
from kapi.server.printing import render_list, render_object
from kapi.server.selection import selection_of
from kapi.server.verbs.list import list_query
from kapi.storage.errors import StorageError

_LEASES = {"scheduler": "kube-scheduler", "controller-manager": "kube-controller-manager"}
_STORE_NAME = "etcd-0"
_STALE_SECONDS = 40


async def get_component_status(call: Call) -> None:
    form = call.form()
    for status in await _statuses(call):
        if name_of(status) == call.name:
            data = orjson.dumps(status)
            body = render_object(status, data, form, call.strategy, call.include())
            await call.exchange.respond(200, body, form.content_type)
            return
    raise errors.NotFound(f"Component not found: {call.name}")


async def list_component_statuses(call: Call) -> None:
    form = call.form()
    include = call.include() if form.as_kind == "Table" else ""
    list_query(call.exchange)
    selection = selection_of(call.exchange, call.resource)
    items = [
        status
        for status in await _statuses(call)
        if selection.fields is None or selection.fields.matches(_fields(status))
    ]
    if selection.labels is not None:
        items = [status for status in items if selection.labels.matches({})]
    body = render_list(call.resource, items, {}, form, include)
    await call.exchange.respond(200, body, form.content_type)


def _fields(status: Object) -> dict[str, str]:
    return {"metadata.name": name_of(status), "metadata.namespace": ""}


async def _statuses(call: Call) -> list[Object]:
    found = [_component(call, name, lease) for name, lease in _LEASES.items()]
    return [*found, await _store(call)]


def _status(name: str, status: str, message: str) -> Object:
    condition = {"type": "Healthy", "status": status, "message": message}
    return {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [condition],
    }


async def _store(call: Call) -> Object:
    try:
        await call.store.backing.store.current_revision()
    except StorageError as error:
        return _status(_STORE_NAME, "False", str(error))
    return _status(_STORE_NAME, "True", "ok")


def _component(call: Call, name: str, lease_name: str) -> Object:
    lease = call.api.lookup.get("leases.coordination.k8s.io", "kube-system", lease_name)
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    if not renewed:
        return _status(name, "Unknown", "no lease tells of it")
    silent = (env.now() - env.parse_time(renewed)).total_seconds()
    if silent > _STALE_SECONDS:
        return _status(name, "False", f"its lease was last renewed {int(silent)} s ago")
    return _status(name, "True", "ok")
