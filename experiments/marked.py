"""Generated text inside documents, between <!-- NAME --> and <!-- end -->."""

import re
from pathlib import Path

from oplstm_jax.files import write_text


def replace_marked(document: Path, name: str, text: str) -> bool:
    """Replaces what stands under `name` by `text`, which ends a line. Returns whether the document has such a place."""
    old = document.read_text() if document.exists() else ""
    start = f"<!-- {name} -->"
    block = re.compile(f"{re.escape(start)}\n.*?<!-- end -->", re.DOTALL)
    found = block.search(old) is not None
    if found:
        write_text(document, block.sub(lambda _: f"{start}\n{text}<!-- end -->", old))
    return found
