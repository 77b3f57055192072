"""The command line: ``signscope compare | predict | simulate | where``."""

import sys


def main() -> None:
    """Entry point of the ``signscope`` command; Ctrl-C before a command has begun is one line and exit code 1."""
    try:
        from signscope.cli.app import app

        app(prog_name="signscope")
    except KeyboardInterrupt:
        sys.stderr.write("signscope: stopped by the keyboard.\n")
        sys.exit(1)


__all__ = ["main"]
