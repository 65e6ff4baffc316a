"""Which pods stand behind a service, at which ports. Pure; shared by Endpoints and EndpointSlice.

Source: k8s.io/endpointslice and k8s.io/kubernetes `pkg/controller/endpoint`.
"""

from typing import Any

from kapi.api.object import Object, is_deleting, labels_of, name_of, namespace_of, uid_of
from kapi.controllers.pods import is_ready, is_terminal, node_of, phase_of, ready_condition

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL = "service.kubernetes.io/headless"
Port = dict[str, Any]


def is_selected_by_controller(service: Object) -> bool:
    """Are this service's endpoints for controllers to fill? Not without a selector."""
    spec = service.get("spec") or {}
    return bool(spec.get("type") != "ExternalName" and spec.get("selector"))


def selects(service: Object, pod: Object) -> bool:
    labels = labels_of(pod)
    wanted = (service.get("spec") or {}).get("selector") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def is_headless(service: Object) -> bool:
    return (service.get("spec") or {}).get("clusterIP") in (None, "", "None")


def publishes_not_ready(service: Object) -> bool:
    return bool((service.get("spec") or {}).get("publishNotReadyAddresses"))


def may_back(pod: Object, *, include_terminating: bool) -> bool:
    """Has an address and may still take traffic."""
    if is_terminal(pod) or not addresses_of(pod):
        return False
    return include_terminating or not is_deleting(pod)


def addresses_of(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    many = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return many or ([status["podIP"]] if status.get("podIP") else [])


def address_in_family(pod: Object, family: str) -> str | None:
    """The pod's first address of `IPv4` or `IPv6`."""
    for address in addresses_of(pod):
        if (":" in address) == (family == "IPv6"):
            return address
    return None


def families_of(service: Object) -> list[str]:
    spec = service.get("spec") or {}
    return list(spec.get("ipFamilies") or ["IPv4"])


def resolved_ports(service: Object, pod: Object) -> list[Port]:
    """The service's ports as this pod has them; a named port the pod lacks is left out."""
    found = []
    for service_port in (service.get("spec") or {}).get("ports") or ():
        number = _target(service_port, pod)
        if number is None:
            continue
        port: Port = {
            "name": service_port.get("name", ""),
            "port": number,
            "protocol": service_port.get("protocol", "TCP"),
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        found.append(port)
    return found


def _target(service_port: Object, pod: Object) -> int | None:
    target = service_port.get("targetPort")
    if target in (None, "", 0):
        target = service_port["port"]
    if isinstance(target, int):
        return target
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == service_port.get(
                "protocol", "TCP"
            ):
                return int(port["containerPort"])
    return None


def published_hostname(service: Object, pod: Object) -> str | None:
    """The pod's hostname, where its subdomain says that this service publishes it."""
    spec = pod.get("spec") or {}
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        return str(spec["hostname"])
    return None


def target_reference(pod: Object) -> dict[str, str]:
    return {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": uid_of(pod),
    }


def shape_of(pod: Object) -> tuple[Any, ...]:
    """What of a pod can change endpoints; two equal shapes need no second look."""
    spec = pod.get("spec") or {}
    return (
        labels_of(pod),
        addresses_of(pod),
        node_of(pod),
        is_ready(pod),
        is_deleting(pod),
        is_terminal(pod),
        phase_of(pod) == "",
        spec.get("hostname"),
        spec.get("subdomain"),
    )


class TriggerTimes:
    """What the last-change-trigger-time annotation shall say, from one look to the next.

    The time of the earliest change that the coming write is about; None if nothing that carries a
    time has changed.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, dict[str, str]]] = {}

    def next(self, key: str, service: Object, pods: list[Object]) -> str | None:
        created = str(service["metadata"].get("creationTimestamp") or "")
        times = {name_of(pod): time for pod in pods if (time := _ready_time(pod))}
        before = self._seen.get(key)
        self._seen[key] = (created, times)
        if before is None:
            return created or None
        changed = [time for name, time in times.items() if before[1].get(name) != time]
        if before[0] != created and created:
            changed.append(created)
        return min(changed, default=None)

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


def _ready_time(pod: Object) -> str:
    condition = ready_condition(pod)
    return str((condition or {}).get("lastTransitionTime") or "")
