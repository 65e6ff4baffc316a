"""Finds the command that was asked for and loads that one only; help loads them all."""

import importlib
import sys

import typer

from kapi.cli.errors import CliError

COMMANDS = {
    "up": "kapi.cli.up",
    "down": "kapi.cli.down",
    "status": "kapi.cli.status",
    "kubeconfig": "kapi.cli.kubeconfig",
    "version": "kapi.cli.version",
    "apiserver": "kapi.cli.apiserver",
    "controller-manager": "kapi.cli.controller_manager",
    "scheduler": "kapi.cli.scheduler",
    "kubelet": "kapi.cli.kubelet",
    "proxy": "kapi.cli.proxy",
    "dns": "kapi.cli.dns",
    "systemd": "kapi.cli.systemd",
}


def run(argv: list[str] | None = None) -> None:
    """Run the command line. A CliError ends the program with its message and exit code 1."""
    arguments = sys.argv[1:] if argv is None else argv
    asked = arguments[0] if arguments else ""
    names = [asked] if asked in COMMANDS else list(COMMANDS)
    try:
        _application(names)(args=arguments or ["--help"], prog_name="kapi")
    except CliError as error:
        typer.echo(f"kapi: {error}", err=True)
        raise SystemExit(1) from None


def _application(names: list[str]) -> typer.Typer:
    application = typer.Typer(
        help="Kubernetes in Python: a real cluster from one command.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # With a callback, a single command keeps its name instead of becoming the program.
    application.callback()(lambda: None)
    for name in names:
        module = importlib.import_module(COMMANDS[name])
        application.command(name)(module.command)
    return application
