"""A container's environment, from its spec and the objects it refers to. Pure: objects are given.

Upstream: pkg/kubelet/kubelet_pods.go makeEnvironmentVariables.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kapi.api.object import Object, namespace_of
from kapi.kubelet.downward import UnsupportedField, field_text, resource_text
from kapi.kubelet.expansion import expand_known

Reference = tuple[str, str]
"""(`ConfigMap` or `Secret`, name), in the pod's namespace."""


class UnresolvedEnvironment(Exception):
    """The container cannot be configured; the text is the waiting message."""


@dataclass(frozen=True, slots=True)
class EnvironmentSources:
    """`find` answers None for an object that does not exist."""

    find: Callable[[Reference], Object | None]
    services: Mapping[str, str]
    addresses: Mapping[str, tuple[str, ...]]
    allocatable: Mapping[str, str]


def references(container: Object) -> Iterable[Reference]:
    """Every ConfigMap and Secret the environment may need."""
    for source in container.get("envFrom") or ():
        if source.get("configMapRef"):
            yield "ConfigMap", source["configMapRef"].get("name", "")
        if source.get("secretRef"):
            yield "Secret", source["secretRef"].get("name", "")
    for entry in container.get("env") or ():
        origin = entry.get("valueFrom") or {}
        if origin.get("configMapKeyRef"):
            yield "ConfigMap", origin["configMapKeyRef"].get("name", "")
        if origin.get("secretKeyRef"):
            yield "Secret", origin["secretKeyRef"].get("name", "")


def resolve_environment(
    pod: Object, container: Object, sources: EnvironmentSources
) -> dict[str, str]:
    """Raises UnresolvedEnvironment. Service variables, then envFrom, then env; later wins."""
    from_objects: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        from_objects.update(_env_from(pod, source, sources))
    # Upstream expands against envFrom and earlier entries first, then service variables.
    known = {**sources.services, **from_objects}
    result = dict(known)
    for entry in container.get("env") or ():
        value: str | None
        if entry.get("value"):
            value = expand_known(entry["value"], known)
        elif entry.get("valueFrom"):
            value = _value_from(pod, container, entry, sources)
            if value is None:
                continue
        else:
            value = ""
        known[entry["name"]] = result[entry["name"]] = value
    return result


def _env_from(pod: Object, source: Object, sources: EnvironmentSources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        reference = source.get(field)
        if not reference:
            continue
        found = sources.find((kind, reference.get("name", "")))
        if found is None:
            if reference.get("optional"):
                return {}
            raise _missing(kind, reference.get("name", ""))
        return {prefix + key: text for key, text in _texts(kind, found).items()}
    return {}


def _texts(kind: str, obj: Object) -> dict[str, str]:
    data = obj.get("data") or {}
    if kind == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _missing(kind: str, name: str) -> UnresolvedEnvironment:
    return UnresolvedEnvironment(f'{kind.lower()} "{name}" not found')


def _value_from(
    pod: Object, container: Object, entry: Object, sources: EnvironmentSources
) -> str | None:
    origin = entry["valueFrom"]
    try:
        if origin.get("fieldRef"):
            return field_text(pod, origin["fieldRef"]["fieldPath"], sources.addresses)
        if origin.get("resourceFieldRef"):
            selector = origin["resourceFieldRef"]
            target = container
            if selector.get("containerName"):
                target = _container_named(pod, selector["containerName"])
            return resource_text(target, pod, selector, sources.allocatable)
    except UnsupportedField as error:
        raise UnresolvedEnvironment(str(error)) from error
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if origin.get(field):
            return _key_value(pod, kind, origin[field], sources)
    kinds = ", ".join(sorted(origin)) or "nothing"
    raise UnresolvedEnvironment(f"kapi cannot take the value of {entry['name']} from {kinds}")


def _container_named(pod: Object, name: str) -> Object:
    spec = pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        if container["name"] == name:
            found: Object = container
            return found
    raise UnsupportedField(f"container {name} not found")


def _key_value(
    pod: Object, kind: str, reference: Object, sources: EnvironmentSources
) -> str | None:
    name, key = reference.get("name", ""), reference["key"]
    found = sources.find((kind, name))
    if found is None:
        if reference.get("optional"):
            return None
        raise _missing(kind, name)
    texts = _texts(kind, found)
    if key in texts:
        return texts[key]
    if reference.get("optional"):
        return None
    where = f"{namespace_of(pod)}/{name}"
    raise UnresolvedEnvironment(f"couldn't find key {key} in {kind} {where}")
