"""The page itself: HTML and CSS around text, tables and pictures. All text is escaped here, nowhere else."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_DOTS_PER_INCH = 192  # sharp on screens of two pixels a dot

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --quiet: #595959; --line: #d4d4d4; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --quiet: #ababab; --line: #444; --page: #161616; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; color: var(--text); background: var(--page);
       font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
p { margin: 0.5rem 0; max-width: 44rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.125rem 1rem; margin: 1rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; }
figure { margin: 0.5rem 0; flex: 0 1 26rem; min-width: 0; max-width: 26rem; }
figure img { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: 0.875rem; color: var(--quiet); margin-top: 0.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.5rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: break-word; }
th { font-weight: 600; font-size: 0.875rem; }
th:first-child, td:first-child { text-align: left; }
@media (max-width: 30rem) { th, td { font-size: 0.75rem; padding-right: 0.5rem; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole HTML document; the parts are HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a part of the page under its heading."""
    return "\n".join([f"<section>\n<h2>{html.escape(title)}</h2>", *parts, "</section>"])


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; its first column is aligned left, the others right."""
    heads = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Return a list of names with their values."""
    lines = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>\n" for k, v in rows)
    return f"<dl>\n{lines}</dl>"


def pictures(*figures: str) -> str:
    """Return pictures side by side where there is room, else one below the other."""
    return '<div class="pictures">\n' + "\n".join(figures) + "\n</div>"


def picture(plot: "Figure | SubFigure | Axes", caption: str) -> str:
    """Return a plot as an image inside the page, with its caption."""
    content = io.BytesIO()
    canvas = plot if hasattr(plot, "savefig") else plot.figure
    canvas.savefig(content, format="png", dpi=_DOTS_PER_INCH)
    encoded = base64.b64encode(content.getvalue()).decode()
    text = html.escape(caption)
    return f'<figure><img src="data:image/png;base64,{encoded}" alt="{text}"><figcaption>{text}</figcaption></figure>'
