"""`kapi systemd`: unit files for people who want one service per component."""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from kapi.cli.options import DataDirOption, command_of, default_data_dir
from kapi.cli.settings import DataDir


@dataclass(frozen=True, slots=True)
class SystemdOptions:
    """The command line of `kapi systemd`."""

    data_dir: DataDirOption = field(default_factory=default_data_dir)
    etcd_servers: Annotated[
        str, typer.Option(help="etcd v3 URLs, comma separated, instead of SQLite.")
    ] = ""
    node_name: Annotated[str, typer.Option(help="Name of this machine's node.")] = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """One service: what it runs and what must be up before."""

    name: str
    description: str
    arguments: tuple[str, ...]
    after: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    """Units of the distribution that it needs."""


def run(options: SystemdOptions) -> None:
    """Print systemd units, in the order the services start."""
    for unit in units(options):
        typer.echo(f"# /etc/systemd/system/kapi-{unit.name}.service")
        typer.echo(render(unit, _program()))


command = command_of(SystemdOptions, run)


def units(options: SystemdOptions) -> list[Unit]:
    """The services in their order: API server, controllers, scheduler, kubelet, proxy, DNS."""
    import socket

    data = DataDir(options.data_dir.absolute())
    node = options.node_name or socket.gethostname().lower()
    etcd = ("--etcd-servers", options.etcd_servers) if options.etcd_servers else ()
    store = ("etcd.service",) if options.etcd_servers else ()
    bridge = ("--bind-address", "127.0.0.1", "--bind-address", "10.244.0.1")

    def kubeconfig(name: str) -> tuple[str, ...]:
        return ("--kubeconfig", str(data.component_kubeconfig(name)))

    api_server = (
        *("apiserver", "--data-dir", str(data.root), "--node-name", node),
        *bridge,
        *("--advertise-address", "10.244.0.1"),
        *etcd,
    )
    kubelet = ("kubelet", *kubeconfig(f"node-{node}"), "--node-name", node)
    kubelet = (*kubelet, "--data-dir", str(data.root))
    after = ("apiserver",)
    return [
        Unit("apiserver", "Kubernetes API server", api_server, outside=store),
        Unit(
            "controller-manager",
            "Kubernetes controllers",
            ("controller-manager", *kubeconfig("controller-manager")),
            after,
        ),
        Unit("scheduler", "Kubernetes scheduler", ("scheduler", *kubeconfig("scheduler")), after),
        Unit("kubelet", "Kubernetes node agent", kubelet, after, ("docker.service",)),
        Unit("proxy", "Kubernetes service proxy", ("proxy", *kubeconfig("proxy")), ("kubelet",)),
        Unit("dns", "Kubernetes cluster DNS", ("dns", *kubeconfig("dns")), ("proxy",)),
    ]


def render(unit: Unit, program: tuple[str, ...]) -> str:
    """The text of the unit file."""
    needed = [*(f"kapi-{name}.service" for name in unit.after), *unit.outside]
    order = " ".join(["network.target", *needed])
    wants = f"Wants={' '.join(needed)}\n" if needed else ""
    command_line = " ".join(_quoted(word) for word in (*program, *unit.arguments))
    return (
        "[Unit]\n"
        f"Description={unit.description} (kapi)\n"
        f"After={order}\n"
        f"{wants}"
        "\n[Service]\n"
        f"ExecStart={command_line}\n"
        "Restart=always\n"
        "RestartSec=1\n"
        "KillMode=process\n"
        "\n[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def _quoted(word: str) -> str:
    # systemd expands % and $ itself, and splits at spaces.
    word = word.replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word else word


def _program() -> tuple[str, ...]:
    installed = Path(sys.executable).with_name("kapi")
    found = str(installed) if installed.exists() else shutil.which("kapi")
    return (found,) if found else (sys.executable, "-m", "kapi.cli")
