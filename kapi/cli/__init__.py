"""The `kapi` command: one file per command, wiring only.

Owns the command line, the processes of a cluster on one machine, and who is connected to whom.
This is one of the three places that know both the server side and the components. Daemons are
started through `daemon.py`, which imports neither the command-line library nor what it does not
run.

Must not: hold logic that a component or test would want to call.
"""


def main() -> None:
    """Entry point of the `kapi` command."""
    from kapi.cli.app import run

    run()
