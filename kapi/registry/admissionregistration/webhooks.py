"""ValidatingWebhookConfiguration and MutatingWebhookConfiguration.

Source: k8s.io/kubernetes `pkg/apis/admissionregistration/validation/validation.go`, and
k8s.io/apiserver `pkg/util/webhook/validation.go` for the client configuration.
"""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from kapi.api.errors import FieldError, duplicate, invalid, required
from kapi.api.names import (
    dns1035_label_errors,
    dns_subdomain_errors,
    inclusive_range_error,
)
from kapi.api.object import Object, name_of
from kapi.registry.admissionregistration import matching
from kapi.registry.fields import complaints, one_of
from kapi.registry.strategy import AGE_COLUMN, NAME_COLUMN, Column, Strategy, age

_REVIEW_VERSIONS = ("v1", "v1beta1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REINVOCATION = ("IfNeeded", "Never")
_FORM = "; desired format: https://host[/path]"


class ValidatingWebhookConfigurationStrategy(Strategy):
    """Source: `pkg/registry/admissionregistration/validatingwebhookconfiguration/strategy.go`."""

    allow_unconditional_update = False
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column(
            "Webhooks",
            "integer",
            about="Webhooks indicates the number of webhooks registered in this configuration",
        ),
        AGE_COLUMN,
    )

    def default(self, obj: Object) -> None:
        for hook in obj.get("webhooks") or ():
            if hook.get("failurePolicy") is None:
                hook["failurePolicy"] = "Fail"
            if hook.get("timeoutSeconds") is None:
                hook["timeoutSeconds"] = 10
            matching.default_selection(hook)
            matching.default_rules(hook.get("rules"))
            service = (hook.get("clientConfig") or {}).get("service")
            if service is not None and service.get("port") is None:
                service["port"] = 443

    def validate(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, hook in enumerate(obj.get("webhooks") or ()):
            path = f"webhooks[{index}]"
            errors += self._webhook(hook, path)
            name = hook.get("name")
            if name and name in seen:
                errors.append(duplicate(f"{path}.name", name))
            seen.add(name)
        return errors

    def _webhook(self, hook: Object, path: str) -> list[FieldError]:
        errors = _name(hook.get("name"), f"{path}.name")
        for index, rule in enumerate(hook.get("rules") or ()):
            errors += matching.rule_with_operations(rule, f"{path}.rules[{index}]")
        errors += one_of(
            hook.get("failurePolicy"), matching.FAILURE_POLICIES, f"{path}.failurePolicy"
        )
        errors += one_of(hook.get("matchPolicy"), matching.MATCH_POLICIES, f"{path}.matchPolicy")
        if not hook.get("sideEffects"):
            words = ", ".join(_SIDE_EFFECTS)
            errors.append(required(f"{path}.sideEffects", f"must specify one of {words}"))
        else:
            errors += one_of(hook["sideEffects"], _SIDE_EFFECTS, f"{path}.sideEffects")
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            text = "the timeout value must be between 1 and 30 seconds"
            errors.append(invalid(f"{path}.timeoutSeconds", seconds, text))
        errors += matching.selectors(hook, path)
        errors += client_config(hook.get("clientConfig") or {}, f"{path}.clientConfig")
        errors += matching.match_conditions(hook.get("matchConditions"), f"{path}.matchConditions")
        return errors + _review_versions(
            hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions"
        )

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        return [name_of(obj), len(obj.get("webhooks") or ()), age(obj, now)]


class MutatingWebhookConfigurationStrategy(ValidatingWebhookConfigurationStrategy):
    """Its webhooks may be called again after others changed the object."""

    def default(self, obj: Object) -> None:
        super().default(obj)
        for hook in obj.get("webhooks") or ():
            if hook.get("reinvocationPolicy") is None:
                hook["reinvocationPolicy"] = "Never"

    def _webhook(self, hook: Object, path: str) -> list[FieldError]:
        policy = one_of(hook.get("reinvocationPolicy"), _REINVOCATION, f"{path}.reinvocationPolicy")
        return super()._webhook(hook, path) + policy


def _name(name: str | None, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    problems = dns_subdomain_errors(name)
    if problems:
        return [invalid(path, name, ",".join(problems))]
    if name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        return [invalid(path, name, text)]
    return []


def _review_versions(versions: list[str], path: str) -> list[FieldError]:
    words = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        return [required(path, f"must specify one of {words}")]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        own = f"{path}[{index}]"
        if version in versions[:index]:
            errors.append(invalid(own, version, "duplicate version"))
        else:
            errors += complaints(own, version, dns1035_label_errors(version))
    if not set(versions) & set(_REVIEW_VERSIONS):
        errors.append(invalid(path, versions, f"must include at least one of {words}"))
    return errors


def client_config(config: Object, path: str) -> list[FieldError]:
    """Where the webhook is: a URL or a Service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return webhook_url(url, f"{path}.url")
    return webhook_service(service or {}, f"{path}.service")


def webhook_url(url: str, path: str) -> list[FieldError]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}{_FORM}")]
    errors: list[FieldError] = []
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme{_FORM}"
        errors.append(invalid(path, parts.scheme, text))
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        errors.append(invalid(path, host, f"host must be specified{_FORM}"))
    if at:
        errors.append(invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def webhook_service(service: Object, path: str) -> list[FieldError]:
    # Upstream's callers hand name and namespace over in each other's place, and clients see it.
    errors: list[FieldError] = []
    if not service.get("namespace"):
        errors.append(required(f"{path}.name"))
    if not service.get("name"):
        errors.append(required(f"{path}.namespace"))
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        text = f"port is not valid: {inclusive_range_error(1, 65535)}"
        errors.append(invalid(f"{path}.port", port, text))
    return errors + _url_path(service.get("path") or "", f"{path}.path")


def _url_path(text: str, path: str) -> list[FieldError]:
    if text in ("", "/"):
        return []
    if text == "//":
        return [invalid(path, text, "segment[0] may not be empty")]
    errors: list[FieldError] = []
    if not text.startswith("/"):
        errors.append(invalid(path, text, "must start with a '/'"))
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(invalid(path, text, f"segment[{index}] may not be empty"))
            continue
        for problem in dns_subdomain_errors(step):
            errors.append(invalid(path, text, f"segment[{index}]: {problem}"))
    return errors
