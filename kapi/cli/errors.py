"""What the command line says when it cannot go on."""


class CliError(Exception):
    """The message is for the person at the terminal: what is wrong and what to do about it."""
