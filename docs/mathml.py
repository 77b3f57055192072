"""Formulas as MathML, written when the pages are built: readers need neither a script nor a connection.

An mkdocs hook. Without the package latex2mathml the formulas stay as TeX.
"""

import re
from html import unescape
from typing import Any

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])\s*</(?P=tag)>',
    re.DOTALL,
)


def on_page_content(content: str, **_: Any) -> str:
    """Replace every TeX formula of a page by MathML."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        return content

    def replaced(found: re.Match[str]) -> str:
        block = found["block"] is not None
        tex = unescape(found["block"] if block else found["inline"])
        return convert(tex.strip(), display="block" if block else "inline")

    return _FORMULA.sub(replaced, content)
