"""The command line: ``signscope compare | predict | simulate | where``."""


def main() -> None:
    """Entry point of the ``signscope`` command."""
    from signscope.cli.app import app

    app(prog_name="signscope")


__all__ = ["main"]
