"""One entry of the list of what can be reproduced."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from signscope.reproduce.report import Report


@dataclass(frozen=True)
class Figure:
    """One entry.

    Attributes:
        name: As on the command line.
        paper: Key in ``references.bib``.
        title: What it shows.
        duration: Of the full size, on one core.
        home: ``module:function`` in this room.
    """

    name: str
    paper: str
    title: str
    duration: str
    home: str

    def load(self) -> Callable[..., Report]:
        """The function behind the entry."""
        module, _, function = self.home.partition(":")
        return getattr(import_module(f"signscope.reproduce.{module}"), function)
