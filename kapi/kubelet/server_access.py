"""Who may use the kubelet's server: client certificates of the cluster CA, or tokens.

Source: kubelet authentication and authorization in the Kubernetes docs: a token is checked by
TokenReview, every request by SubjectAccessReview on a subresource of this node.
"""

from cryptography import x509
from cryptography.x509.oid import NameOID
from starlette.requests import HTTPConnection

from kapi import env
from kapi.api.errors import ApiError, Forbidden, Unauthorized
from kapi.api.object import Object
from kapi.api.user import GROUP_MASTERS, UserInfo
from kapi.client.client import Client, ResourceRef

_TOKEN_REVIEWS = ResourceRef(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)
_ACCESS_REVIEWS = ResourceRef(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
_REMEMBER_SECONDS = 30.0
_REMEMBERED_MAX = 1024
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class KubeletAccess:
    """Authenticates and authorizes requests to one kubelet. `client` asks the API server."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._client, self._node_name = client, node_name
        self._allowed: dict[tuple[str, tuple[str, ...], str, str], float] = {}

    async def check(self, connection: HTTPConnection, subresource: str) -> None:
        """Raises Unauthorized or Forbidden."""
        user = await self._user(connection)
        if user is None:
            raise Unauthorized("Unauthorized")
        if GROUP_MASTERS in user.groups:
            return
        verb = _VERBS.get(connection.scope.get("method", "GET"), "")
        # The groups count as much as the name: two credentials may share a name.
        key = (user.name, user.groups, verb, subresource)
        if self._allowed.get(key, 0.0) > env.monotonic():
            return
        if not await self._may(user, verb, subresource):
            raise Forbidden(
                f"Forbidden (user={user.name}, verb={verb}, resource=nodes, "
                f"subresource(s)=[{subresource}])"
            )
        if len(self._allowed) >= _REMEMBERED_MAX:
            self._allowed.clear()
        self._allowed[key] = env.monotonic() + _REMEMBER_SECONDS

    async def _user(self, connection: HTTPConnection) -> UserInfo | None:
        der = (connection.scope.get("state") or {}).get("client_certificate")
        if der:
            return certificate_user(der)
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        review: Object = {
            "apiVersion": _TOKEN_REVIEWS.api_version,
            "kind": "TokenReview",
            "spec": {"token": token.strip()},
        }
        try:
            status = (await self._client.create(_TOKEN_REVIEWS, "", review)).get("status") or {}
        except (ApiError, ConnectionError):
            return None
        if not status.get("authenticated"):
            return None
        user = status.get("user") or {}
        return UserInfo(
            user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ())
        )

    async def _may(self, user: UserInfo, verb: str, subresource: str) -> bool:
        review: Object = {
            "apiVersion": _ACCESS_REVIEWS.api_version,
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name,
                "groups": list(user.groups),
                "resourceAttributes": {
                    "verb": verb,
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": subresource,
                    "name": self._node_name,
                },
            },
        }
        try:
            answer = await self._client.create(_ACCESS_REVIEWS, "", review)
        except (ApiError, ConnectionError):
            return False
        return bool((answer.get("status") or {}).get("allowed"))


def certificate_user(der: bytes) -> UserInfo:
    """The user a verified client certificate names: common name, and organizations as groups."""
    subject = x509.load_der_x509_certificate(der).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return UserInfo(
        str(names[0].value) if names else "", groups=tuple(str(item.value) for item in groups)
    )
