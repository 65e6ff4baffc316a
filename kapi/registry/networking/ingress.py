"""Ingress and IngressClass.

Source: k8s.io/kubernetes `pkg/apis/networking/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi.api.errors import (
    FieldError,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from kapi.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    domain_prefixed_path_errors,
    ip_errors,
    port_name_errors,
    wildcard_subdomain_errors,
)
from kapi.api.object import Object, annotations_of, name_of
from kapi.registry.cells import MAXIMUM_SHOWN, NONE, more
from kapi.registry.core.pod_validation import ip_address
from kapi.registry.fields import complaints, immutable, port_number
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_END = ("/..", "/.")
_LONGEST_CONTROLLER = 250


class IngressStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/networking/ingress/strategy.go`."""

    has_generation = True
    has_status = True
    columns = (
        NAME_COLUMN,
        Column(
            "Class",
            about=(
                "The name of the IngressClass resource that should be used "
                "for additional configuration"
            ),
        ),
        Column(
            "Hosts",
            about="Hosts that incoming requests are matched against before the ingress rule",
        ),
        Column(
            "Address", about="Address is a list containing ingress points for the load-balancer"
        ),
        Column("Ports", about="Ports of TLS configurations that open"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["status"] = dict(old.get("status") or {})

    def validate(self, obj: Object) -> list[FieldError]:
        annotation = annotations_of(obj).get(CLASS_ANNOTATION)
        name = (obj.get("spec") or {}).get("ingressClassName")
        errors: list[FieldError] = []
        if annotation is not None and name is not None and annotation != name:
            text = "must match `ingressClassName` when both are specified"
            errors.append(invalid(f"annotations.{CLASS_ANNOTATION}", annotation, text))
        return errors + _spec(obj.get("spec") or {})

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _spec(obj.get("spec") or {})

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        errors: list[FieldError] = []
        for index, item in enumerate(balancer.get("ingress") or ()):
            path = f"status.loadBalancer.ingress[{index}]"
            if item.get("ip"):
                errors += ip_address(item["ip"], f"{path}.ip")
            if item.get("hostname"):
                errors += _host(item["hostname"], f"{path}.hostname")
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        if old is None and CLASS_ANNOTATION in annotations_of(obj):
            return [
                f'annotation "{CLASS_ANNOTATION}" is deprecated, please use '
                "'spec.ingressClassName' instead"
            ]
        return []

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        addresses = [
            str(item.get("ip") or item.get("hostname") or "")
            for item in balancer.get("ingress") or ()
        ]
        return [
            name_of(obj),
            spec.get("ingressClassName") or NONE,
            _hosts_cell(spec),
            ",".join(addresses),
            "80, 443" if spec.get("tls") else "80",
            age(obj, now),
        ]


def _hosts_cell(spec: Object) -> str:
    hosts = [str(rule["host"]) for rule in spec.get("rules") or () if rule.get("host")]
    if not hosts:
        return "*"
    return more(hosts[:MAXIMUM_SHOWN], len(hosts))


def _spec(spec: Object) -> list[FieldError]:
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    errors: list[FieldError] = []
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid("spec", None, text))
    if backend is not None:
        errors += _backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        errors += _tls(tls, f"spec.tls[{index}]")
    name = spec.get("ingressClassName")
    if name is not None:
        errors += complaints("spec.ingressClassName", name, dns_subdomain_errors(name))
    return errors


def _host(host: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not ip_errors(host):
        errors.append(invalid(path, host, "must be a DNS name, not an IP address"))
    return errors + _host_name(host, path)


def _host_name(host: str, path: str) -> list[FieldError]:
    check = wildcard_subdomain_errors if "*" in host else dns_subdomain_errors
    return complaints(path, host, check(host))


def _rule(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if rule.get("host"):
        errors += _host(rule["host"], f"{path}.host")
    http = rule.get("http")
    if http is None:
        return errors
    paths = http.get("paths") or []
    if not paths:
        errors.append(required(f"{path}.http.paths"))
    for index, item in enumerate(paths):
        errors += _path(item, f"{path}.http.paths[{index}]")
    return errors


def _path(item: Object, path: str) -> list[FieldError]:
    kind, text = item.get("pathType"), str(item.get("path") or "")
    own = f"{path}.path"
    errors: list[FieldError] = []
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.append(invalid(own, text, "must be an absolute path"))
        if text:
            for part in _NOT_IN_PATH:
                if part in text:
                    errors.append(invalid(own, text, f"must not contain '{part}'"))
            for part in _NOT_AT_END:
                if text.endswith(part):
                    errors.append(invalid(own, text, f"cannot end with '{part}'"))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(own, text, "must be an absolute path"))
    else:
        errors.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    return errors + _backend(item.get("backend") or {}, f"{path}.backend")


def _backend(backend: Object, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        own = f"{path}.resource"
        return [required(f"{own}.{field}") for field in ("kind", "name") if not resource.get(field)]
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    errors: list[FieldError] = []
    own, name = f"{path}.service", str(service.get("name") or "")
    if not name:
        errors.append(required(f"{own}.name"))
    else:
        errors += complaints(f"{own}.name", name, dns_label_errors(name))
    port = service.get("port") or {}
    port_name, number = port.get("name"), port.get("number")
    if port_name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif not port_name and not number:
        errors.append(required(path, "port name or number is required"))
    elif port_name:
        errors += complaints(f"{own}.port.name", port_name, port_name_errors(port_name))
    else:
        errors += port_number(number, f"{own}.port.number")
    return errors


def _tls(tls: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, host in enumerate(tls.get("hosts") or ()):
        errors += _host_name(host, f"{path}.hosts[{index}]")
    secret = tls.get("secretName")
    if secret:
        errors += complaints(f"{path}.secretName", secret, dns_subdomain_errors(secret))
    return errors


class IngressClassStrategy(Strategy):
    """Source: k8s.io/kubernetes `pkg/registry/networking/ingressclass/strategy.go`."""

    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Controller", about="Controller that is responsible for handling this class"),
        Column("Parameters", about="A reference to a resource with additional parameters"),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        parameters = obj.setdefault("spec", {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec") or {}
        controller = str(spec.get("controller") or "")
        path = "spec.controller"
        errors: list[FieldError] = []
        if not controller:
            errors.append(required(path))
        elif len(controller) > _LONGEST_CONTROLLER:
            errors.append(too_long(path, _LONGEST_CONTROLLER))
        else:
            errors += complaints(path, controller, domain_prefixed_path_errors(controller))
        return errors + _parameters(spec.get("parameters"), "spec.parameters")

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        new = (obj.get("spec") or {}).get("controller")
        before = (old.get("spec") or {}).get("controller")
        parameters = (obj.get("spec") or {}).get("parameters")
        return [
            *immutable(new, before, "spec.controller"),
            *_parameters(parameters, "spec.parameters"),
        ]

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        parameters = spec.get("parameters")
        shown = NONE
        if parameters is not None:
            group = parameters.get("apiGroup")
            kind = f"{parameters.get('kind')}.{group}" if group else parameters.get("kind")
            shown = f"{kind}/{parameters.get('name')}"
        return [name_of(obj), spec.get("controller") or "", shown, age(obj, now)]


def _parameters(parameters: Object | None, path: str) -> list[FieldError]:
    if parameters is None:
        return []
    errors = [
        required(f"{path}.{field}") for field in ("kind", "name") if not parameters.get(field)
    ]
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{path}.scope", scope or "", ("Cluster", "Namespace")))
    elif scope == "Namespace" and not namespace:
        text = "`parameters.scope` is set to 'Namespace'"
        errors.append(required(f"{path}.namespace", text))
    elif scope == "Cluster" and namespace is not None:
        text = "`parameters.scope` is set to 'Cluster'"
        errors.append(forbidden(f"{path}.namespace", text))
    return errors
