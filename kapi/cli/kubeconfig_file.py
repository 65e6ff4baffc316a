"""Kubeconfig files: made for kapi's own users, and merged into what a person already has."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kapi import env
from kapi.auth.pki import KeyPair
from kapi.cli.errors import CliError

NAME = "kapi"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_SECTIONS = ("clusters", "users", "contexts")


@dataclass(frozen=True, slots=True)
class Access:
    """A server, the authority it is checked by, and a client certificate for it."""

    server: str
    ca_pem: str
    pair: KeyPair


def document(access: Access, user: str = NAME) -> dict[str, Any]:
    """A kubeconfig with everything embedded, as kind and kubeadm write it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "certificate-authority-data": _embedded(access.ca_pem),
                    "server": access.server,
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _embedded(access.pair.cert_pem),
                    "client-key-data": _embedded(access.pair.key_pem),
                },
            }
        ],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": user}}],
        "current-context": NAME,
    }


def _embedded(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the file unless it says so already; readable by its owner only."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False).encode()
    if path.exists() and env.read_bytes(path) == text:
        return
    env.make_dir(path.parent)
    env.write_private(path, text)


def user_kubeconfig() -> Path:
    """The file kubectl would change: the first that exists of $KUBECONFIG, or its last."""
    listed = [Path(item) for item in os.environ.get("KUBECONFIG", "").split(os.pathsep) if item]
    if not listed:
        return Path.home() / ".kube" / "config"
    return next((path for path in listed if path.exists()), listed[-1])


def merge(path: Path, addition: dict[str, Any]) -> None:
    """Put the entries of `addition` into the file, replacing those of the same name.

    Everything else in the file stays. Raises CliError if the file is not a kubeconfig: a file
    that cannot be read in full is never written.
    """
    target = path.resolve()
    current: Any = None
    if target.exists():
        try:
            current = yaml.load(env.read_text(target), Loader=_Loader)
        except (yaml.YAMLError, UnicodeDecodeError):
            raise CliError(f"{path} is not valid YAML; it was left as it is") from None
    if current is None:
        current = {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    if not isinstance(current, dict):
        raise CliError(f"{path} is not a kubeconfig; it was left as it is")
    for section in _SECTIONS:
        fresh = {entry["name"]: entry for entry in addition[section]}
        kept = [entry for entry in current.get(section) or () if entry.get("name") not in fresh]
        current[section] = [*kept, *fresh.values()]
    current["current-context"] = addition["current-context"]
    write(target, current)
