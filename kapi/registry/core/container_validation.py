"""Validation of containers, init containers and ephemeral containers.

Source: `validateContainers` and its relatives in k8s.io/kubernetes
`pkg/apis/core/validation/validation.go`.
"""

from dataclasses import dataclass, field
from typing import Any

from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from kapi.api.names import port_name_errors
from kapi.api.object import Object
from kapi.registry.core.env_validation import environment, environment_from
from kapi.registry.core.mount_validation import volume_devices, volume_mounts
from kapi.registry.core.probe_validation import (
    lifecycle,
    readiness_probe,
    single_success_probe,
)
from kapi.registry.core.resource_validation import container_resources
from kapi.registry.core.security_validation import container_security
from kapi.registry.fields import complaints, in_range, one_of, required_name

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RULE_ACTIONS = ("Restart", "RestartAllContainers")
_RULE_OPERATORS = ("In", "NotIn")
_RESIZE_RESOURCES = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")

_NOT_FOR_EPHEMERAL = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
)


@dataclass(slots=True)
class PodFacts:
    """What a container's validation must know of its pod."""

    spec: Object
    volumes: dict[str, Object] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)

    @property
    def grace_seconds(self) -> int:
        return int(self.spec.get("terminationGracePeriodSeconds") or 0)

    @property
    def host_users(self) -> bool:
        return self.spec.get("hostUsers") is not False


def containers(facts: PodFacts, path: str) -> list[FieldError]:
    """`spec.containers`."""
    items = facts.spec.get("containers") or []
    if not items:
        return [required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(items):
        own = f"{path}[{index}]"
        errors += _common(container, facts, own)
        errors += _unique(container, seen, own)
        errors += lifecycle(container.get("lifecycle"), facts.grace_seconds, f"{own}.lifecycle")
        errors += _probes(container, own)
        errors += _restart_policy(container, own)
    return errors + _host_ports_unique(items, path)


def init_containers(facts: PodFacts, path: str) -> list[FieldError]:
    """`spec.initContainers`; those that restart always run beside the others, as sidecars."""
    errors: list[FieldError] = []
    seen = {str(item.get("name") or "") for item in facts.spec.get("containers") or ()}
    for index, container in enumerate(facts.spec.get("initContainers") or ()):
        own = f"{path}[{index}]"
        errors += _common(container, facts, own)
        errors += _unique(container, seen, own)
        errors += _restart_policy(container, own)
        if container.get("restartPolicy") == "Always":
            grace = facts.grace_seconds
            errors += lifecycle(container.get("lifecycle"), grace, f"{own}.lifecycle")
            errors += _probes(container, own)
        else:
            for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(name) is not None:
                    text = "may not be set for init containers without restartPolicy=Always"
                    errors.append(forbidden(f"{own}.{name}", text))
        errors += _host_ports_unique([container], own, single=True)
    return errors


def ephemeral_containers(facts: PodFacts, path: str) -> list[FieldError]:
    """`spec.ephemeralContainers`."""
    errors: list[FieldError] = []
    others = [
        str(item.get("name") or "")
        for kind in ("containers", "initContainers")
        for item in facts.spec.get(kind) or ()
    ]
    seen = set(others)
    for index, container in enumerate(facts.spec.get("ephemeralContainers") or ()):
        own = f"{path}[{index}]"
        errors += _common(container, facts, own, ephemeral=True)
        errors += _unique(container, seen, own)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(not_found(f"{own}.targetContainerName", target))
        for name in _NOT_FOR_EPHEMERAL:
            if container.get(name):
                errors.append(
                    forbidden(f"{own}.{name}", "cannot be set for an Ephemeral Container")
                )
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    text = "cannot be set for an Ephemeral Container"
                    errors.append(forbidden(f"{own}.volumeMounts[{number}].{name}", text))
    return errors


def _unique(container: Object, seen: set[str], path: str) -> list[FieldError]:
    name = str(container.get("name") or "")
    if not name:
        return []
    if name in seen:
        return [duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _common(
    container: Object, facts: PodFacts, path: str, *, ephemeral: bool = False
) -> list[FieldError]:
    errors = required_name(container.get("name"), f"{path}.name")
    image = str(container.get("image") or "")
    if not image:
        errors.append(required(f"{path}.image"))
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        errors.append(invalid(f"{path}.image", image, text))
    policy = container.get("terminationMessagePolicy")
    errors += one_of(policy, _MESSAGE_POLICIES, f"{path}.terminationMessagePolicy")
    errors += container_ports(container.get("ports") or [], f"{path}.ports")
    errors += environment(container.get("env") or [], f"{path}.env")
    errors += environment_from(container.get("envFrom") or [], f"{path}.envFrom")
    errors += volume_mounts(container, facts.volumes, f"{path}.volumeMounts")
    errors += volume_devices(container, facts.volumes, f"{path}.volumeDevices")
    errors += one_of(container.get("imagePullPolicy"), PULL_POLICIES, f"{path}.imagePullPolicy")
    if not ephemeral:
        resources = container.get("resources")
        errors += container_resources(resources, facts.claims, f"{path}.resources")
    errors += _resize_policy(container, f"{path}.resizePolicy")
    own = f"{path}.securityContext"
    context = container.get("securityContext")
    return errors + container_security(context, own, host_users=facts.host_users)


def _probes(container: Object, path: str) -> list[FieldError]:
    return [
        *single_success_probe(container.get("livenessProbe"), f"{path}.livenessProbe"),
        *readiness_probe(container.get("readinessProbe"), f"{path}.readinessProbe"),
        *single_success_probe(container.get("startupProbe"), f"{path}.startupProbe"),
    ]


def container_ports(ports: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        own = f"{path}[{index}]"
        name = str(port.get("name") or "")
        if name:
            wrong = port_name_errors(name)
            errors += complaints(f"{own}.name", name, wrong)
            if not wrong:
                if name in names:
                    errors.append(duplicate(f"{own}.name", name))
                names.add(name)
        if not port.get("containerPort"):
            errors.append(required(f"{own}.containerPort"))
        else:
            errors += in_range(port["containerPort"], 1, 65535, f"{own}.containerPort")
        if port.get("hostPort"):
            errors += in_range(port["hostPort"], 1, 65535, f"{own}.hostPort")
        if not port.get("protocol"):
            errors.append(required(f"{own}.protocol"))
        else:
            errors += one_of(port["protocol"], _PROTOCOLS, f"{own}.protocol")
    return errors


def _host_ports_unique(items: list[Object], path: str, *, single: bool = False) -> list[FieldError]:
    """No two containers may ask for the same port of the host."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(items):
        base = path if single else f"{path}[{index}]"
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in seen:
                errors.append(duplicate(f"{base}.ports[{number}].hostPort", key))
            seen.add(key)
    return errors


def host_network_ports(spec: Object, path: str) -> list[FieldError]:
    """On the host's network the container's port is the host's."""
    errors: list[FieldError] = []
    if not spec.get("hostNetwork"):
        return errors
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            for number, port in enumerate(container.get("ports") or ()):
                host = port.get("hostPort") or 0
                if host != port.get("containerPort"):
                    text = "must match `containerPort` when `hostNetwork` is true"
                    own = f"{path}.{kind}[{index}].ports[{number}].hostPort"
                    errors.append(invalid(own, host, text))
    return errors


def _resize_policy(container: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, policy in enumerate(container.get("resizePolicy") or ()):
        name = str(policy.get("resourceName") or "")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        if name not in _RESIZE_RESOURCES:
            errors.append(not_supported(path, name, _RESIZE_RESOURCES))
        how = str(policy.get("restartPolicy") or "")
        if how not in _RESIZE_POLICIES:
            errors.append(not_supported(path, how, _RESIZE_POLICIES))
    return errors


def _restart_policy(container: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is not None:
        errors += one_of(policy, _RESTART_POLICIES, f"{path}.restartPolicy")
    elif rules:
        text = "must specify restartPolicy when restart rules are used"
        errors.append(required(f"{path}.restartPolicy", text))
    for index, rule in enumerate(rules):
        own = f"{path}.restartPolicyRules[{index}]"
        errors += one_of(rule.get("action") or "", _RULE_ACTIONS, f"{own}.action")
        codes = rule.get("exitCodes")
        if codes is None:
            errors.append(required(f"{own}.exitCodes", "must be specified"))
        else:
            operator = codes.get("operator") or ""
            errors += one_of(operator, _RULE_OPERATORS, f"{own}.exitCodes.operator")
    return errors
