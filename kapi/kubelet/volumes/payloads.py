"""What files a configMap, secret, downwardAPI or projected volume holds. Pure.

Upstream: pkg/volume/{configmap,secret,downwardapi,projected}.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kapi.api.object import Object, namespace_of
from kapi.kubelet.downward import UnsupportedField, field_text, resource_text
from kapi.kubelet.volumes.atomic_writer import ProjectedFile

DEFAULT_MODE = 0o644


class VolumeFailure(Exception):
    """The volume cannot be set up; the text goes into the FailedMount event."""


@dataclass(frozen=True, slots=True)
class PayloadSources:
    """`find` answers None for a missing object; `token` returns the text of a projected token."""

    find: Callable[[str, str], Object | None]
    token: Callable[[Object], str]
    allocatable: Mapping[str, str]


def object_references(volume: Object) -> Iterable[tuple[str, str]]:
    """(kind, name) of each ConfigMap and Secret a volume shows."""
    if volume.get("configMap"):
        yield "ConfigMap", volume["configMap"].get("name", "")
    if volume.get("secret"):
        yield "Secret", volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("configMap"):
            yield "ConfigMap", source["configMap"].get("name", "")
        if source.get("secret"):
            yield "Secret", source["secret"].get("name", "")


def token_sources(volume: Object) -> list[Object]:
    sources = (volume.get("projected") or {}).get("sources") or ()
    return [s["serviceAccountToken"] for s in sources if s.get("serviceAccountToken")]


def volume_payload(
    pod: Object, volume: Object, sources: PayloadSources
) -> dict[str, ProjectedFile]:
    """Raises VolumeFailure."""
    if volume.get("configMap"):
        source = volume["configMap"]
        mode = int(source.get("defaultMode") or DEFAULT_MODE)
        return _object_files(pod, "ConfigMap", source.get("name", ""), source, mode, sources)
    if volume.get("secret"):
        source = volume["secret"]
        mode = int(source.get("defaultMode") or DEFAULT_MODE)
        return _object_files(pod, "Secret", source.get("secretName", ""), source, mode, sources)
    if volume.get("downwardAPI"):
        source = volume["downwardAPI"]
        mode = int(source.get("defaultMode") or DEFAULT_MODE)
        return _downward_files(pod, source, mode, sources)
    return _projected_files(pod, volume["projected"], sources)


def _projected_files(
    pod: Object, projected: Object, sources: PayloadSources
) -> dict[str, ProjectedFile]:
    """Sources in order, a later one wins a path; all errors are told together."""
    mode = int(projected.get("defaultMode") or DEFAULT_MODE)
    found: dict[str, ProjectedFile] = {}
    errors: list[str] = []
    for source in projected.get("sources") or ():
        try:
            found.update(_source_files(pod, source, mode, sources))
        except VolumeFailure as error:
            errors.append(str(error))
    if errors:
        raise VolumeFailure(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return found


def _source_files(
    pod: Object, source: Object, mode: int, sources: PayloadSources
) -> dict[str, ProjectedFile]:
    if source.get("configMap"):
        inner = source["configMap"]
        return _object_files(pod, "ConfigMap", inner.get("name", ""), inner, mode, sources)
    if source.get("secret"):
        inner = source["secret"]
        return _object_files(pod, "Secret", inner.get("name", ""), inner, mode, sources)
    if source.get("downwardAPI"):
        return _downward_files(pod, source["downwardAPI"], mode, sources)
    if source.get("serviceAccountToken"):
        inner = source["serviceAccountToken"]
        token_mode, owner = _token_mode(pod, mode)
        data = sources.token(inner).encode()
        return {inner["path"]: ProjectedFile(data, token_mode, owner)}
    raise VolumeFailure(f"kapi cannot project {', '.join(sorted(source)) or 'nothing'}")


def _token_mode(pod: Object, default: int) -> tuple[int, int | None]:
    """Keys are closed where the reader is known: one common user, or a group."""
    security = pod["spec"].get("securityContext") or {}
    if security.get("fsGroup") is not None:
        return 0o600, None
    users = {
        (container.get("securityContext") or {}).get("runAsUser", security.get("runAsUser"))
        for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ()))
    }
    if len(users) == 1 and None not in users:
        return 0o600, int(users.pop() or 0)
    return default, None


def _object_files(
    pod: Object, kind: str, name: str, source: Object, mode: int, sources: PayloadSources
) -> dict[str, ProjectedFile]:
    found = sources.find(kind, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeFailure(f'{kind.lower()} "{name}" not found')
    data = _data(kind, found)
    items = source.get("items")
    if not items:
        return {key: ProjectedFile(value, mode) for key, value in data.items()}
    files: dict[str, ProjectedFile] = {}
    for item in items:
        value = data.get(item["key"])
        if value is not None:
            item_mode = item.get("mode")
            files[item["path"]] = ProjectedFile(value, mode if item_mode is None else item_mode)
        elif not source.get("optional"):
            raise VolumeFailure(_missing_key(kind, item["key"]))
    return files


def _missing_key(kind: str, key: str) -> str:
    if kind == "ConfigMap":
        return f"configmap references non-existent config key: {key}"
    return f"references non-existent secret key: {key}"


def _data(kind: str, obj: Object) -> dict[str, bytes]:
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    data = {key: text.encode() for key, text in (obj.get("data") or {}).items()}
    binary = (obj.get("binaryData") or {}).items()
    return {**data, **{key: base64.b64decode(value) for key, value in binary}}


def _downward_files(
    pod: Object, source: Object, mode: int, sources: PayloadSources
) -> dict[str, ProjectedFile]:
    files = {}
    for item in source.get("items") or ():
        item_mode = mode if item.get("mode") is None else int(item["mode"])
        try:
            if item.get("fieldRef"):
                text = field_text(pod, item["fieldRef"]["fieldPath"], {})
            else:
                selector = item["resourceFieldRef"]
                container = _container(pod, selector.get("containerName", ""))
                text = resource_text(container, pod, selector, sources.allocatable)
        except UnsupportedField as error:
            raise VolumeFailure(str(error)) from error
        files[item["path"]] = ProjectedFile(text.encode(), item_mode)
    return files


def _container(pod: Object, name: str) -> Object:
    spec = pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        if container["name"] == name:
            found: Object = container
            return found
    raise VolumeFailure(f'container "{name}" not found in pod {namespace_of(pod)}')
