"""Validation of a Service.

Source: `ValidateService` and `ValidateServiceUpdate` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

import ipaddress
from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from kapi.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    inclusive_range_error,
    ip_errors,
    port_name_errors,
    qualified_name_errors,
)
from kapi.api.object import Object, annotations_of
from kapi.registry.core.pod_validation import ip_address
from kapi.registry.core.service_types import (
    HEADLESS,
    is_externally_reachable,
    is_headless,
    needs_health_check_port,
)
from kapi.registry.fields import CIDR_TEXT, complaints, labels

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_KUBELET_PORT = 10250
_LONGEST_AFFINITY_SECONDS = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


def validate_service(service: Object) -> list[FieldError]:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or []
    errors: list[FieldError] = []
    if not ports and not is_headless(spec) and spec.get("type") != "ExternalName":
        errors.append(required("spec.ports"))
    errors += _by_type(spec)
    names: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port(port, len(ports) > 1, names, f"spec.ports[{index}]")
    errors += labels(spec.get("selector"), "spec.selector")
    errors += _affinity(spec)
    errors += cluster_ip_fields(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        errors += endpoint_address(address, f"spec.externalIPs[{index}]")
    if spec.get("type") not in _TYPES:
        errors.append(not_supported("spec.type", spec.get("type") or "", _TYPES))
    if spec.get("type") == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                errors.append(forbidden(f"spec.ports[{index}].nodePort", text))
    errors += _duplicate_ports(ports)
    errors += _load_balancer(service, spec)
    errors += _traffic(spec)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return errors


def validate_service_update(new: Object, old: Object) -> list[FieldError]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = _cluster_ip_changes(spec, before)
    if (
        needs_health_check_port(spec)
        and needs_health_check_port(before)
        and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort")
    ):
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    if spec.get("type") == before.get("type") == "LoadBalancer" and spec.get(
        "loadBalancerClass"
    ) != before.get("loadBalancerClass"):
        text = "may not change once set"
        errors.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), text))
    return errors + validate_service(new)


def validate_service_status(new: Object, old: Object) -> list[FieldError]:
    """A load balancer's status may only stand on a load balancer."""
    spec = new.get("spec") or {}
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if ingress and spec.get("type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    errors: list[FieldError] = []
    for index, item in enumerate(ingress):
        own = f"{path}[{index}]"
        address, mode = str(item.get("ip") or ""), item.get("ipMode")
        if address:
            errors += ip_address(address, f"{own}.ip")
            if mode is None:
                errors.append(required(f"{own}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None:
            errors.append(forbidden(f"{own}.ipMode", "may not be specified when `ip` is not set"))
        if mode is not None and mode not in ("Proxy", "VIP"):
            errors.append(not_supported(f"{own}.ipMode", mode, ("Proxy", "VIP")))
        name = str(item.get("hostname") or "")
        if name:
            errors += complaints(f"{own}.hostname", name, dns_subdomain_errors(name))
    return errors


def _by_type(spec: Object) -> list[FieldError]:
    kind, errors = spec.get("type"), []
    if kind in ("LoadBalancer", "NodePort"):
        if kind == "LoadBalancer":
            for index, port in enumerate(spec.get("ports") or ()):
                if port.get("port") == _KUBELET_PORT:
                    text = "may not expose port 10250 externally since it is used by kubelet"
                    errors.append(invalid(f"spec.ports[{index}]", _KUBELET_PORT, text))
        if is_headless(spec):
            text = f"may not be set to 'None' for {kind} services"
            errors.append(invalid("spec.clusterIPs[0]", HEADLESS, text))
    elif kind == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                text = "may not be set for ExternalName services"
                errors.append(forbidden(f"spec.{field}", text))
        name = str(spec.get("externalName") or "").removesuffix(".")
        if name:
            errors += complaints("spec.externalName", name, dns_subdomain_errors(name))
        else:
            errors.append(required("spec.externalName"))
    return errors


def _port(port: Object, named: bool, names: set[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name = str(port.get("name") or "")
    if named and not name:
        errors.append(required(f"{path}.name"))
    elif name:
        errors += complaints(f"{path}.name", name, dns_label_errors(name))
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
    number = port.get("port") or 0
    if not 1 <= number <= 65535:
        errors.append(invalid(f"{path}.port", number, inclusive_range_error(1, 65535)))
    protocol = port.get("protocol") or ""
    if not protocol:
        errors.append(required(f"{path}.protocol"))
    elif protocol not in _PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    errors += _target_port(port.get("targetPort"), f"{path}.targetPort")
    application = port.get("appProtocol")
    if application is not None:
        errors += complaints(f"{path}.appProtocol", application, qualified_name_errors(application))
    return errors


def _target_port(target: Any, path: str) -> list[FieldError]:
    if isinstance(target, str):
        return complaints(path, target, port_name_errors(target))
    number = target or 0
    if not 1 <= number <= 65535:
        return [invalid(path, number, inclusive_range_error(1, 65535))]
    return []


def _duplicate_ports(ports: list[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return errors


def _affinity(spec: Object) -> list[FieldError]:
    kind, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    if not kind:
        return [required("spec.sessionAffinity")]
    if kind not in _AFFINITIES:
        return [not_supported("spec.sessionAffinity", kind, _AFFINITIES)]
    path = "spec.sessionAffinityConfig"
    if kind == "None":
        if config is None:
            return []
        return [forbidden(path, "must not be set when session affinity is None")]
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is None:
        return [required(f"{path}.clientIP", "when session affinity type is ClientIP")]
    if not 0 < seconds <= _LONGEST_AFFINITY_SECONDS:
        text = f"must be greater than 0 and less than {_LONGEST_AFFINITY_SECONDS}"
        return [invalid(f"{path}.clientIP.timeoutSeconds", seconds, text)]
    return []


def cluster_ip_fields(spec: Object) -> list[FieldError]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, which must fit together."""
    if spec.get("type") == "ExternalName":
        return []
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    errors: list[FieldError] = []
    if addresses and addresses[0] != spec.get("clusterIP", ""):
        text = "first value must match `clusterIP`"
        errors.append(invalid("spec.clusterIPs", addresses, text))
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    wrong = _address_texts(addresses)
    errors += wrong
    if len(addresses) > 2:
        text = "may only hold up to 2 values"
        errors.append(invalid("spec.clusterIPs", addresses, text))
    if wrong or addresses == [HEADLESS]:
        return errors
    versions = [ipaddress.ip_address(item).version for item in addresses]
    if len(addresses) > 1 and len(set(versions)) < 2:
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid("spec.clusterIPs", addresses, text))
    for index, (address, version) in enumerate(zip(addresses, versions, strict=True)):
        if index < len(families) and families[index] != f"IPv{version}":
            text = f"expected an {families[index]} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"spec.clusterIPs[{index}]", address, text))
    return errors


def _address_texts(addresses: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, address in enumerate(addresses):
        path = f"spec.clusterIPs[{index}]"
        if address == HEADLESS:
            if index or len(addresses) > 1:
                text = "'None' must be the first and only value"
                errors.append(invalid("spec.clusterIPs", addresses, text))
        else:
            errors += ip_address(address, path)
    return errors


def _cluster_ip_changes(spec: Object, before: Object) -> list[FieldError]:
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    new, old = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if not old:
        return []
    if not new:
        return [invalid("spec.clusterIPs[0]", new, "primary clusterIP can not be unset")]
    if new[0] != old[0] and new[0] == spec.get("clusterIP"):
        return [invalid("spec.clusterIPs[0]", new, "may not change once set")]
    return []


def endpoint_address(address: str, path: str) -> list[FieldError]:
    """An address traffic can be sent to: not unspecified, loopback or link-local."""
    wrong = ip_address(address, path)
    if wrong or ip_errors(address):
        return wrong
    parsed = ipaddress.ip_address(address)
    texts = []
    if parsed.is_unspecified:
        texts.append(f"may not be unspecified ({address})")
    if parsed.is_loopback:
        texts.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if parsed.is_link_local:
        texts.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if parsed in ipaddress.ip_network("224.0.0.0/24"):
        texts.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return complaints(path, address, texts)


def _load_balancer(service: Object, spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    balanced = spec.get("type") == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges") or []
    annotated = annotations_of(service).get(_SOURCE_RANGES)
    if ranges:
        if not balanced:
            errors.append(forbidden("spec.LoadBalancerSourceRanges", _ONLY_LOAD_BALANCER))
        for index, text in enumerate(ranges):
            if not _is_cidr(text.strip()):
                own = f"spec.LoadBalancerSourceRanges[{index}]"
                errors.append(invalid(own, text, CIDR_TEXT))
    elif annotated is not None:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not balanced:
            errors.append(forbidden(path, _ONLY_LOAD_BALANCER))
        for text in annotated.split(",") if annotated.strip() else ():
            if not _is_cidr(text.strip()):
                errors.append(invalid(path, annotated, CIDR_TEXT))
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    name = spec.get("loadBalancerClass")
    if name is not None:
        if not balanced:
            errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))
        else:
            errors += complaints("spec.loadBalancerClass", name, qualified_name_errors(name))
    return errors


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _traffic(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    path = "spec.externalTrafficPolicy"
    if is_externally_reachable(spec):
        if not external:
            errors.append(required(path))
        elif external not in _TRAFFIC_POLICIES:
            errors.append(not_supported(path, external, _TRAFFIC_POLICIES))
    elif external:
        text = "may only be set for externally-accessible services"
        errors.append(invalid(path, external, text))
    health = spec.get("healthCheckNodePort") or 0
    if health and not needs_health_check_port(spec):
        text = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        errors.append(invalid("spec.healthCheckNodePort", health, text))
    if spec.get("type") != "ExternalName":
        if not internal:
            errors.append(required("spec.internalTrafficPolicy"))
        elif internal not in _TRAFFIC_POLICIES:
            errors.append(not_supported("spec.internalTrafficPolicy", internal, _TRAFFIC_POLICIES))
    return errors


def service_warnings(service: Object) -> list[str]:
    """Source: k8s.io/kubernetes `pkg/api/service/warnings.go`."""
    spec = service.get("spec") or {}
    texts = []
    if spec.get("externalIPs"):
        texts.append(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
        )
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        texts.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if is_headless(spec) and spec.get("type") != "ExternalName":
        if spec.get("loadBalancerIP"):
            texts.append("spec.loadBalancerIP is ignored for headless services")
        if spec.get("sessionAffinity") not in (None, "None"):
            texts.append("spec.SessionAffinity is ignored for headless services")
    if spec.get("trafficDistribution") == "PreferClose":
        texts.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return texts
