"""Paragraphs of docstrings as the site shows them: arguments as a list, columns as they stand, prose flowing.

A hook of mkdocs (`hooks` in mkdocs.yml), after mkdocstrings has put docstrings on a page.
"""

import re

CONTENTS = re.compile(r'<div class="doc doc-contents[^"]*">.*?(?=<div class="doc doc-|</div>\s*</div>)', re.DOTALL)
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
LABEL = re.compile(r"((?:<code>)?[a-z_]\w*(?:</code>)?(?:, (?:<code>)?\w+(?:</code>)?)*):\s")  # `name: ` or `x, y: `
COLUMNS = re.compile(r"\S {3,}\S")


def on_page_content(content: str, **_) -> str:
    """The page's HTML with the paragraphs of its docstrings set."""
    return CONTENTS.sub(lambda docstring: PARAGRAPH.sub(_set, docstring[0]), content)


def _set(paragraph: re.Match) -> str:
    text = paragraph[1]
    if COLUMNS.search(text):
        return f"<pre><code>{re.sub('</?code>', '', text)}</code></pre>"
    items: list[str] = []
    for line in text.split("\n"):
        if LABEL.match(line):
            items.append(LABEL.sub(r"<b>\1</b>: ", line, count=1))
        elif not items:  # the first line has no label: prose
            return paragraph[0]
        else:
            items[-1] += f" {line.strip()}"
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
