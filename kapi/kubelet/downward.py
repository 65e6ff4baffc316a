"""Fields and resources of a pod as text, for environment variables and volume files. Pure.

Upstream: pkg/fieldpath, pkg/api/v1/resource (ExtractContainerResourceValue).
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

import orjson

from kapi.api.object import Object, annotations_of, labels_of
from kapi.api.quantity import parse_quantity


class UnsupportedField(ValueError):
    """The path is not one that may be asked for."""


def field_text(pod: Object, path: str, addresses: Mapping[str, tuple[str, ...]]) -> str:
    """The value of a fieldRef; `addresses` holds `host` and `pod` addresses."""
    base, subscript = _split(path)
    metadata, spec = pod["metadata"], pod["spec"]
    if subscript is not None:
        holder = {"metadata.labels": labels_of(pod), "metadata.annotations": annotations_of(pod)}
        if base not in holder:
            raise UnsupportedField(f"fieldPath {path!r} does not support subscript")
        return str(holder[base].get(subscript, ""))
    if base == "metadata.labels":
        return formatted_map(labels_of(pod))
    if base == "metadata.annotations":
        return formatted_map(annotations_of(pod))
    simple = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": "".join(addresses.get("host", ())[:1]),
        "status.hostIPs": ",".join(addresses.get("host", ())),
        "status.podIP": "".join(addresses.get("pod", ())[:1]),
        "status.podIPs": ",".join(addresses.get("pod", ())),
    }
    if base not in simple:
        raise UnsupportedField(f"unsupported fieldPath: {path}")
    return str(simple[base])


def _split(path: str) -> tuple[str, str | None]:
    if path.endswith("']") and "['" in path:
        base, _, rest = path.partition("['")
        return base, rest[:-2]
    return path, None


def formatted_map(values: Mapping[str, str]) -> str:
    """One `key="value"` per line, sorted, quoted as Go does."""
    return "\n".join(f"{key}={_quoted(values[key])}" for key in sorted(values))


def _quoted(text: str) -> str:
    # JSON and Go agree on quotes, backslashes, \n, \r and \t.
    return orjson.dumps(text).decode()


def resource_text(
    container: Object, pod: Object, selector: Object, allocatable: Mapping[str, str]
) -> str:
    """A resourceFieldRef: ceil(value / divisor). A missing limit is the node's allocatable."""
    kind, _, name = str(selector["resource"]).partition(".")
    divisor = parse_quantity(selector.get("divisor") or "1") or Decimal(1)
    amount = _amount(container, pod, kind, name, allocatable)
    return str(int((amount / divisor).to_integral_value(ROUND_CEILING)))


def _amount(
    container: Object, pod: Object, kind: str, name: str, allocatable: Mapping[str, str]
) -> Decimal:
    if kind not in ("limits", "requests"):
        raise UnsupportedField(f"Unsupported container resource : {kind}.{name}")
    own = ((container.get("resources") or {}).get(kind) or {}).get(name)
    if own is not None and (kind == "requests" or parse_quantity(own)):
        return parse_quantity(own)
    if kind == "requests":
        return Decimal(0)
    whole_pod = ((pod["spec"].get("resources") or {}).get("limits") or {}).get(name)
    text = whole_pod if whole_pod is not None else allocatable.get(name, "0")
    return parse_quantity(text)
