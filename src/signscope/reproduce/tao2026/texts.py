"""Text as sequences with the next token at every position: characters or words of a file, or tokens of a binary one."""

import gzip
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import TEXT, Dataset
from signscope.reproduce.tao2026.gpt import VOCABULARY

WHO = "data"
MOST_TOKENS = 200_000_000
WORDS = 4_000
_WORD = re.compile(r"\w+|[^\w\s]|\n")


def load_text(spec: str, *, context: int) -> Dataset:
    """Rows of ``context`` tokens with their successors; the last tenth of the text is the test.

    Args:
        spec: "shakespeare" or "text:FILE" (characters of the bundled text or of a file, also .gz), "words" or
            "words:FILE" (its words and signs, the commonest 4,000 and one for all others), or "tokens:FILE" (16-bit
            GPT-2 tokens without a header, little-endian; at most 200 million are read).
        context: Tokens of a row; rows do not overlap.

    Returns:
        The data; classes (rows, context) are the next tokens.

    Raises:
        InvalidInput: Unknown kind, no such file, or too short a text.
    """
    kind, _, given = spec.partition(":")
    needs_file, takes_none = kind in ("text", "tokens"), kind == "shakespeare"
    if kind not in _READERS or (needs_file and not given) or (takes_none and given):
        wanted = "shakespeare, words, text:FILE, words:FILE or tokens:FILE"
        raise InvalidInput(f"{WHO}: must be {wanted}, got {spec!r}.")
    path = Path(given).expanduser() if given else TEXT
    if not path.is_file():
        raise InvalidInput(f"{WHO}: {path} is no file.")
    read, unit = _READERS[kind]
    try:
        codes, vocab = read(path)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{WHO}: {path} cannot be read as {kind} ({type(error).__name__}: {error}).") from None
    name = path.name.partition(".")[0] + ("_words" if kind == "words" else "")
    source = path.name if given else "tiny Shakespeare, public domain"
    return _rows(codes, vocab, context=context, name=name, source=f"{source}, by {unit}")


def _text(path: Path) -> str:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return file.read()


def _characters(path: Path) -> tuple[np.ndarray, int]:
    alphabet, codes = np.unique(np.array(list(_text(path))), return_inverse=True)
    return codes.astype(np.int64), len(alphabet)


def _words(path: Path) -> tuple[np.ndarray, int]:
    words = _WORD.findall(_text(path))
    known = {word: code for code, (word, _) in enumerate(Counter(words).most_common(WORDS), start=1)}
    return np.array([known.get(word, 0) for word in words], dtype=np.int64), len(known) + 1


def _tokens(path: Path) -> tuple[np.ndarray, int]:
    codes = np.fromfile(path, dtype="<u2", count=MOST_TOKENS)
    if codes.size and int(codes.max()) >= VOCABULARY:
        raise InvalidInput(f"{WHO}: {path.name} holds token {int(codes.max())}; GPT-2 has {VOCABULARY} tokens.")
    return codes.astype(np.int64), VOCABULARY


def _rows(codes: np.ndarray, vocab: int, *, context: int, name: str, source: str) -> Dataset:
    cut, parts = int(0.9 * len(codes)), []
    for part in (codes[:cut], codes[cut:]):
        count = (len(part) - 1) // context
        if count < 1:
            raise InvalidInput(f"{WHO}: {name} is too short: {len(codes)} tokens for rows of {context}.")
        used = torch.from_numpy(part[: count * context + 1])
        parts.append((used[:-1].reshape(count, context), used[1:].reshape(count, context)))
    (train_x, train_y), (test_x, test_y) = parts
    return Dataset(name, "characters", train_x, train_y, test_x, test_y, vocab, source)


_READERS: dict[str, tuple[Callable[[Path], tuple[np.ndarray, int]], str]] = {
    "shakespeare": (_characters, "characters"),
    "text": (_characters, "characters"),
    "words": (_words, "words"),
    "tokens": (_tokens, "tokens"),
}
