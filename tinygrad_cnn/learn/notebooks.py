"""The chapters as Jupyter notebooks, from the same source as the exercise files."""

import json
from pathlib import Path
from typing import Any

from ..storage.atomic import PathLike
from .course import Chapter, chapters

_PREPARE = "from tinygrad_cnn.learn import check\n"


def write_notebooks(folder: PathLike) -> list[Path]:
    """Write a notebook for each chapter into a folder, which is made; those that are there stay as they are.

    A later chapter imports the functions of earlier ones from the exercise files: copy them there, or define them in
    the notebook itself.

    Returns:
        The notebooks that were written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for chapter in chapters():
        path = place / f"{chapter.name}.ipynb"
        if not path.exists():
            path.write_text(json.dumps(notebook(chapter), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            written.append(path)
    return written


def notebook(chapter: Chapter) -> dict[str, Any]:
    """Return a chapter as a notebook, format 4.5."""
    hint = "\n".join(["<details><summary>Hint</summary>", "", chapter.hint, "", "</details>"])
    solution = ["<details><summary>Solution</summary>", "", f"```python\n{chapter.solution}```", "", "</details>"]
    cells = [
        _text("lesson", f"# {chapter.number}. {chapter.title}\n\n{chapter.text}"),
        _code("exercise", chapter.exercise),
        _code("check", f"{_PREPARE}\nprint(check({chapter.number}, globals()))\n"),
        _text("hint", hint),
        _text("solution", "\n".join(solution)),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _text(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code(name: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source.rstrip("\n"),
    }
