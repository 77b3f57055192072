"""The command line: ``signscope compare | predict | simulate | where``."""

import contextlib
import os
import sys


def main() -> None:
    """Entry point of the ``signscope`` command; Ctrl-C before a command has begun is one line and exit code 1.

    A stream that was closed from outside (``>&-``) is one that nobody reads.
    """
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
        try:
            from signscope.cli.app import app

            app(prog_name="signscope")
        except KeyboardInterrupt:
            sys.stderr.write("signscope: stopped by the keyboard.\n")
            sys.exit(1)


__all__ = ["main"]
