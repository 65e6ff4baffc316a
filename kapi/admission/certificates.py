"""Who may approve, sign and ask for which certificates.

Sources: `approval`, `signing` and `subjectrestriction` in k8s.io/kubernetes
`plugin/pkg/admission/certificates`.
"""

import base64
import binascii

from cryptography import x509
from cryptography.x509.oid import NameOID

from kapi.admission.plugin import AdmissionPlugin, refuse
from kapi.api.object import Object
from kapi.api.user import GROUP_MASTERS
from kapi.auth.interface import Attributes, Authorizer
from kapi.registry.admission import AdmissionRequest

_REQUESTS = "certificatesigningrequests.certificates.k8s.io"
_GROUP = "certificates.k8s.io"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class _SignerRight(AdmissionPlugin):
    """Base: a right over signers, by name or for all of a domain."""

    verb = ""
    deed = ""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def _check(self, request: AdmissionRequest) -> None:
        signer = str(((request.old or {}).get("spec") or {}).get("signerName") or "")
        domain = signer.partition("/")[0]
        if not any(self._allows(request, name) for name in (signer, f"{domain}/*")):
            text = f'user not permitted to {self.deed} requests with signerName "{signer}"'
            raise refuse(request, text)

    def _allows(self, request: AdmissionRequest, name: str) -> bool:
        user = request.ctx.user
        question = Attributes(user, self.verb, _GROUP, "*", "signers", name=name)
        return self._authorizer.authorize(question).allowed


class CertificateApproval(_SignerRight):
    verb = deed = "approve"

    def handles(self, request: AdmissionRequest) -> bool:
        return _is_update(request, "approval")

    async def validate(self, request: AdmissionRequest) -> None:
        self._check(request)


class CertificateSigning(_SignerRight):
    verb = deed = "sign"

    def handles(self, request: AdmissionRequest) -> bool:
        return _is_update(request, "status")

    async def validate(self, request: AdmissionRequest) -> None:
        if _signed(request.obj) != _signed(request.old):
            self._check(request)


class CertificateSubjectRestriction(AdmissionPlugin):
    """Nobody asks for a client certificate in the group that may do everything."""

    def handles(self, request: AdmissionRequest) -> bool:
        created = request.operation == "CREATE" and not request.subresource
        return created and request.resource.qualified == _REQUESTS

    async def validate(self, request: AdmissionRequest) -> None:
        spec = (request.obj or {}).get("spec") or {}
        if spec.get("signerName") != _CLIENT_SIGNER:
            return
        if GROUP_MASTERS in _organizations(spec.get("request") or ""):
            raise refuse(
                request,
                f"use of {_CLIENT_SIGNER} signer with {GROUP_MASTERS} group is not allowed",
            )


def _is_update(request: AdmissionRequest, subresource: str) -> bool:
    return (
        request.operation == "UPDATE"
        and request.subresource == subresource
        and request.resource.qualified == _REQUESTS
    )


def _signed(obj: Object | None) -> tuple[object, object]:
    """What only a signer may write."""
    status = (obj or {}).get("status") or {}
    return status.get("certificate"), status.get("conditions")


def _organizations(encoded: str) -> set[str]:
    """Organizations in the subject; a request that is none was refused by validation."""
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(encoded))
    except (binascii.Error, ValueError):
        return set()
    names = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return {str(name.value) for name in names}
