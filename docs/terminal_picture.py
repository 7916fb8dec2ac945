"""The picture of a terminal, for README and the front page: what two commands print, as SVG.

`python docs/terminal_picture.py` writes it anew; a test compares it with what the commands print.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import escape

from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

from tinytorch_datasets.cli import main

PICTURE = Path(__file__).parent / "images" / "terminal.svg"
COMMANDS = ("show tinydigits", "show tinytalks --count 2 --seed 7")

# A character is two square pixels, one above the other: `show` draws pictures so.
WIDTH, HEIGHT = 10, 20
MARGIN = 20
BLOCK = "\u2580"
# A dark card, which can be read on a light page and on a dark one.
BACKGROUND, EDGE, FOREGROUND, EMPHASIS = "#16181d", "#4a4f5c", "#e6e8ee", "#9db9ff"


def printed(command: str) -> str:
    """Return what a command prints in a terminal that has all colors."""
    colors = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color", "NO_COLOR": None}
    return CliRunner(env=colors).invoke(main, command.split(), catch_exceptions=False).output


def transcript() -> list[Text]:
    """Return the lines of the picture: each command, and what it prints."""
    lines: list[Text] = []
    for command in COMMANDS:
        lines += [Text("")] * bool(lines)
        lines += [Text(f"$ ttds {command}", "bold"), *map(Text.from_ansi, printed(command).splitlines())]
    return lines


def drawn(lines: list[Text]) -> str:
    """Return lines as SVG: blocks as squares, and words that are as wide as their columns in any font."""
    squares, words = defaultdict[str, list[str]](list), list[str]()
    for number, line in enumerate(lines):
        column, y = 0, MARGIN + HEIGHT * number
        for text, style, _ in line.render(Console()):
            x, width = MARGIN + WIDTH * column, WIDTH * len(text)
            if style and style.color and style.bgcolor and set(text) == {BLOCK}:
                for color, top in ((style.color, y), (style.bgcolor, y + HEIGHT // 2)):
                    squares[color.get_truecolor().hex].append(f"M{x} {top}h{width}v{HEIGHT // 2}h-{width}z")
            else:
                for start, word in _words(text):
                    fill = EMPHASIS if style and style.bold else FOREGROUND
                    place = f'x="{x + WIDTH * start}" y="{y + 15}" textLength="{WIDTH * len(word)}"'
                    words.append(f'<text {place} fill="{fill}">{escape(word)}</text>')
            column += len(text)
    width = 2 * MARGIN + WIDTH * max(len(line.plain.rstrip()) for line in lines)
    height = 2 * MARGIN + HEIGHT * len(lines)
    edge = f'width="{width - 2}" height="{height - 2}" rx="12" fill="{BACKGROUND}" stroke="{EDGE}"'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f'<rect x="1" y="1" {edge}/>',
            '<g shape-rendering="crispEdges">',
            *(f'<path fill="{color}" d="{"".join(paths)}"/>' for color, paths in sorted(squares.items())),
            "</g>",
            '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="16">',
            *words,
            "</g>",
            "</svg>\n",
        ]
    )


def _words(text: str) -> list[tuple[int, str]]:
    """Return what stands between two or more blanks, and in which column it begins."""
    words, start = list[tuple[int, str]](), 0
    for word in text.split("  "):
        if word.strip():
            words.append((start + len(word) - len(word.lstrip()), word.strip()))
        start += len(word) + 2
    return words


if __name__ == "__main__":
    PICTURE.write_text(drawn(transcript()), encoding="utf-8")
