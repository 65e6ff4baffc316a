"""What an API server is told at start: values only, no behaviour."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kapi.auth.interface import Authenticator, Authorizer, ObjectLookup
from kapi.auth.tokens import TokenIssuer


@dataclass(frozen=True, slots=True)
class ApiServerConfig:
    """How to build an API server.

    `make_authenticator` and `make_authorizer` receive read access to the server's own cache, as
    service-account tokens and RBAC are judged by what is stored. `kubelet_*` are PEM file paths
    of the client certificate used towards kubelets and of the CA that signed theirs.
    """

    make_authenticator: Callable[[ObjectLookup], Authenticator]
    make_authorizer: Callable[[ObjectLookup], Authorizer]
    token_issuer: TokenIssuer
    service_cidr: str = "10.96.0.0/16"
    node_port_range: tuple[int, int] = (30000, 32767)
    advertise_address: str = "127.0.0.1"
    advertise_port: int = 6443
    shared_store: bool = False
    """May other API servers use the same store (etcd)? Then each keeps a lease."""
    cluster_ca_pem: str = ""
    kubelet_ca_file: str = ""
    kubelet_client_cert_file: str = ""
    kubelet_client_key_file: str = ""
    anonymous_paths: tuple[str, ...] = field(default=("/healthz", "/livez", "/readyz", "/version"))
    max_request_bytes: int = 3 * 1024 * 1024
    max_in_flight: int = 400
    max_mutating_in_flight: int = 200
    watch_bookmark_seconds: float = 60.0
