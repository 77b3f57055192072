"""The exceptions of the package: each says who, what was wanted, what came and what to do."""


class SignscopeError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidInput(SignscopeError, ValueError):
    """An argument or file is not what the function asks for."""


class Unsupported(SignscopeError, NotImplementedError):
    """The request makes sense, but this package (or this theory) does not cover it."""


class Diverged(SignscopeError, ArithmeticError):
    """A run left the range of finite numbers and the caller asked for an error."""


class SignscopeWarning(UserWarning):
    """Base of the package's warnings, so that they can be filtered together."""
