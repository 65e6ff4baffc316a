"""The cluster's certificates and keys, made at first start and renewed at later ones.

One authority signs everything; keys are ECDSA P-256 and readable by their owner only. A
certificate is made anew when it is missing, does not say what is wanted, was signed by another
authority, or ends within a month. Names and organizations follow kubeadm's.
"""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kapi import env

_AUTHORITY_DAYS = 3650
_LEAF_DAYS = 365
_RENEW_BEFORE_DAYS = 30
# Clocks of two machines differ a little; a certificate must not be "from the future" for one.
_BACKDATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """What a certificate should say. `name` is its file name in the PKI directory."""

    name: str
    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    server: bool = False
    client: bool = False


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths of a certificate and its key, both PEM."""

    cert_file: Path
    key_file: Path

    @property
    def cert_pem(self) -> str:
        return env.read_text(self.cert_file)

    @property
    def key_pem(self) -> str:
        return env.read_text(self.key_file)


def client_spec(name: str, common_name: str, *organizations: str) -> CertificateSpec:
    return CertificateSpec(name, common_name, organizations, client=True)


ADMIN = client_spec("admin", "kubernetes-admin", "system:masters")
CONTROLLER_MANAGER = client_spec("controller-manager", "system:kube-controller-manager")
SCHEDULER = client_spec("scheduler", "system:kube-scheduler")
PROXY = client_spec("proxy", "system:kube-proxy")
DNS = client_spec("dns", "system:kube-dns")
KUBELET_CLIENT = client_spec(
    "apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"
)


def node_spec(node_name: str) -> CertificateSpec:
    """The kubelet's identity towards the API server."""
    return client_spec(f"node-{node_name}", f"system:node:{node_name}", "system:nodes")


def kubelet_serving_spec(node_name: str, addresses: tuple[str, ...]) -> CertificateSpec:
    """What the kubelet shows the API server on its own port."""
    return CertificateSpec(
        f"kubelet-{node_name}",
        f"system:node:{node_name}",
        ("system:nodes",),
        (node_name,),
        addresses,
        server=True,
    )


def serving_spec(host_name: str, addresses: tuple[str, ...]) -> CertificateSpec:
    """The API server's certificate; `addresses` must hold the kubernetes Service's IP."""
    return CertificateSpec(
        "apiserver",
        "kube-apiserver",
        dns_names=(
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            host_name,
        ),
        addresses=addresses,
        server=True,
    )


class ClusterPki:
    """The files under one directory. Only one process at a time may call the `ensure` methods."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = KeyPair(directory / "ca.crt", directory / "ca.key")
        self.service_account_key_file = directory / "sa.key"
        self._authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None

    def ensure_authority(self) -> KeyPair:
        """Load the authority, or make it if there is none.

        Raises ValueError if certificate and key do not belong together: replacing an authority
        would lock out everybody, so that is left to people.
        """
        if self._authority is not None:
            return self.ca
        # The certificate is written last: without it nothing was ever signed with the key.
        if self.ca.cert_file.exists():
            certificate, key = _load(self.ca)
            if certificate.public_key() != key.public_key():
                raise ValueError(f"{self.ca.cert_file} and {self.ca.key_file} do not match")
        else:
            env.make_dir(self.directory, 0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _self_signed(key)
            _store(self.ca, certificate, key)
        self._authority = certificate, key
        return self.ca

    def ensure_service_account_key(self) -> bytes:
        """The PEM of the key that signs service-account tokens."""
        if not self.service_account_key_file.exists():
            env.make_dir(self.directory, 0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            env.write_private(self.service_account_key_file, _key_bytes(key))
        return env.read_bytes(self.service_account_key_file)

    def pair(self, name: str) -> KeyPair:
        return KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    def ensure(self, spec: CertificateSpec) -> KeyPair:
        """The pair for `spec`, signed now if what is on disk does not do."""
        self.ensure_authority()
        pair = self.pair(spec.name)
        if not self._is_good(pair, spec):
            key = ec.generate_private_key(ec.SECP256R1())
            _store(pair, self._signed(spec, key), key)
        return pair

    def _is_good(self, pair: KeyPair, spec: CertificateSpec) -> bool:
        if not (pair.cert_file.exists() and pair.key_file.exists()):
            return False
        try:
            certificate, key = _load(pair)
            certificate.verify_directly_issued_by(self._loaded()[0])
        except (ValueError, InvalidSignature):
            return False
        remaining = certificate.not_valid_after_utc - env.now()
        return (
            certificate.public_key() == key.public_key()
            and remaining > timedelta(days=_RENEW_BEFORE_DAYS)
            and certificate.subject == _subject(spec)
            and _alternative_names(certificate) == set(spec.dns_names) | set(spec.addresses)
        )

    def _signed(self, spec: CertificateSpec, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        authority, authority_key = self._loaded()
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if spec.server else []
        usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if spec.client else []
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        builder = (
            _builder(_subject(spec), authority.subject, key, _LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in spec.dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in spec.addresses]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    def _loaded(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        self.ensure_authority()
        assert self._authority is not None
        return self._authority


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(name, name, key, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    start = env.now() - _BACKDATE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(spec: CertificateSpec) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in spec.organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, spec.common_name)])


def _alternative_names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = set(found.get_values_for_type(x509.DNSName))
    return names | {str(address) for address in found.get_values_for_type(x509.IPAddress)}


def _load(pair: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = x509.load_pem_x509_certificate(env.read_bytes(pair.cert_file))
    key = serialization.load_pem_private_key(env.read_bytes(pair.key_file), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{pair.key_file} is not an EC key")
    return certificate, key


def _store(pair: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    env.write_private(pair.key_file, _key_bytes(key))
    env.write_bytes(pair.cert_file, certificate.public_bytes(serialization.Encoding.PEM))


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
