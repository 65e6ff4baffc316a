"""What any object uses, and whether a quota is about it.

Source: k8s.io/kubernetes `pkg/quota/v1/evaluator/core`.
"""

from collections.abc import Iterable
from datetime import datetime

from kapi.api.object import Object, annotations_of
from kapi.api.quota.pods import is_best_effort, pod_usage
from kapi.api.quota.resource_list import add, largest

_ALSO_PLAIN = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
_BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_DEVICE_SUFFIX = ".deviceclass.resource.k8s.io/devices"
_MOST_DEVICES = 32
"""What a request for all devices counts as: the most that one can get."""

DEVICE_CLAIMS = "resourceclaims.resource.k8s.io"


def usage(resource: str, obj: Object, now: datetime) -> dict[str, str]:
    """Quota resource -> quantity for one object of `resource` (`pods`, `deployments.apps`)."""
    if resource == "pods":
        return pod_usage(obj, now)
    found = {f"count/{resource}": "1"}
    if resource in _ALSO_PLAIN:
        found[resource] = "1"
    elif resource == "services":
        found |= _service(obj.get("spec") or {})
    elif resource == "persistentvolumeclaims":
        found |= _claim(obj)
    elif resource == DEVICE_CLAIMS:
        found |= _device_claim(obj.get("spec") or {})
    return found


def counted_resources(names: Iterable[str]) -> set[str]:
    """The resources whose objects these quota resources count."""
    found = set()
    for name in names:
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        elif name in _ALSO_PLAIN:
            found.add(name)
        elif name == "services" or name.startswith("services."):
            found.add("services")
        elif name in ("persistentvolumeclaims", "requests.storage") or _CLASS_SUFFIX in name:
            found.add("persistentvolumeclaims")
        elif name.endswith(_DEVICE_SUFFIX):
            found.add(DEVICE_CLAIMS)
        else:
            found.add("pods")
    return found


def _service(spec: Object) -> dict[str, str]:
    ports = spec.get("ports") or ()
    found = {"services": "1"}
    kind = spec.get("type")
    if kind == "NodePort":
        found["services.nodeports"] = str(len(ports))
    elif kind == "LoadBalancer":
        found["services.loadbalancers"] = "1"
        wanted = len(ports)
        if spec.get("allocateLoadBalancerNodePorts") is False:
            wanted = sum(1 for port in ports if port.get("nodePort"))
        found["services.nodeports"] = str(wanted)
    return found


def _claim(claim: Object) -> dict[str, str]:
    spec = claim.get("spec") or {}
    requests = (spec.get("resources") or {}).get("requests") or {}
    found = {"persistentvolumeclaims": "1"}
    granted = (claim.get("status") or {}).get("allocatedResources") or {}
    if "storage" in requests:
        sizes = [{"storage": str(owner["storage"])} for owner in (requests, granted) if owner]
        found["requests.storage"] = largest(sizes[0], sizes[-1])["storage"]
    name = annotations_of(claim).get(_BETA_STORAGE_CLASS) or spec.get("storageClassName")
    if name:
        found |= {f"{name}{_CLASS_SUFFIX}{key}": value for key, value in found.items()}
    return found


def _device_claim(spec: Object) -> dict[str, str]:
    """Devices per class; of alternatives the most that any may take."""
    found: dict[str, str] = {}
    for request in (spec.get("devices") or {}).get("requests") or ():
        peak: dict[str, str] = {}
        for option in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if option:
                name = f"{option.get('deviceClassName', '')}{_DEVICE_SUFFIX}"
                everything = option.get("allocationMode") == "All"
                count = _MOST_DEVICES if everything else option.get("count") or 1
                peak = largest(peak, {name: str(count)})
        found = add(found, peak)
    return found


def in_scope(quota: Object, resource: str, obj: Object) -> bool:
    """Do all scopes of the quota include the object? Only pods and claims are ever in one."""
    spec = quota.get("spec") or {}
    wanted: list[Object] = [
        {"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()
    ]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return all(_matches(item, resource, obj) for item in wanted)


def _matches(item: Object, resource: str, obj: Object) -> bool:
    scope, spec = str(item.get("scopeName")), obj.get("spec") or {}
    if scope == "VolumeAttributesClass":
        return resource == "persistentvolumeclaims" and _any_class(item, obj)
    if resource != "pods":
        return False
    if scope in ("Terminating", "NotTerminating"):
        seconds = spec.get("activeDeadlineSeconds")
        return (scope == "Terminating") == (seconds is not None and seconds >= 0)
    if scope in ("BestEffort", "NotBestEffort"):
        return (scope == "BestEffort") == is_best_effort(obj)
    if scope == "CrossNamespacePodAffinity":
        return _reaches_out(spec.get("affinity") or {})
    return scope == "PriorityClass" and _selects(item, spec.get("priorityClassName") or "")


def _selects(item: Object, value: str) -> bool:
    """A scope selector's requirement on a name that may be absent."""
    operator, values = item.get("operator"), item.get("values") or ()
    if operator == "Exists":
        return bool(value)
    if operator == "DoesNotExist":
        return not value
    if operator == "In":
        return bool(value in values)
    return bool(operator == "NotIn" and value not in values)


def _any_class(item: Object, claim: Object) -> bool:
    """Does the class that is wanted, in force or on its way match?"""
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    names = {
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        target,
    } - {None, ""}
    if not names:
        return _selects(item, "")
    return any(_selects(item, str(name)) for name in names)


def _reaches_out(affinity: Object) -> bool:
    """Does any term name other namespaces?"""
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            item.get("podAffinityTerm") or {}
            for item in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or "namespaceSelector" in term for term in terms):
            return True
    return False
