"""Validation of a pod, and of the templates that workloads make pods from.

Source: `ValidatePodCreate`, `ValidatePodSpec` and `ValidatePodTemplateSpec` in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`; the order of checks is upstream's, so are the causes.
"""

import re
from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    required,
)
from kapi.api.go_numbers import NumberError, parse_int
from kapi.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    inclusive_range_error,
    ip_errors,
    qualified_name_errors,
    regex_error,
)
from kapi.api.object import Object, annotations_of
from kapi.registry.core.container_validation import (
    PodFacts,
    containers,
    ephemeral_containers,
    host_network_ports,
    init_containers,
)
from kapi.registry.core.resource_validation import (
    container_resource_name,
    pod_level_resources,
    resource_value,
)
from kapi.registry.core.scheduling_validation import affinity, tolerations, topology_spread
from kapi.registry.core.security_validation import host_users, os_specific, pod_security
from kapi.registry.core.volume_validation import volumes
from kapi.registry.fields import annotations, complaints, dns_label, labels, one_of

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_MAXIMUM_INT32 = 2147483647
_MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_PROFILES = ("runtime/default", "unconfined")
_SEARCH_PATTERN = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
_SEARCH = re.compile(_SEARCH_PATTERN)
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' "
    "or '.', and must start and end with an alphanumeric character"
)


def validate_pod_create(pod: Object) -> list[FieldError]:
    """All complaints about a new pod but those about its metadata's general rules."""
    spec = pod.get("spec") or {}
    errors = pod_annotations(pod, "metadata.annotations")
    errors += pod_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        text = "cannot be set until all schedulingGates have been cleared"
        errors.append(forbidden("spec.nodeName", text))
    return errors


def pod_template(template: Object | None, path: str) -> list[FieldError]:
    """A template inside a workload: what its pods' metadata and spec would be."""
    template = template or {}
    meta = template.get("metadata") or {}
    errors = labels(meta.get("labels"), f"{path}.labels")
    errors += annotations(meta.get("annotations"), f"{path}.annotations")
    errors += pod_annotations(template, f"{path}.annotations")
    spec = template.get("spec") or {}
    errors += pod_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", text))
    return errors


def pod_annotations(pod: Object, path: str) -> list[FieldError]:
    """Annotations that mean something to the API server itself."""
    errors: list[FieldError] = []
    given = annotations_of(pod)
    if given.get(_MIRROR) is not None and not (pod.get("spec") or {}).get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{path}[{_MIRROR}]", given[_MIRROR], text))
    for key, value in sorted(given.items()):
        if not key.startswith(_APPARMOR_PREFIX):
            continue
        if value not in _APPARMOR_PROFILES and not value.startswith("localhost/"):
            text = f'invalid AppArmor profile name: "{value}"'
            errors.append(invalid(f"{path}[{key}]", value, text))
    cost = given.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.append(invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    return errors


def _is_int32(text: str) -> bool:
    if not re.fullmatch(r"-?[1-9][0-9]*|0", text):
        return False
    try:
        return -_MAXIMUM_INT32 - 1 <= parse_int(text) <= _MAXIMUM_INT32
    except NumberError:
        return False


def pod_spec(spec: Object, path: str) -> list[FieldError]:
    """The rules of a pod's spec, wherever it stands."""
    claims = _claim_names(spec)
    names = {str(item.get("name") or ""): item for item in spec.get("volumes") or ()}
    facts = PodFacts(spec, volumes=names, claims=claims)
    return [
        *volumes(spec.get("volumes") or [], f"{path}.volumes"),
        *_resource_claims(spec, f"{path}.resourceClaims"),
        *containers(facts, f"{path}.containers"),
        *init_containers(facts, f"{path}.initContainers"),
        *ephemeral_containers(facts, f"{path}.ephemeralContainers"),
        *pod_level_resources(spec, claims, f"{path}.resources"),
        *one_of(spec.get("restartPolicy"), RESTART_POLICIES, f"{path}.restartPolicy"),
        *one_of(spec.get("dnsPolicy"), _DNS_POLICIES, f"{path}.dnsPolicy"),
        *labels(spec.get("nodeSelector"), f"{path}.nodeSelector"),
        *_host_names(spec, path),
        *host_network_ports(spec, path),
        *host_users(spec, path),
        *pod_security(spec, f"{path}.securityContext"),
        *affinity(spec.get("affinity"), f"{path}.affinity"),
        *_dns_config(spec, f"{path}.dnsConfig"),
        *_readiness_gates(spec, f"{path}.readinessGates"),
        *_scheduling_gates(spec, f"{path}.schedulingGates"),
        *topology_spread(
            spec.get("topologySpreadConstraints") or [], f"{path}.topologySpreadConstraints"
        ),
        *_scalars(spec, path),
        *tolerations(spec.get("tolerations") or [], f"{path}.tolerations"),
        *_host_aliases(spec, f"{path}.hostAliases"),
        *_classes(spec, path),
        *_overhead(spec, f"{path}.overhead"),
        *os_specific(spec, path),
    ]


def _claim_names(spec: Object) -> dict[str, Any]:
    return {str(item.get("name") or ""): item for item in spec.get("resourceClaims") or ()}


def _resource_claims(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        own = f"{path}[{index}]"
        name = str(claim.get("name") or "")
        if not name:
            errors.append(required(f"{own}.name"))
        elif name in seen:
            errors.append(duplicate(f"{own}.name", name))
        else:
            errors += complaints(f"{own}.name", name, dns_label_errors(name))
            seen.add(name)
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template}
        if direct is not None and template is not None:
            text = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
            errors.append(invalid(own, shown, text))
        if direct is None and template is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(own, shown, text))
    return errors


def _host_names(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    override = spec.get("hostnameOverride")
    if override is None:
        return errors
    own = f"{path}.hostnameOverride"
    if spec.get("setHostnameAsFQDN"):
        errors.append(forbidden(own, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        errors.append(forbidden(own, "may not be specified when hostNetwork is true"))
    return errors + complaints(own, override, dns_subdomain_errors(override))


def _dns_config(spec: Object, path: str) -> list[FieldError]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", text)]
    if config is None:
        return []
    errors: list[FieldError] = []
    servers = config.get("nameservers") or []
    if len(servers) > 3:
        text = "must not have more than 3 nameservers"
        errors.append(invalid(f"{path}.nameservers", servers, text))
    for index, server in enumerate(servers):
        errors += complaints(f"{path}.nameservers[{index}]", server, ip_errors(server))
    searches = config.get("searches") or []
    if len(searches) > 32:
        text = "must not have more than 32 search paths"
        errors.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        if search != "." and not _SEARCH.fullmatch(search.removesuffix(".")):
            text = regex_error(_SEARCH_TEXT, _SEARCH_PATTERN, "example.com")
            errors.append(invalid(f"{path}.searches[{index}]", search, text))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def _readiness_gates(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = str(gate.get("conditionType") or "")
        errors += complaints(f"{path}[{index}].conditionType", kind, qualified_name_errors(kind))
    return errors


def _scheduling_gates(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        own, name = f"{path}[{index}]", str(gate.get("name") or "")
        errors += complaints(own, name, qualified_name_errors(name))
        if name in seen:
            errors.append(duplicate(own, name))
        seen.add(name)
    return errors


def _scalars(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("serviceAccountName", "nodeName"):
        text = str(spec.get(name) or "")
        if text:
            errors += complaints(f"{path}.{name}", text, dns_subdomain_errors(text))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAXIMUM_INT32:
        text = inclusive_range_error(1, _MAXIMUM_INT32)
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, text))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            errors += dns_label(spec[name], f"{path}.{name}")
    return errors


def _host_aliases(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        address = str(alias.get("ip") or "")
        own = f"{path}[{index}]"
        errors += [*ip_address(address, f"{own}.ip")]
        for number, name in enumerate(alias.get("hostnames") or ()):
            errors += complaints(f"{own}.hostnames[{number}]", name, dns_subdomain_errors(name))
    return errors


def ip_address(address: str, path: str) -> list[FieldError]:
    """An address, with leading zeros refused by name."""
    if re.search(r"(^|\.)0\d", address) and re.fullmatch(r"[\d.]+", address):
        return [invalid(path, address, "must not have leading 0s")]
    return complaints(path, address, ip_errors(address))


def _classes(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("priorityClassName", "runtimeClassName"):
        text = spec.get(name)
        if text or (text is not None and name == "runtimeClassName"):
            errors += complaints(f"{path}.{name}", text, dns_subdomain_errors(text))
    if spec.get("preemptionPolicy") is not None:
        errors += one_of(spec["preemptionPolicy"], _PREEMPTION, f"{path}.preemptionPolicy")
    return errors


def _overhead(spec: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, quantity in sorted((spec.get("overhead") or {}).items()):
        errors += container_resource_name(name, f"{path}[{name}]")
        errors += resource_value(name, quantity, f"{path}[{name}]")
    return errors
