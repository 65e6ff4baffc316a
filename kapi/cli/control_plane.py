"""The API server of a cluster on this machine: store, identities, listener.

Used by `kapi apiserver` alone, and by the control-plane daemon together with the controllers, the
scheduler and simulated nodes.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from kapi import env
from kapi.api.user import GROUP_AUTHENTICATED, GROUP_MASTERS, SERVICE_ACCOUNT_PREFIX, UserInfo
from kapi.auth.authenticators import (
    StaticTokenAuthenticator,
    UnionAuthenticator,
    X509Authenticator,
)
from kapi.auth.authorizers import cluster_authorizer
from kapi.auth.interface import Authenticator, ObjectLookup
from kapi.auth.pki import KUBELET_CLIENT, ClusterPki
from kapi.auth.service_account_tokens import (
    ServiceAccountTokenAuthenticator,
    ServiceAccountTokenIssuer,
)
from kapi.cli.errors import CliError
from kapi.cli.settings import ClusterSettings, DataDir
from kapi.server import engine
from kapi.server.config import ApiServerConfig
from kapi.server.engine import TlsFiles
from kapi.storage.errors import StorageError
from kapi.storage.interface import Store

if TYPE_CHECKING:
    from kapi.server.api_server import ApiServer

_log = logging.getLogger(__name__)

KUBE_CONTROLLER_MANAGER = UserInfo("system:kube-controller-manager", groups=(GROUP_AUTHENTICATED,))
KUBE_SCHEDULER = UserInfo("system:kube-scheduler", groups=(GROUP_AUTHENTICATED,))

# Makes the objects of the cluster's own add-ons.
ADDON_MANAGER = UserInfo("kapi:addon-manager", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))


def controller_user(name: str) -> UserInfo:
    """The service account that upstream's bootstrap roles give to the controller `name`."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", GROUP_AUTHENTICATED)
    return UserInfo(f"{SERVICE_ACCOUNT_PREFIX}kube-system:{name}", groups=groups)


def node_user(node_name: str) -> UserInfo:
    """A kubelet that runs inside the control-plane process (simulated nodes)."""
    return UserInfo(f"system:node:{node_name}", groups=("system:nodes", GROUP_AUTHENTICATED))


async def open_store(settings: ClusterSettings, data: DataDir) -> Store:
    """etcd if servers are named, SQLite in the data directory otherwise.

    Raises CliError if it cannot be used.
    """
    try:
        if settings.etcd_servers:
            from kapi.storage.etcd import EtcdStore

            return await EtcdStore.open(",".join(settings.etcd_servers))
        from kapi.storage.sqlite import SqliteStore

        return await SqliteStore.open(data.store_file)
    except StorageError as error:
        raise CliError(f"the store cannot be used: {error}") from error


def api_server_config(settings: ClusterSettings, pki: ClusterPki) -> ApiServerConfig:
    """Raises CliError if the token file cannot be used."""
    issuer = ServiceAccountTokenIssuer(pki.ensure_service_account_key())
    static = _static_tokens(settings.token_auth_file)
    kubelet_client = pki.pair(KUBELET_CLIENT.name)

    def make_authenticator(lookup: ObjectLookup) -> Authenticator:
        tokens = ServiceAccountTokenAuthenticator(issuer, lookup)
        return UnionAuthenticator([X509Authenticator(), *static, tokens])

    config = ApiServerConfig(
        make_authenticator=make_authenticator,
        make_authorizer=cluster_authorizer,
        token_issuer=issuer,
        service_cidr=settings.service_cidr,
        shared_store=bool(settings.etcd_servers),
        advertise_address=settings.advertise_address,
        advertise_port=settings.secure_port,
        cluster_ca_pem=pki.ca.cert_pem,
        kubelet_ca_file=str(pki.ca.cert_file),
        kubelet_client_cert_file=str(kubelet_client.cert_file),
        kubelet_client_key_file=str(kubelet_client.key_file),
    )
    return config if settings.anonymous_auth else replace(config, anonymous_paths=())


def _static_tokens(path: str) -> list[Authenticator]:
    if not path:
        return []
    try:
        return [StaticTokenAuthenticator.from_csv(env.read_text(path))]
    except OSError as error:
        raise CliError(f"the token file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CliError(f"{path}: {error}") from None


@asynccontextmanager
async def running_api_server(
    settings: ClusterSettings, data: DataDir, pki: ClusterPki, store: Store | None = None
) -> AsyncIterator["ApiServer"]:
    """An API server that answers on all its addresses; stopped when the context is left.

    `store` is used, and closed, instead of the one that `settings` name. Raises CliError if an
    address is taken.
    """
    from kapi.server.api_server import ApiServer

    store = store or await open_store(settings, data)
    try:
        server = ApiServer(store, api_server_config(settings, pki))
        await server.start()
        try:
            async with _listening(server, settings, pki):
                yield server
        finally:
            await server.stop()
    finally:
        await store.close()


@asynccontextmanager
async def _listening(
    server: "ApiServer", settings: ClusterSettings, pki: ClusterPki
) -> AsyncIterator[None]:
    pair = pki.pair("apiserver")
    tls = TlsFiles(pair.cert_file, pair.key_file, pki.ca.cert_file)
    bind = [(address, settings.secure_port) for address in settings.bind_addresses]
    async with AsyncExitStack() as stack:
        try:
            opened = engine.serving(server.app, bind=bind, tls=tls, name="HTTP engine")
            await stack.enter_async_context(opened)
        except OSError as error:
            raise CliError(f"cannot listen on port {settings.secure_port}: {error}") from None
        _log.info("the API server listens on %s", settings.server_url)
        yield
