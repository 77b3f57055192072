"""Named child streams: every use of randomness gets its own generator, derived from one seed.

A stream depends on the seed and its names alone, so adding a run, a worker or a consumer never shifts the
numbers of another. The global random state is neither read nor written.
"""

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Generator of the stream ``names`` under ``seed``; the same names give the same numbers."""
    keys = [n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *keys])))
