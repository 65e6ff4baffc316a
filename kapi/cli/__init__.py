"""The `kapi` command, one file per subcommand; wiring only.

Must not: hold logic that a component or test would want to call.
"""
