"""Equations of the site as MathML, which browsers draw themselves: no script, no network.

A hook of mkdocs (`hooks` in mkdocs.yml), after the extension `arithmatex` has marked the TeX on a page.
"""

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_) -> str:
    """The page's HTML with its TeX converted. Raises ValueError for TeX that cannot be."""
    return MARKED.sub(_converted, content)


def _converted(found: re.Match) -> str:
    kind, tex = found[1], html.unescape(found[2]).strip()
    try:
        drawn = convert(tex, display="block" if kind == "div" else "inline")
    except Exception as error:  # the library has a dozen unrelated classes of errors
        raise ValueError(f"equation {tex!r}: cannot be converted ({type(error).__name__})") from None
    if unknown := re.search(r"\\\w*", drawn):  # passed on as text
        raise ValueError(f"equation {tex!r}: no such command: {unknown[0]}")
    return drawn if kind == "span" else f'<div class="equation">{drawn}</div>'
