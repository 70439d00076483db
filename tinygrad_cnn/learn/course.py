"""The chapters: one text file each, with the lesson, the exercise, a hint and the solution."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..checks import integer
from ..storage.atomic import PathLike

_FOLDER = Path(__file__).with_name("chapters")
_SECTIONS = ("Exercise", "Hint", "Solution")


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    Attributes:
        number: from 1.
        name: of its exercise file, without the ending.
        title: its heading.
        text: the lesson, Markdown.
        exercise, solution: Python programs; the exercise's functions are yet to be written.
        hint: a paragraph.
    """

    number: int
    name: str
    title: str
    text: str
    exercise: str
    hint: str
    solution: str

    @property
    def file(self) -> str:
        """The name of the exercise file."""
        return f"{self.name}.py"

    def program(self) -> str:
        """Return the exercise file: the program under a line that says what it is."""
        return f'"""Chapter {self.number}: {self.title}. Read it with: tinygrad-cnn learn read {self.number}"""\n\n' + (
            self.exercise
        )


@cache
def chapters() -> tuple[Chapter, ...]:
    """Return the chapters in their order."""
    return tuple(_parse(path) for path in sorted(_FOLDER.glob("*.md")))


def chapter(number: int) -> Chapter:
    """Return a chapter by its number. ValueError if there is none."""
    count = len(chapters())
    return chapters()[integer("learn", "the chapter", number, 1, below=count + 1) - 1]


def start(folder: PathLike) -> list[Path]:
    """Write the exercise files into a folder, which is made; files that are there stay as they are.

    Returns:
        The files that were written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for c in chapters():
        path = place / c.file
        if not path.exists():
            path.write_text(c.program(), encoding="utf-8")
            written.append(path)
    return written


def _parse(path: Path) -> Chapter:
    heading, *parts = path.read_text(encoding="utf-8").split("\n## ")
    title, _, text = heading.removeprefix("# ").partition("\n")
    sections = {}
    for part in parts:
        name, _, content = part.partition("\n")
        sections[name] = content.strip()
    exercise, hint, solution = (sections[name] for name in _SECTIONS)
    number = int(path.stem[:2])
    name = f"chapter_{path.stem}"
    return Chapter(number, name, title, text.strip(), _program(exercise), hint, _program(solution))


def _program(block: str) -> str:
    """Return the program in a block of Markdown."""
    return block.removeprefix("```python\n").removesuffix("```").rstrip() + "\n"
