"""What every class says about itself, and that the same option is explained in the same words everywhere."""

import inspect
import re
from collections import defaultdict

import pytest

from helpers.optim_catalogue import ROWS

CLASSES = [row.cls for row in ROWS]
CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
OWN_WORDS = {"params", "lr", "beta"}  # of a method: what its learning rate measures, what its share weighs


def options(cls):
    return {name: p for name, p in inspect.signature(cls).parameters.items() if name != "self"}


def explained(cls):
    """Option -> its words, from the section Args of the class docstring."""
    section = inspect.getdoc(cls).partition("Args:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in entries}


@CLASS
def test_signatures_are_explicit_and_every_option_is_explained(cls):
    found = options(cls)
    assert all(p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in found.values())
    assert all(p.kind == p.KEYWORD_ONLY for name, p in found.items() if name not in ("params", "lr"))
    assert list(explained(cls)) == list(found)


def test_the_same_option_is_explained_in_the_same_words():
    words = defaultdict(set)
    for cls in CLASSES:
        for name, text in explained(cls).items():
            words[name].add(text)
    differing = {name for name, texts in words.items() if len(texts) > 1}
    # Muon alone says that its decay does not see the shape factor, Lion that its betas are a pair
    assert differing <= OWN_WORDS | {"weight_decay", "momentum"}


@CLASS
def test_docstrings_have_box_memory_cost_source_and_differences(cls):
    text = inspect.getdoc(cls)
    assert re.search(r"```text\n.+\n```", text, flags=re.DOTALL)
    for part in (
        r"Source: `",
        r"Memory: (none|\d floats? per\s+parameter)",
        r"Gradient\s+calls: \d",
        r"sign\(0\) is 0",
    ):
        assert re.search(part, text), part
    assert "Differs from the paper:" in text
