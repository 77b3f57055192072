"""What readers of files raise where one is not what it should be."""

import zipfile
import zlib
from tokenize import TokenError

DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, TokenError)
"""TokenError: the header of a NumPy array; RuntimeError: a compression that is unknown, or encrypted."""
