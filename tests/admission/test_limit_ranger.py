"""Defaults, and the words of refusals."""

from typing import Any

import pytest

from kapi.admission.limit_ranger import LimitRanger, apply_defaults
from kapi.api.errors import Forbidden
from kapi.api.user import UserInfo
from kapi.registry.admission import AdmissionRequest
from kapi.registry.resource import Resource
from kapi.registry.strategy import RequestContext, Strategy


class Lookup:
    def __init__(self, *limits: dict[str, Any]) -> None:
        self.ranges = [{"metadata": {"name": "l"}, "spec": {"limits": list(limits)}}]

    def list(self, resource: str, namespace: str = "") -> list[dict[str, Any]]:
        return self.ranges

    def get(self, resource: str, namespace: str, name: str) -> None:
        return None

    def version(self, resource: str) -> int:
        return 0


def pod(**resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", **resources}]}}


async def refusal(obj: dict[str, Any], *limits: dict[str, Any], kind: str = "pods") -> str:
    row = Resource("", "v1", "Any", kind, True, Strategy())
    request = AdmissionRequest(
        "CREATE", row, "", "ns", "p", obj, None, RequestContext(UserInfo("ann"))
    )
    with pytest.raises(Forbidden) as caught:
        await LimitRanger(Lookup(*limits)).validate(request)
    return caught.value.message.partition("is forbidden: ")[2]


def test_what_is_missing_is_filled_and_noted() -> None:
    obj = pod(resources={"limits": {"cpu": "2"}})
    limits = {
        "type": "Container",
        "default": {"cpu": "1", "memory": "1Gi"},
        "defaultRequest": {"cpu": "100m"},
    }
    apply_defaults(obj, {"spec": {"limits": [limits]}})
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "2", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }
    assert obj["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; "
        "memory limit for container c"
    }


async def test_all_problems_come_together() -> None:
    limits = {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "1"}}
    resources = {"requests": {"cpu": "10m"}, "limits": {"cpu": "2"}}
    assert await refusal(pod(resources=resources), limits) == (
        "[minimum cpu usage per Container is 50m, but request is 10m, "
        "maximum cpu usage per Container is 1, but limit is 2]"
    )


async def test_a_ratio() -> None:
    limits = {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    assert await refusal(pod(resources=resources), limits) == (
        "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000"
    )


async def test_a_claim() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    limits = {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}
    assert await refusal(claim, limits, kind="persistentvolumeclaims") == (
        "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    )
