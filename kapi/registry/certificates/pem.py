"""PEM and DER in certificate requests, judged with upstream's words.

Source: k8s.io/kubernetes `pkg/apis/certificates/{helpers,validation/validation}.go`.
"""

import base64
import binascii
import re

from cryptography import x509

_BLOCK = re.compile(
    rb"-----BEGIN (?P<type>[^-]+)-----\s*\n(?P<body>.*?)-----END (?P=type)-----", re.DOTALL
)
_SEQUENCE = 0x30


def decoded(data: str | None) -> bytes:
    """The bytes of a base64 field; empty if there are none."""
    try:
        return base64.b64decode(data or "", validate=True)
    except binascii.Error:
        return b""


def _blocks(pem: bytes) -> list[tuple[str, bytes, bool]]:
    """(type, DER, has headers) of each block."""
    found = []
    for match in _BLOCK.finditer(pem):
        head, blank, rest = match["body"].replace(b"\r", b"").partition(b"\n\n")
        has_headers = bool(blank) and b":" in head
        body = rest if has_headers else match["body"]
        try:
            der = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            continue
        found.append((match["type"].decode("utf-8", "replace"), der, has_headers))
    return found


def parsed_request(pem: bytes) -> x509.CertificateSigningRequest:
    """The request in the first block. Raises ValueError with what is wrong."""
    blocks = _blocks(pem)
    if not blocks or blocks[0][0] != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    der = blocks[0][1]
    if der and der[0] != _SEQUENCE:
        raise ValueError(_tag_mismatch(der))
    try:
        request = x509.load_der_x509_csr(der)
    except ValueError as error:
        raise ValueError(f"asn1: structure error: {error}") from error
    if not request.is_signature_valid:
        raise ValueError("x509: certificate request signature does not match its public key")
    return request


def _tag_mismatch(der: bytes) -> str:
    """Go's complaint about DER that does not start with a sequence."""
    first = der[0]
    kind, compound = first >> 6, "true" if first & 0x20 else "false"
    length = der[1] if len(der) > 1 else 0
    return (
        f"asn1: structure error: tags don't match (16 vs {{class:{kind} tag:{first & 0x1F} "
        f"length:{length} isCompound:{compound}}}) {{optional:false explicit:false "
        "application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 "
        "set:false omitEmpty:false} certificateRequest @2"
    )


def certificate_problem(pem: bytes) -> str:
    """What is wrong with an issued certificate; nothing is issued yet if it is empty."""
    if not pem:
        return ""
    blocks = _blocks(pem)
    for kind, der, has_headers in blocks:
        if kind != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind}"'
        if has_headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(der)
        except ValueError as error:
            return f"x509: malformed certificate: {error}"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"
