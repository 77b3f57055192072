"""The version number: one place, read by the build and by saved results."""

__version__ = "0.1.0"
