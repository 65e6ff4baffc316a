"""CertificateSigningRequest, its status and its approval.

Source: k8s.io/kubernetes `pkg/registry/certificates/certificates/strategy.go` and
`pkg/apis/certificates/validation/validation.go`.
"""

from datetime import datetime
from typing import Any

from kapi import env
from kapi.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from kapi.api.names import dns_label_errors, dns_subdomain_errors, path_segment_errors
from kapi.api.object import Object, name_of
from kapi.registry.cells import NONE
from kapi.registry.certificates.pem import certificate_problem, decoded, parsed_request
from kapi.registry.status import StatusStrategy
from kapi.registry.strategy import (
    AGE_COLUMN,
    NAME_COLUMN,
    Column,
    RequestContext,
    Strategy,
    age,
    human_duration,
)

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
    "data encipherment", "decipher only", "digital signature", "email protection",
    "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth",
    "signing", "timestamping",
)  # fmt: skip
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_SHORTEST_SECONDS = 600
_LONGEST_DOMAIN = 253
_FINAL = ("Approved", "Denied", "Failed")
_STATUSES = ("False", "True", "Unknown")
# These are the words of the retired v1beta1, which upstream's columns still quote.
_SIGNER_TEXT = (
    "Requested signer for the request. It is a qualified name in the form: "
    "`scope-hostname.io/name`. If empty, it will be defaulted:\n"
    " 1. If it's a kubelet client certificate, it is assigned\n"
    '    "kubernetes.io/kube-apiserver-client-kubelet".\n'
    " 2. If it's a kubelet serving certificate, it is assigned\n"
    '    "kubernetes.io/kubelet-serving".\n'
    ' 3. Otherwise, it is assigned "kubernetes.io/legacy-unknown".\n'
    "Distribution of trust for signers happens out of band. You can select on this field using "
    "`spec.signerName`."
)
_SPEC = "=api.certificates.v1.CertificateSigningRequestSpec"


class CertificateSigningRequestStrategy(Strategy):
    """The spec never changes, and says who asked."""

    has_status = True
    columns = (
        NAME_COLUMN,
        AGE_COLUMN,
        Column("SignerName", about=_SIGNER_TEXT),
        Column("Requestor", about="Base64-encoded PKCS#10 CSR data"),
        Column("RequestedDuration", about=f"{_SPEC}.expirationSeconds"),
        Column("Condition", about="Conditions applied to the request, such as approval or denial."),
    )

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def prepare_for_create(self, ctx: RequestContext, obj: Object) -> None:
        user, spec = ctx.user, obj.setdefault("spec", {})
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}
        obj["status"] = {}

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        obj["spec"] = old.get("spec") or {}

    def validate(self, obj: Object) -> list[FieldError]:
        return _spec(obj.get("spec") or {}) + _status(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return self.judged(obj, old)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return self.judged(obj, old, may_issue=True)

    def judged(
        self, obj: Object, old: Object, *, may_approve: bool = False, may_issue: bool = False
    ) -> list[FieldError]:
        """Complaints about an update of any of the three endpoints."""
        errors = self.validate(obj) + _lost_conditions(obj, old)
        if not may_approve:
            errors += _new_approvals(obj, old)
        new, before = _certificate(obj), _certificate(old)
        if new != before and not may_issue:
            text = "updates may not set certificate content"
            errors.append(forbidden("status.certificate", text))
        elif new != before and before:
            text = "updates may not modify existing certificate content"
            errors.append(forbidden("status.certificate", text))
        return errors

    def selectable_fields(self, obj: Object) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}

    def table_row(self, obj: Object, now: datetime) -> list[Any]:
        spec = obj.get("spec") or {}
        seconds = spec.get("expirationSeconds")
        return [
            name_of(obj),
            age(obj, now),
            spec.get("signerName") or "<none>",
            spec.get("username") or "",
            NONE if seconds is None else human_duration(seconds),
            _state(obj),
        ]


class SigningRequestStatusStrategy(StatusStrategy):
    """A signer's endpoint: the certificate, and conditions but for approval and denial."""

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        super().prepare_for_update(ctx, obj, old)
        _stamp_conditions(obj, old)


class ApprovalStrategy(StatusStrategy):
    """An approver's endpoint: the conditions, and nothing else of status."""

    def __init__(self, main: CertificateSigningRequestStrategy) -> None:
        super().__init__(main)
        self._requests = main

    def prepare_for_update(self, ctx: RequestContext, obj: Object, old: Object) -> None:
        super().prepare_for_update(ctx, obj, old)
        status = dict(old.get("status") or {})
        status["conditions"] = (obj.get("status") or {}).get("conditions")
        if not status["conditions"]:
            del status["conditions"]
        obj["status"] = status
        _stamp_conditions(obj, old)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return self._requests.judged(obj, old, may_approve=True)


def conditions_of(obj: Object) -> list[Object]:
    found: list[Object] = (obj.get("status") or {}).get("conditions") or []
    return found


def _certificate(obj: Object) -> bytes:
    return decoded((obj.get("status") or {}).get("certificate"))


def _stamp_conditions(obj: Object, old: Object) -> None:
    """Fill the two times of each condition that lacks them."""
    now = env.timestamp()
    for condition in conditions_of(obj):
        condition.setdefault("lastUpdateTime", now)
        if condition.get("lastTransitionTime"):
            continue
        condition["lastTransitionTime"] = now
        for before in conditions_of(old):
            same = all(before.get(key) == condition.get(key) for key in ("type", "status"))
            if same and before.get("lastTransitionTime"):
                condition["lastTransitionTime"] = before["lastTransitionTime"]


def _spec(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    try:
        parsed_request(decoded(spec.get("request")))
    except ValueError as error:
        errors.append(invalid("spec.request", spec.get("request") or None, str(error)))
    usages = spec.get("usages") or []
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, _USAGES))
        if usage in usages[:index]:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    if signer == _LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        errors.append(invalid("spec.signerName", signer, text))
    else:
        errors += signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, text))
    return errors


def signer_name(name: str, path: str) -> list[FieldError]:
    """`example.com/signer-name`."""
    if not name:
        return [required(path)]
    if name.count("/") != 1:
        form = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, name, form)]
    domain, _, rest = name.partition("/")
    errors: list[FieldError] = []
    if len(domain) > _LONGEST_DOMAIN:
        errors.append(too_long(path, _LONGEST_DOMAIN))
    for label in domain.split("."):
        for text in dns_label_errors(label):
            errors.append(invalid(path, domain, f'validating label "{label}": {text}'))
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(invalid(path, domain, text))
    for label in rest.split("."):
        for text in dns_subdomain_errors(label):
            errors.append(invalid(path, rest, f'validating label "{label}": {text}'))
    return errors


def _status(obj: Object) -> list[FieldError]:
    path = "status.conditions"
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions_of(obj)):
        own, kind = f"{path}[{index}]", condition.get("type") or ""
        if not kind:
            errors.append(required(f"{own}.type"))
        status = condition.get("status") or ""
        allowed = ("True",) if kind in _FINAL else _STATUSES
        if not status:
            errors.append(required(f"{own}.status"))
        elif status not in allowed:
            errors.append(not_supported(f"{own}.status", status, allowed))
        if {"Approved": "Denied", "Denied": "Approved"}.get(kind) in seen:
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid(path, kind, text))
        if kind in seen:
            errors.append(duplicate(f"{own}.type", kind))
        seen.add(kind)
    problem = certificate_problem(_certificate(obj))
    if problem:
        errors.append(invalid("status.certificate", "<certificate data>", problem))
    return errors


def _count(obj: Object, kind: str) -> int:
    return sum(condition.get("type") == kind for condition in conditions_of(obj))


def _lost_conditions(obj: Object, old: Object) -> list[FieldError]:
    return [
        forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in _FINAL
        if _count(obj, kind) < _count(old, kind)
    ]


def _new_approvals(obj: Object, old: Object) -> list[FieldError]:
    return [
        forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')
        for kind in ("Approved", "Denied")
        if _count(obj, kind) > _count(old, kind)
    ]


def _state(obj: Object) -> str:
    kinds = {condition.get("type") for condition in conditions_of(obj)}
    text = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        text += ",Failed"
    if (obj.get("status") or {}).get("certificate"):
        text += ",Issued"
    return text
