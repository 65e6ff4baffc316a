"""autoscaling/v1 to and from v2: what v1 has no fields for travels in annotations.

Source: k8s.io/kubernetes `pkg/apis/autoscaling/{v1/conversion,helpers}.go`.
"""

from typing import Any

import orjson

from kapi.api.object import GroupVersionKind, Object
from kapi.registry.internal_form import internal_form

STORED = GroupVersionKind("autoscaling", "v2", "HorizontalPodAutoscaler")
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS = f"{_PREFIX}metrics"
_CURRENT = f"{_PREFIX}current-metrics"
_CONDITIONS = f"{_PREFIX}conditions"
_BEHAVIOR = f"{_PREFIX}behavior"
_DEFAULT_CPU = 80
_CARRIERS = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)

# v1 field -> path in v2, for each metric source; the same pairs serve both directions.
_SPEC_FIELDS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "object": (
        ("target", ("describedObject",)),
        ("metricName", ("metric", "name")),
        ("targetValue", ("target", "value")),
        ("selector", ("metric", "selector")),
        ("averageValue", ("target", "averageValue")),
    ),
    "pods": (
        ("metricName", ("metric", "name")),
        ("targetAverageValue", ("target", "averageValue")),
        ("selector", ("metric", "selector")),
    ),
    "resource": (
        ("name", ("name",)),
        ("targetAverageUtilization", ("target", "averageUtilization")),
        ("targetAverageValue", ("target", "averageValue")),
    ),
    "containerResource": (
        ("name", ("name",)),
        ("targetAverageUtilization", ("target", "averageUtilization")),
        ("targetAverageValue", ("target", "averageValue")),
        ("container", ("container",)),
    ),
    "external": (
        ("metricName", ("metric", "name")),
        ("metricSelector", ("metric", "selector")),
        ("targetValue", ("target", "value")),
        ("targetAverageValue", ("target", "averageValue")),
    ),
}
_BEHAVIOR_TYPES = {
    "Behavior": "ScaleUp:*Rules ScaleDown:*Rules",
    "Rules": "StabilizationWindowSeconds:? SelectPolicy:? Policies:[]Policy Tolerance:?",
    "Policy": "Type Value:i PeriodSeconds:i",
}


def _status_fields(source: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """As the spec's fields, with `current` for `target`."""
    found = []
    for name, path in _SPEC_FIELDS[source]:
        if path[0] == "target":
            name, path = name.replace("target", "current"), ("current", *path[1:])
        found.append((name, path))
    return tuple(found)


def _get(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for key in path:
        value = (value or {}).get(key)
    return value


def _put(obj: Object, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        obj = obj.setdefault(key, {})
    obj[path[-1]] = value


def _source_of(metric: Object) -> str:
    kind = str(metric.get("type") or "")
    return kind[:1].lower() + kind[1:]


def _metric_to_v2(metric: Object, *, status: bool) -> Object:
    source = _source_of(metric)
    if source not in _SPEC_FIELDS:
        return metric
    old: Object = metric.get(source) or {}
    new: Object = {}
    for name, path in _status_fields(source) if status else _SPEC_FIELDS[source]:
        if old.get(name) is not None:
            _put(new, path, old[name])
    if not status:
        target = new.setdefault("target", {})
        target["type"] = _target_type(target)
    return {"type": metric["type"], source: new}


def _target_type(target: Object) -> str:
    if target.get("averageUtilization") is not None:
        return "Utilization"
    return "AverageValue" if target.get("averageValue") is not None else "Value"


def _metric_to_v1(metric: Object, *, status: bool) -> Object:
    source = _source_of(metric)
    if source not in _SPEC_FIELDS:
        return metric
    new: Object = {}
    for name, path in _status_fields(source) if status else _SPEC_FIELDS[source]:
        value = _get(metric.get(source) or {}, path)
        if value is not None:
            new[name] = value
        elif name in ("targetValue", "currentValue") and source == "object":
            new[name] = "0"
    return {"type": metric["type"], source: new}


def _cpu_utilization(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _is_cpu(metric: Object, side: str) -> bool:
    resource = metric.get("resource") or {}
    percent = (resource.get(side) or {}).get("averageUtilization")
    return (
        metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None
    )


def _carried(annotations: Object, name: str, kind: type) -> Any:
    """What an annotation carries; nothing if it is not JSON of that kind."""
    try:
        value = orjson.loads(annotations.get(name) or "null")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, kind) else None


def to_v2(obj: Object) -> Object:
    """A v1 object as it is stored."""
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    spec = dict(obj.get("spec") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_cpu_utilization(percent)] if percent is not None else []
    for metric in _carried(annotations, _METRICS, list) or ():
        metrics.append(_metric_to_v2(metric, status=False))
    spec["metrics"] = metrics or [_cpu_utilization(_DEFAULT_CPU)]
    behavior = _carried(annotations, _BEHAVIOR, dict)
    if behavior:
        spec["behavior"] = _lowered(behavior)
    found: Object = {"kind": STORED.kind, "apiVersion": STORED.api_version}
    found |= {"metadata": meta, "spec": spec}
    if "status" in obj:
        found["status"] = _status_to_v2(obj["status"] or {}, annotations)
    _set_annotations(meta, {k: v for k, v in annotations.items() if k not in _CARRIERS})
    return found


def _status_to_v2(status: Object, annotations: Object) -> Object:
    new = dict(status)
    percent = new.pop("currentCPUUtilizationPercentage", None)
    current = [
        _metric_to_v2(metric, status=True) for metric in _carried(annotations, _CURRENT, list) or ()
    ]
    if percent is not None and not any(_is_cpu(metric, "current") for metric in current):
        usage = {"averageUtilization": percent, "averageValue": "0"}
        current.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": usage}})
    new["currentMetrics"] = current or None
    conditions = _carried(annotations, _CONDITIONS, list)
    if conditions:
        new["conditions"] = conditions
    if not new.get("currentReplicas"):
        new.pop("currentReplicas", None)
    return new


def to_v1(obj: Object) -> Object:
    """A stored object as v1 shows it."""
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = spec.pop("metrics", None) or []
    cpu = next((metric for metric in metrics if _is_cpu(metric, "target")), None)
    if cpu is not None:
        percent = cpu["resource"]["target"]["averageUtilization"]
        spec["targetCPUUtilizationPercentage"] = percent
    rest = [_metric_to_v1(m, status=False) for m in metrics if not _is_cpu(m, "target")]
    _carry(annotations, _METRICS, rest)
    behavior = spec.pop("behavior", None)
    if behavior is not None:
        _carry(annotations, _BEHAVIOR, internal_form(behavior, "Behavior", _BEHAVIOR_TYPES))
    current = status.pop("currentMetrics", None) or []
    cpu = next((metric for metric in current if _is_cpu(metric, "current")), None)
    if cpu is not None:
        percent = cpu["resource"]["current"]["averageUtilization"]
        status["currentCPUUtilizationPercentage"] = percent
    _carry(annotations, _CURRENT, [_metric_to_v1(metric, status=True) for metric in current])
    _carry(annotations, _CONDITIONS, status.pop("conditions", None))
    _set_annotations(meta, annotations)
    found: Object = {"kind": STORED.kind, "apiVersion": "autoscaling/v1"}
    found |= {"metadata": meta, "spec": spec}
    if "status" in obj:
        for field in ("currentReplicas", "desiredReplicas"):
            status.setdefault(field, 0)
        found["status"] = status
    return found


def _carry(annotations: Object, name: str, value: Any) -> None:
    if value:
        annotations[name] = orjson.dumps(value).decode()


def _set_annotations(meta: Object, annotations: Object) -> None:
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)


def _lowered(value: Any) -> Any:
    """Go's field names as they are on the wire; unset fields are left out."""
    if isinstance(value, dict):
        return {
            key[:1].lower() + key[1:]: _lowered(item)
            for key, item in value.items()
            if item is not None
        }
    return [_lowered(item) for item in value] if isinstance(value, list) else value
