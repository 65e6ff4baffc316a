"""`python -m kapi.cli` is the `kapi` command."""

from kapi.cli import main

main()
