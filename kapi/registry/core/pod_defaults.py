"""Defaults of a pod and of pod templates that the schema cannot express.

Source of the values: k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`. A pod gets all of them; a
template gets those of `default_pod_spec` only (no requests from limits, no service links).
"""

import re
from typing import Any

from kapi.api.object import Object
from kapi.registry.core.pod_resources import aggregate_requests
from kapi.registry.core.quantities import canonical_resources

_FILE_MODE = 0o644
_TAG = re.compile(r":([\w][\w.-]{0,127})$")

_PROBE_DEFAULTS = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)


def default_pod(obj: Object) -> None:
    """Everything a Pod object gets on decode."""
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        _requests_from_limits(resources)
    _default_status(obj.get("status") or {})
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("resources"):
        _default_pod_level_requests(spec)


def _default_status(status: Object) -> None:
    """Times that upstream writes even when they are unknown."""
    for condition in status.get("conditions") or ():
        for field in ("lastProbeTime", "lastTransitionTime"):
            condition.setdefault(field, None)
    for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(kind) or ():
            for field in ("state", "lastState"):
                state = container.setdefault(field, {})
                if state.get("running") is not None:
                    state["running"].setdefault("startedAt", None)
                if state.get("terminated") is not None:
                    for moment in ("startedAt", "finishedAt"):
                        state["terminated"].setdefault(moment, None)


def default_pod_template(template: Object) -> None:
    """What `spec.template` of a workload gets on decode."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("schedulerName", "default-scheduler")
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    _mirror_service_account(spec)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            _default_container(container)
            if spec.get("hostNetwork") and kind != "ephemeralContainers":
                for port in container.get("ports") or ():
                    port["hostPort"] = port.get("hostPort") or port.get("containerPort")
    if "resources" in spec:
        canonical_resources(spec["resources"])
    if spec.get("overhead"):
        canonical_resources({"requests": spec["overhead"]})


def _mirror_service_account(spec: Object) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both always hold the same."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    for field in ("serviceAccountName", "serviceAccount"):
        if name:
            spec[field] = name
        else:
            spec.pop(field, None)


def _default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(str(container.get("image") or ""))
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    container.setdefault("resources", {})
    canonical_resources(container["resources"])
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        _default_env_source(variable.get("valueFrom") or {})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        _default_http_get((lifecycle.get(hook) or {}).get("httpGet"))


def _default_env_source(source: Object) -> None:
    if source.get("fieldRef") is not None:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if source.get("resourceFieldRef") is not None:
        source["resourceFieldRef"].setdefault("divisor", "0")
    if source.get("fileKeyRef") is not None:
        source["fileKeyRef"].setdefault("optional", False)


def _default_probe(probe: Object) -> None:
    for name, value in _PROBE_DEFAULTS:
        if not probe.get(name):
            probe[name] = value
    _default_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _default_http_get(action: Object | None) -> None:
    if action is None:
        return
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def pull_policy(image: str) -> str:
    """`Always` for an image without a tag, or with the tag latest; else `IfNotPresent`."""
    name, _, digest = image.partition("@")
    tag = _TAG.search(name.rpartition("/")[2])
    if tag:
        return "Always" if tag.group(1) == "latest" else "IfNotPresent"
    return "IfNotPresent" if digest else "Always"


_VOLUME_DEFAULTS: dict[str, dict[str, Any]] = {
    "secret": {"defaultMode": _FILE_MODE},
    "configMap": {"defaultMode": _FILE_MODE},
    "downwardAPI": {"defaultMode": _FILE_MODE},
    "projected": {"defaultMode": _FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {
        "cachingMode": "ReadWrite",
        "fsType": "ext4",
        "readOnly": False,
        "kind": "Shared",
    },
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_volume(volume: Object) -> None:
    """A volume's source, `emptyDir` where none is named."""
    if not any(key != "name" and value is not None for key, value in volume.items()):
        volume["emptyDir"] = {}
    for source, values in _VOLUME_DEFAULTS.items():
        if volume.get(source) is not None:
            for key, value in values.items():
                volume[source].setdefault(key, value)
    _default_downward_items(volume.get("downwardAPI"))
    if volume.get("image") is not None and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = pull_policy(str(volume["image"].get("reference") or ""))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _default_downward_items(source.get("downwardAPI"))
        token = source.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", 3600)
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim is not None:
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _default_downward_items(source: Object | None) -> None:
    for item in (source or {}).get("items") or ():
        _default_env_source(item)


def _requests_from_limits(resources: Object) -> None:
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for name, quantity in limits.items():
        requests.setdefault(name, quantity)


def _default_pod_level_requests(spec: Object) -> None:
    """Pod-level requests not given follow the limits, or the sum of the containers' requests."""
    resources = spec["resources"]
    limits = resources.get("limits") or {}
    requests = dict(resources.get("requests") or {})
    aggregate = aggregate_requests(spec)
    for name, quantity in limits.items():
        if name in requests or not (name in ("cpu", "memory") or name.startswith("hugepages-")):
            continue
        requests[name] = aggregate.get(name, quantity)
    if requests:
        resources["requests"] = requests
