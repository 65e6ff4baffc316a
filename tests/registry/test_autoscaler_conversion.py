"""autoscaling/v1 by way of v2: nothing is lost in either direction."""

from typing import Any

import orjson
import pytest

from kapi.registry.autoscaling.conversion import to_v1, to_v2

METRICS: list[dict[str, Any]] = [
    {
        "type": "Pods",
        "pods": {
            "metric": {"name": "rate", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "v1"},
            "metric": {"name": "hits"},
            "target": {"type": "Value", "value": "10k"},
        },
    },
    {
        "type": "External",
        "external": {
            "metric": {"name": "queue"},
            "target": {"type": "AverageValue", "averageValue": "3"},
        },
    },
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 60},
        },
    },
    {
        "type": "Resource",
        "resource": {
            "name": "memory",
            "target": {"type": "AverageValue", "averageValue": "1Gi"},
        },
    },
]
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
}


def stored(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2",
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, **spec},
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["type"])
def test_every_metric_survives_both_ways(metric: dict[str, Any]) -> None:
    obj = stored(metrics=[CPU, metric])
    old = to_v1(obj)
    assert old["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}
    assert to_v2(old) == obj


def test_behavior_travels_under_go_names() -> None:
    rules = {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}],
    }
    obj = stored(metrics=[CPU], behavior={"scaleDown": rules})
    old = to_v1(obj)
    carried = orjson.loads(
        old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"]
    )
    assert carried["ScaleDown"]["Policies"][0]["PeriodSeconds"] == 60
    assert to_v2(old) == obj


def test_status_travels_too() -> None:
    current = {"averageUtilization": 40, "averageValue": "10m"}
    obj = stored(metrics=[CPU])
    obj["status"] = {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": current}}],
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    }
    old = to_v1(obj)
    assert old["status"] == {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentCPUUtilizationPercentage": 40,
    }
    assert to_v2(old) == obj


def test_without_any_metric_there_is_one_for_cpu() -> None:
    plain = {"apiVersion": "autoscaling/v1", "metadata": {"name": "h"}, "spec": {"maxReplicas": 3}}
    assert to_v1(to_v2(plain))["spec"]["targetCPUUtilizationPercentage"] == 80


def test_an_annotation_that_is_no_json_is_dropped() -> None:
    meta = {"name": "h", "annotations": {"autoscaling.alpha.kubernetes.io/metrics": "["}}
    plain = {"apiVersion": "autoscaling/v1", "metadata": meta, "spec": {"maxReplicas": 3}}
    assert "annotations" not in to_v2(plain)["metadata"]
