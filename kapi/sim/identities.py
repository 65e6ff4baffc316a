"""Who the parts of a simulated cluster are, and the API server's trust in them."""

from dataclasses import dataclass
from typing import cast

from kapi import env
from kapi.api.object import Object
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, SERVICE_ACCOUNT_PREFIX, UserInfo
from kapi.auth.authenticators import UnionAuthenticator
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.tokens import IssuedToken
from kapi.client.in_process import AsgiApp, InProcessTransport
from kapi.controllers.manager import MANAGER
from kapi.server.api_server import ApiServer
from kapi.server.config import ApiServerConfig

ADMIN = UserInfo("kapi:simulation", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
SCHEDULER = UserInfo("system:kube-scheduler", groups=(GROUP_AUTHENTICATED,))
_CONTROLLER_GROUPS = (
    "system:serviceaccounts",
    "system:serviceaccounts:kube-system",
    GROUP_AUTHENTICATED,
)


@dataclass(slots=True)
class SimTokenIssuer:
    """Tokens that name their subject and prove nothing: no component here checks one."""

    issuer: str = "https://kubernetes.default.svc"
    audiences: tuple[str, ...] = ("https://kubernetes.default.svc",)
    issued: int = 0

    def issue(
        self,
        service_account: Object,
        *,
        audiences: tuple[str, ...],
        expiration_seconds: int,
        bound_object: Object | None,
        node: Object | None = None,
    ) -> IssuedToken:
        self.issued += 1
        name = service_account["metadata"]["name"]
        return IssuedToken(f"simulated-{name}-{self.issued}", env.timestamp())

    def jwks(self) -> Object:
        return {"keys": []}


def controller_user(name: str) -> UserInfo:
    """The identity under which the controller `name` acts."""
    if name == MANAGER:
        return UserInfo(f"system:{MANAGER}", groups=(GROUP_AUTHENTICATED,))
    return UserInfo(f"{SERVICE_ACCOUNT_PREFIX}kube-system:{name}", groups=_CONTROLLER_GROUPS)


def node_user(name: str) -> UserInfo:
    return UserInfo(f"system:node:{name}", groups=("system:nodes", GROUP_AUTHENTICATED))


def in_process(server: ApiServer, user: UserInfo) -> InProcessTransport:
    """A way to the server for this user, with nothing in between."""
    # The server's ASGI types are narrower (dict) than the transport's (any mutable mapping).
    return InProcessTransport(cast(AsgiApp, server.app), user)


def api_server_config() -> ApiServerConfig:
    """Identities come with the in-process transport; what they may do is judged by RBAC."""
    return ApiServerConfig(
        make_authenticator=lambda lookup: UnionAuthenticator([]),
        make_authorizer=cluster_authorizer,
        token_issuer=SimTokenIssuer(),
        advertise_address="192.0.2.1",
    )
