"""Decides what a cluster shall consist of, from options, what was there before, and the machine."""

import asyncio
import ipaddress
import os
import shutil
import socket
from dataclasses import dataclass, replace
from typing import Literal

from kapi import env
from kapi.api.names import dns_subdomain_errors
from kapi.cli.errors import CliError
from kapi.cli.settings import ClusterSettings

DOCKER_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for; None and empty mean as before, or the default."""

    nodes: int | None = None
    simulated_nodes: int | None = None
    etcd_servers: tuple[str, ...] = ()
    runtime: Literal["auto", "docker", "simulated"] = "auto"
    secure_port: int | None = None
    bind_addresses: tuple[str, ...] = ()
    token_auth_file: str = ""
    service_cidr: str = ""
    cluster_cidr: str = ""
    node_name: str = ""
    anonymous_auth: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings to run with, and what the person should know about them."""

    settings: ClusterSettings
    notes: tuple[str, ...] = ()


async def make_plan(wishes: Wishes, before: ClusterSettings | None) -> Plan:
    """Raises CliError for wishes that cannot be fulfilled."""
    notes: list[str] = []
    base = before or ClusterSettings(cluster_id=env.name_suffix(8))
    _check_network(wishes, before)
    docker = wishes.runtime == "docker" or (
        wishes.runtime == "auto" and await docker_answers(DOCKER_SOCKET)
    )
    if wishes.runtime == "docker" and not await docker_answers(DOCKER_SOCKET):
        raise CliError(f"no Docker engine answers at {DOCKER_SOCKET}; start it, as in: dockerd &")
    if wishes.runtime == "auto" and not docker:
        notes.append("No Docker engine answers: nodes are simulated, pods run no containers.")
    if docker and not can_route():
        notes.append("Not root, or no nft program: Services and cluster DNS will not work.")
    settings = replace(
        base,
        runtime="docker" if docker else "simulated",
        secure_port=wishes.secure_port or base.secure_port,
        etcd_servers=wishes.etcd_servers or base.etcd_servers,
        token_auth_file=wishes.token_auth_file or base.token_auth_file,
        service_cidr=wishes.service_cidr or base.service_cidr,
        cluster_cidr=wishes.cluster_cidr or base.cluster_cidr,
        anonymous_auth=(
            base.anonymous_auth if wishes.anonymous_auth is None else wishes.anonymous_auth
        ),
    )
    settings = _with_nodes(settings, wishes, before)
    return Plan(_with_addresses(settings, wishes, before), tuple(notes))


def _check_network(wishes: Wishes, before: ClusterSettings | None) -> None:
    for name, cidr, old in (
        ("--service-cidr", wishes.service_cidr, before.service_cidr if before else ""),
        ("--cluster-cidr", wishes.cluster_cidr, before.cluster_cidr if before else ""),
    ):
        if not cidr:
            continue
        try:
            ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise CliError(f"{name}: {error}") from None
        if old and cidr != old:
            raise CliError(f"{name} cannot change for an existing cluster (it is {old})")


def _with_nodes(
    settings: ClusterSettings, wishes: Wishes, before: ClusterSettings | None
) -> ClusterSettings:
    docker = settings.runtime == "docker"
    known = len(settings.node_names) if docker else 0
    wanted = wishes.nodes if wishes.nodes is not None else known or (1 if before is None else 0)
    simulated = (
        settings.simulated_nodes if wishes.simulated_nodes is None else wishes.simulated_nodes
    )
    if wanted < 0 or simulated < 0:
        raise CliError("the number of nodes cannot be negative")
    if not docker:
        if wishes.simulated_nodes is None:
            simulated = wanted or simulated or 1
        return replace(settings, node_names=(), simulated_nodes=simulated)
    if wishes.nodes is None and not known and not simulated:
        wanted = 1
    base = wishes.node_name or (settings.node_names[0] if settings.node_names else _host_name())
    if errors := dns_subdomain_errors(base):
        raise CliError(f"--node-name {base!r}: {errors[0]}")
    names = tuple(base if number == 1 else f"{base}-{number}" for number in range(1, wanted + 1))
    return replace(settings, node_names=names, simulated_nodes=simulated)


def _with_addresses(
    settings: ClusterSettings, wishes: Wishes, before: ClusterSettings | None
) -> ClusterSettings:
    """Loopback, and the pod bridge if there are real pods; or what was asked for."""
    bridge = settings.bridge_address if settings.runtime == "docker" else ""
    asked = wishes.bind_addresses or (
        tuple(item for item in before.bind_addresses if item != before.bridge_address)
        if before
        else ()
    )
    for address in asked:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise CliError(f"--bind-address: {error}") from None
    addresses = asked or ("127.0.0.1",)
    if bridge and "0.0.0.0" not in addresses and bridge not in addresses:
        addresses = (*addresses, bridge)
    return replace(settings, bind_addresses=addresses, advertise_address=bridge or addresses[0])


def _host_name() -> str:
    name = socket.gethostname().lower().strip(".")
    return "kapi" if dns_subdomain_errors(name) else name


def can_route() -> bool:
    """May this process change packet filtering, and is the program for it there?"""
    return os.geteuid() == 0 and shutil.which("nft", path=_search_path()) is not None


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


async def docker_answers(path: str) -> bool:
    """Does a Docker engine answer its ping on this socket?"""
    try:
        async with asyncio.timeout(3.0):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = await reader.read(4096)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in answer.split(b"\r\n", 1)[0]


def check_port_free(address: str, port: int) -> None:
    """Raises CliError if something listens there already."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise CliError(
                f"port {port} of {address} cannot be used ({error.strerror}); "
                "choose another with --secure-port"
            ) from None
