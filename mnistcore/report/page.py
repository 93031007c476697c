"""A self-contained HTML page: no scripts, no fonts, no links to other sites. Text is escaped here.

A page is a list of sections, and a section a list of parts. :mod:`.single` and :mod:`.comparison`
fill them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from ..system.version import VERSION
from .style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARK = '<meta name="generator" content="mnistcore">'  # identifies a report written by us
_FULL_WIDTH = 9.0  # inches of a figure that fills the whole width
_LEAST_WIDTH = 42.0  # rem of such a figure; on a narrower screen it scrolls, to stay legible


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def html(self) -> str:
        """The part as HTML."""
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Tiles:
    """The most important numbers, each with name, value and a remark."""

    tiles: Sequence[tuple[str, str, str]]

    def html(self) -> str:
        """The part as HTML."""
        cells = [
            f'<div class="tile"><div class="name">{escape(name)}</div>'
            f'<div class="value">{escape(value)}</div>'
            f'<div class="remark">{escape(remark)}</div></div>'
            for name, value, remark in self.tiles
        ]
        return f'<div class="tiles">{"".join(cells)}</div>'


@dataclass(frozen=True)
class Table:
    """A table; the columns whose positions are in ``numbers`` are aligned right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numbers: frozenset[int] = frozenset()
    bold_rows: frozenset[int] = frozenset()

    def html(self) -> str:
        """The part as HTML."""
        heads = "".join(self._cell("th", i, head) for i, head in enumerate(self.heads))
        lines = []
        for number, row in enumerate(self.rows):
            cells = "".join(self._cell("td", i, text) for i, text in enumerate(row))
            lines.append(f"<tr{' class=best' if number in self.bold_rows else ''}>{cells}</tr>")
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{heads}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table></div>"
        )

    def _cell(self, tag: str, column: int, text: str) -> str:
        kind = ' class="number"' if column in self.numbers else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"


@dataclass(frozen=True)
class Drawing:
    """A figure with the name of its files and its caption."""

    name: str
    figure: "Figure"
    caption: str

    @cached_property
    def svg(self) -> bytes:
        """The figure as an SVG file, drawn once: the page and the folder of figures have it."""
        from ..figures.style import encode

        return encode(self.figure, "svg")

    def html(self) -> str:
        """The part as HTML, with the figure embedded as SVG."""
        content = base64.b64encode(self.svg).decode()
        share = min(100.0, 100 * self.figure.get_size_inches()[0] / _FULL_WIDTH)
        kind = "" if share == 100 else ' class="narrow"'
        caption, source = escape(self.caption), f"data:image/svg+xml;base64,{content}"
        size = f"width:{share:.0f}%;min-width:{_LEAST_WIDTH * share / 100:.0f}rem"
        return (
            f'<figure id="{escape(self.name)}"{kind}>'
            f'<div class="scroll" tabindex="0"><img style="{size}" alt="{caption}" src="{source}">'
            f"</div><figcaption>{caption}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Beside:
    """Tables side by side if there is room."""

    tables: Sequence[Table]

    def html(self) -> str:
        """The part as HTML."""
        return f'<div class="beside">{"".join(table.html() for table in self.tables)}</div>'


Part = Text | Tiles | Table | Drawing | Beside


@dataclass
class Section:
    """A heading and its parts, optionally printed on a new page."""

    title: str
    parts: list[Part] = field(default_factory=list)
    new_page: bool = True


@dataclass
class Page:
    """A title, a line below it, sections, and how the page was made: when, where, by what."""

    title: str
    subtitle: str
    sections: list[Section]
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def drawings(self) -> list[Drawing]:
        """The figures of all sections."""
        return [
            part for section in self.sections for part in section.parts if isinstance(part, Drawing)
        ]

    def html(self) -> str:
        """The whole page."""
        entries, bodies = [], []
        for number, section in enumerate(self.sections, 1):
            title = escape(section.title)
            entries.append(f'<li><a href="#s{number}">{title}</a></li>')
            parts = "\n".join(part.html() for part in section.parts)
            kind = ' class="new-page"' if section.new_page and number > 1 else ""
            heading = f'<section id="s{number}"{kind}>\n<h2>{title}</h2>'
            bodies.append(f"{heading}\n{parts}\n</section>")
        return _PAGE.format(
            mark=MARK,
            title=escape(self.title),
            subtitle=escape(self.subtitle),
            style=STYLE,
            contents="".join(entries),
            sections="\n".join(bodies),
            made="".join(
                f"<dt>{escape(name)}</dt><dd>{_commands(text)}</dd>"
                for name, text in self.made.items()
            ),
            version=escape(VERSION),
        )


def _commands(text: str) -> str:
    """Escape a text; a text that is a command is set as code."""
    return f"<code>{escape(text)}</code>" if text.startswith("mnistcore ") else escape(text)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="subtitle">{subtitle}</p>
<dl class="made">{made}</dl>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
</header>
<main>
{sections}
</main>
<footer>Written by mnistcore {version}.</footer>
</body>
</html>
"""
