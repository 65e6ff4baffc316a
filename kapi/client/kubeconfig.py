"""Reads a kubeconfig file: which server, which CA, which credentials.

Only what a component needs: certificates, tokens and token files. Credential plugins (`exec`) and
proxies are refused by name rather than ignored.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kapi import env

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KubeconfigError(ValueError):
    """The file cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True, repr=False)
class Kubeconfig:
    """One context, resolved. PEM contents, not paths; `token_file` is read again when it ages.

    Has no repr of its fields: they are secrets.
    """

    server: str
    ca_pem: str = ""
    client_cert_pem: str = ""
    client_key_pem: str = ""
    token: str = ""
    token_file: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    namespace: str = "default"


def load_kubeconfig(path: str | Path, context: str = "") -> Kubeconfig:
    """The named context of the file, or its current one.

    Raises KubeconfigError for a malformed file or a missing entry, OSError if unreadable.
    """
    source = Path(path)
    try:
        document = yaml.load(env.read_text(source), Loader=_Loader)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise KubeconfigError(f"{source}: not a kubeconfig")
    name = context or document.get("current-context") or ""
    if not name:
        raise KubeconfigError(f"{source}: no context is chosen")
    chosen = _named(source, document, "contexts", name)
    cluster = _named(source, document, "clusters", chosen.get("cluster", ""))
    user = _named(source, document, "users", chosen["user"]) if chosen.get("user") else {}
    for entry, keys in ((cluster, ("proxy-url",)), (user, ("exec", "auth-provider", "username"))):
        for key in keys:
            if entry.get(key):
                raise KubeconfigError(f"{source}: {key} is not supported")
    if not cluster.get("server"):
        raise KubeconfigError(f"{source}: the cluster of context {name!r} has no server")
    token_file = user.get("tokenFile") or ""
    return Kubeconfig(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=_pem(source, cluster, "certificate-authority"),
        client_cert_pem=_pem(source, user, "client-certificate"),
        client_key_pem=_pem(source, user, "client-key"),
        token=str(user.get("token") or ""),
        token_file=str(source.parent / token_file) if token_file else "",
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=str(chosen.get("namespace") or "default"),
    )


def _named(source: Path, document: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    key = section.removesuffix("s")
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise KubeconfigError(f"{source}: {key} {name!r} does not exist")


def _pem(source: Path, entry: dict[str, Any], key: str) -> str:
    """Embedded `<key>-data` wins over the file `<key>`, as in client-go."""
    data = entry.get(f"{key}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            raise KubeconfigError(f"{source}: {key}-data is not base64 of PEM") from None
    return env.read_text(source.parent / entry[key]) if entry.get(key) else ""
