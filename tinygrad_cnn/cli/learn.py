"""The course: twelve chapters from the first correlation to a network of your own, each with an exercise to program.

learn                    where you stand
learn start DIR          write the exercise files
learn read N             the text of a chapter
learn check [N]          check your answers, or that of one chapter
learn show N             a hint; the second time, the solution
learn notebook DIR       the chapters as Jupyter notebooks
"""

import argparse
import json
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

from ..checks import plural
from ..learn import Result, chapters, start, write_notebooks
from ..learn.checking import check_file
from ..learn.course import chapter
from ..training.records import as_json
from ._options import Subparsers, positive

_ACTIONS = ("start", "read", "check", "show", "notebook")
_STATE_FILE = ".course.json"
_MARKS = {"right": "✓", "wrong": "✗", "not begun": "·", "missing": "·"}
_ASCII_MARKS = {"right": "+", "wrong": "x", "not begun": ".", "missing": "."}
_MAX_COLUMNS = 100


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "learn",
        help="a course in twelve exercises",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=_ACTIONS, metavar="ACTION", help=f"one of {', '.join(_ACTIONS)}")
    parser.add_argument("target", nargs="?", metavar="N|DIR", help="a chapter's number, or a folder")
    text = "folders with exercise files (default: the current one, or the one in it that learn start wrote)"
    parser.add_argument("--dir", nargs="+", metavar="DIR", help=text)
    parser.add_argument("--solution", action="store_true", help="with show: the solution at once")
    parser.add_argument("--json", action="store_true", help="with check: one JSON object, for one or many folders")


def run(args: argparse.Namespace) -> int:
    if args.action is None:
        return _overview(args)
    if args.action in ("start", "notebook"):
        return _write(args.action, args.target)
    if args.action == "check":
        return _check(args)
    number = _number(args)
    if args.action == "read":
        print(_wrapped(f"{number}. {chapter(number).title}\n\n{chapter(number).text}"))
        print(f"\nYour turn:  {chapter(number).file}\nThen:       tinygrad-cnn learn check {number}")
        return 0
    return _show(number, _folders(args)[0], args.solution)


def _overview(args: argparse.Namespace) -> int:
    folder = _folders(args)[0]
    if not any((folder / c.file).exists() for c in chapters()):
        print("Twelve chapters, from the first correlation to a network of your own:\n")
        for c in chapters():
            print(f"  {c.number:2}  {c.title}")
        print("\nBegin with:  tinygrad-cnn learn start my-course")
        return 0
    results = [check_file(c.number, folder) for c in chapters()[:-1]]
    last = chapters()[-1]
    kept = _state(folder).get("done", [])  # the last one trains a network: it is checked on request
    results.append(Result(last.number, last.title, "right" if last.number in kept else "not begun", ""))
    for r in results:
        print(f"  {_mark(r.state)} {r.number:2}  {r.title}")
    done = sum(r.ok for r in results)
    print(f"\n{done} of {len(results)} done.", end=" ")
    following = next((r.number for r in results if not r.ok), None)
    if following is None:
        print("You wrote a convolutional network by hand.")
    else:
        print(f"Next:  tinygrad-cnn learn read {following}")
    return 0


def _write(action: str, target: str | None) -> int:
    if target is None:
        raise ValueError(f"learn {action}: name the folder, as in  tinygrad-cnn learn {action} my-course")
    written = start(target) if action == "start" else write_notebooks(target)
    what = "exercise file" if action == "start" else "notebook"
    print(f"{target}: {plural(len(written), what)} written" + ("" if written else ", all were there already"))
    if action == "start":
        print(f"Begin with:  cd {target}  and then  tinygrad-cnn learn read 1")
    return 0


def _check(args: argparse.Namespace) -> int:
    folders = _folders(args)
    numbers = [_number(args)] if args.target is not None else [c.number for c in chapters()]
    all_results = {}
    for folder in folders:
        results = [check_file(n, folder) for n in numbers]
        _keep(folder, results)
        all_results[str(folder)] = results
        if not args.json:
            _print_results(folder, results, len(folders) > 1, len(numbers) == 1)
    if args.json:
        print(as_json({f: _as_dict(results) for f, results in all_results.items()}))
    return 0 if all(r.ok for results in all_results.values() for r in results) else 1


def _print_results(folder: Path, results: list[Result], with_folder: bool, one: bool) -> None:
    if with_folder:
        print(f"{folder}:")
    for r in results:
        state = f": {r.state}" if r.state in ("not begun", "missing") else ""
        print(f"  {_mark(r.state)} {r.number:2}  {r.title}{state}")
        if r.state in ("wrong", "right") or one:
            print(textwrap.indent(_wrapped(r.message, 8), " " * 8))
    if not one:
        print(f"\n{sum(r.ok for r in results)} of {len(results)} done")


def _as_dict(results: list[Result]) -> dict[str, object]:
    return {
        "done": sum(r.ok for r in results),
        "of": len(results),
        "chapters": [{"number": r.number, "title": r.title, "state": r.state, "message": r.message} for r in results],
    }


def _show(number: int, folder: Path, solution: bool) -> int:
    state = _state(folder)
    hinted = state.get("hinted", [])
    c = chapter(number)
    if solution or number in hinted:
        print(c.solution.rstrip())
        return 0
    print(_wrapped(c.hint))
    print(f"\nOnce more, and it shows the solution:  tinygrad-cnn learn show {number}")
    _write_state(folder, {**state, "hinted": [*hinted, number]})
    return 0


def _number(args: argparse.Namespace) -> int:
    """Return the chapter that was named. ValueError if there is none of that number."""
    if args.target is None:
        raise ValueError(f"learn {args.action}: name the chapter, as in  tinygrad-cnn learn {args.action} 1")
    try:
        return chapter(positive(int)(args.target)).number
    except argparse.ArgumentTypeError:
        raise ValueError(
            f"learn {args.action}: {args.target!r} is no chapter; there are 1 to {len(chapters())}"
        ) from None


def _folders(args: argparse.Namespace) -> list[Path]:
    """Return the folders with exercises: those of the flag, else the current one, else the one that is in it."""
    if args.dir:
        return [Path(d) for d in args.dir]
    here = Path.cwd()
    if any((here / c.file).exists() for c in chapters()):
        return [here]
    inner = [p for p in sorted(here.iterdir()) if p.is_dir() and (p / chapters()[0].file).exists()]
    return inner[:1] or [here]


def _state(folder: Path) -> dict[str, list[int]]:
    try:
        state = json.loads((folder / _STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in state.items() if isinstance(v, list)} if isinstance(state, dict) else {}


def _write_state(folder: Path, state: dict[str, list[int]]) -> None:
    if folder.is_dir() and os.access(folder, os.W_OK):
        (folder / _STATE_FILE).write_text(json.dumps(state), encoding="utf-8")


def _keep(folder: Path, results: list[Result]) -> None:
    """Remember which chapters are done."""
    state = _state(folder)
    done = set(state.get("done", [])) - {r.number for r in results}
    _write_state(folder, {**state, "done": sorted(done | {r.number for r in results if r.ok})})


def _mark(state: str) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        _MARKS[state].encode(encoding)
    except UnicodeEncodeError:
        return _ASCII_MARKS[state]
    return _MARKS[state]


def _wrapped(text: str, indent: int = 0) -> str:
    """Return Markdown for a terminal: paragraphs wrapped to its width, figures as they are, without fences."""
    width = max(40, min(shutil.get_terminal_size().columns, _MAX_COLUMNS) - indent)
    parts = re.split(r"```\w*\n(.*?)```", text, flags=re.S)
    lines = []
    for k, part in enumerate(parts):
        if k % 2:
            lines.append(textwrap.indent(part.rstrip("\n"), "  "))
            continue
        for paragraph in part.strip().split("\n\n"):
            is_picture = any(line.startswith(" ") for line in paragraph.splitlines())
            lines.append(paragraph if is_picture else textwrap.fill(" ".join(paragraph.split()), width))
    return "\n\n".join(line for line in lines if line)
