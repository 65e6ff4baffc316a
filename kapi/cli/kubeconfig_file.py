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
    current = read(target) if target.exists() else {}
    current = current or {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    for section in _SECTIONS:
        fresh = {entry["name"]: entry for entry in addition[section]}
        kept = [entry for entry in current.get(section) or () if entry.get("name") not in fresh]
        current[section] = [*kept, *fresh.values()]
    current["current-context"] = addition["current-context"]
    write(target, current)


def read(path: Path) -> dict[str, Any]:
    """The file's content, empty if the file is. Raises CliError if it is not a kubeconfig."""
    try:
        content = yaml.load(env.read_text(path), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise CliError(f"{path} is not valid YAML; it was left as it is") from None
    if content is not None and not isinstance(content, dict):
        raise CliError(f"{path} is not a kubeconfig; it was left as it is")
    return content or {}


def remove_context(path: Path, source: Path) -> None:
    """Take kapi's entries out of the file again, if they are those of the kubeconfig `source`.

    Does nothing where there is nothing to do: another cluster of the same name keeps its entries.
    """
    target = path.resolve()
    if not target.exists() or not source.exists():
        return
    current, own = read(target), read(source)
    if not any(entry in own["clusters"] for entry in current.get("clusters") or ()):
        return
    for section in _SECTIONS:
        names = {entry["name"] for entry in own[section]}
        current[section] = [
            entry for entry in current.get(section) or () if entry.get("name") not in names
        ]
    if current.get("current-context") == NAME:
        current["current-context"] = ""
    write(target, current)
