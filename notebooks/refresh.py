"""Puts the same first cells into every notebook and clears all outputs.

    python -m notebooks.refresh

The install line names the project's repository, and a badge opens the notebook in Colab, as soon as pyproject.toml has
`Repository` under `[project.urls]`; until then the line installs the checkout that the notebook is in.
"""

import json
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
ORDER = ("outer_product", "sine", "images", "own_images", "composing")
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def main() -> None:
    url = repository()
    for name in ORDER:
        path = FOLDER / f"{name}.ipynb"
        path.write_text(refreshed(path, url), encoding="utf-8")


def repository() -> str | None:
    """The address of the project, None while it has none."""
    with (FOLDER.parent / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"].get("urls", {}).get("Repository")


def refreshed(path: Path, url: str | None) -> str:
    """The notebook as it should be: its first cells, then its own with outputs cleared."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    own = [cell for cell in notebook["cells"] if not cell["id"].startswith("head")]
    for cell in own:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    return json.dumps({**notebook, "cells": [*head(path.stem, url), *own]}, indent=1, ensure_ascii=False) + "\n"


def head(name: str, url: str | None) -> list[dict]:
    """The badge, where there is an address, and the install line."""
    install = {"cell_type": "code", "id": "head-install", "metadata": {}, "execution_count": None, "outputs": []}
    source = f"oplstm_jax[plots] @ git+{url}" if url else "..[plots]"
    install["source"] = [f'%pip install --quiet "{source}"  # not needed where the library is installed']
    if url is None:
        return [install]
    place = f"{url.removeprefix('https://github.com/').removesuffix('.git')}/blob/main/notebooks/{name}.ipynb"
    link = f"[![Open in Colab]({BADGE})](https://colab.research.google.com/github/{place})"
    return [{"cell_type": "markdown", "id": "head-badge", "metadata": {}, "source": [link]}, install]


def code(path: Path) -> list[str]:
    """The source of each code cell, without lines for IPython alone (`%pip`)."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = (cell["source"] for cell in cells if cell["cell_type"] == "code")
    return ["".join(line for line in cell if not line.startswith("%")) for cell in lines]


if __name__ == "__main__":
    main()
