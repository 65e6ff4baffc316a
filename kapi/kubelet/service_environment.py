"""Variables that tell a container where the services of its namespace are. Pure.

Upstream: pkg/kubelet/envvars.
"""

from collections.abc import Iterable

from kapi.api.object import Object, name_of, namespace_of


def service_variables(services: Iterable[Object], namespace: str, *, links: bool) -> dict[str, str]:
    """`default/kubernetes` always; the namespace's own services if `links`."""
    chosen: dict[str, Object] = {}
    for service in services:
        if (service["spec"].get("clusterIP") or "None") == "None":
            continue
        name, home = name_of(service), namespace_of(service)
        if home == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
        if links and home == namespace:
            chosen[name] = service
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found.update(_variables(name, chosen[name]["spec"]))
    return found


def _variables(name: str, spec: Object) -> dict[str, str]:
    prefix = _variable_name(name)
    ports = spec.get("ports") or []
    if not ports:
        return {}
    address = spec["clusterIP"]
    found = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for port in ports:
        if port.get("name"):
            key = f"{prefix}_SERVICE_PORT_{_variable_name(port['name'])}"
            found[key] = str(port["port"])
    host = f"[{address}]" if ":" in address else address
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        base = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        found[base] = url
        found[f"{base}_PROTO"] = protocol.lower()
        found[f"{base}_PORT"] = str(port["port"])
        found[f"{base}_ADDR"] = address
    return found


def _variable_name(text: str) -> str:
    return text.upper().replace("-", "_")
