"""Pods and runtime views for the kubelet's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kapi.api.object import Object
from kapi.kubelet import labels
from kapi.kubelet.pod_view import PodView, pod_view
from kapi.kubelet.runtime.interface import Container, Sandbox

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = "2026-01-02T03:10:00Z"


def container(name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": "app:1", **fields}


def pod(*containers: Object, **spec: Any) -> Object:
    metadata = {"name": "p", "namespace": "ns", "uid": "u1", "generation": 3}
    metadata.update(spec.pop("metadata", {}))
    status = spec.pop("status", {})
    body: Object = {"metadata": metadata, "spec": {"restartPolicy": "Always", **spec}}
    body["spec"]["containers"] = list(containers) or [container()]
    body["status"] = status
    return body


def running(name: str = "main", *, attempt: int = 0, spec: Object | None = None) -> Container:
    return _container(name, "running", attempt, spec, started_at=BEGIN)


def exited(name: str = "main", code: int = 0, *, attempt: int = 0, reason: str = "") -> Container:
    return _container(
        name,
        "exited",
        attempt,
        None,
        started_at=BEGIN,
        finished_at=BEGIN + timedelta(seconds=5),
        exit_code=code,
        reason=reason,
    )


def created(name: str = "main") -> Container:
    return _container(name, "created", 0, None)


def _container(
    name: str, state: Any, attempt: int, spec: Object | None, **fields: Any
) -> Container:
    marks = {
        labels.ATTEMPT: str(attempt),
        labels.HASH: labels.container_hash(spec or container(name)),
        labels.IMAGE: "app:1",
        labels.IMAGE_REF: "sha256:" + "a" * 64,
    }
    return Container(
        id=f"{name}-{attempt}",
        name=name,
        state=state,
        image="app:1",
        image_id="sha256:" + "a" * 64,
        labels=marks,
        created_at=BEGIN + timedelta(minutes=attempt),
        **fields,
    )


def sandbox(*containers: Container, up: bool = True, attempt: int = 0, **fields: Any) -> Sandbox:
    return Sandbox(
        id=f"sandbox-{attempt}",
        name="p",
        namespace="ns",
        uid="u1",
        running=up,
        ips=("10.0.0.7",) if up else (),
        labels={labels.ATTEMPT: str(attempt), **fields},
        created_at=BEGIN + timedelta(hours=attempt),
        containers=containers,
    )


def view(*containers: Container, up: bool = True) -> PodView:
    return pod_view([sandbox(*containers, up=up)])
