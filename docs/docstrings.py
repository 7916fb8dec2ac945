"""Docstrings as Markdown, for the pages that cog writes."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

SECTIONS = ("Args", "Attributes", "Returns", "Raises")
_HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):\n((?:(?:    .*)?\n)+)", re.MULTILINE)
_ITEM = re.compile(r"^(\w+): ", re.MULTILINE)


def summary(thing: object) -> str:
    """The first paragraph, on one line."""
    return _flowed((inspect.getdoc(thing) or "").partition("\n\n")[0])


def body(thing: object) -> str:
    """What follows the first paragraph, without sections and examples: a line for each sentence, code in a fence."""
    text = _HEADING.sub("", (inspect.getdoc(thing) or "").partition("\n\n")[2] + "\n")
    paragraphs = [p for p in re.split(r"\n{2,}", text.strip("\n")) if p and not p.startswith(">>>")]
    return "\n\n".join(_fenced(p) if p.startswith("    ") else _sentences(_flowed(p)) for p in paragraphs)


def section(thing: object, name: str) -> dict[str, str]:
    """The items of a section such as Args: what it says of each, by its name."""
    found = {heading: textwrap.dedent(text) for heading, text in _HEADING.findall((inspect.getdoc(thing) or "") + "\n")}
    _, *pieces = _ITEM.split(found.get(name, ""))
    return {item: _flowed(text) for item, text in zip(pieces[::2], pieces[1::2], strict=True)}


def signature(name: str, function: Callable[..., Any]) -> str:
    """How it is called, one line for each parameter where one line does not hold them all."""
    taken = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    parameters = [p.name if p.default is p.empty else f"{p.name}={_default(p.default)}" for p in taken]
    keywords = sum(p.kind is p.KEYWORD_ONLY for p in taken)
    if keywords:
        parameters.insert(len(parameters) - keywords, "*")
    short = f"{name}({', '.join(parameters)})"
    return short if len(short) <= 88 else f"{name}(\n" + "".join(f"    {p},\n" for p in parameters) + ")"


def defaults(cls: type) -> dict[str, str]:
    """The default of each field of a dataclass that can be made with nothing given; empty for any other class."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    if any(field.default is dataclasses.MISSING for field in fields):
        return {}
    numbers = {field.name: field.default for field in fields}
    return {name: f"{value:,}" if isinstance(value, int | float) else repr(value) for name, value in numbers.items()}


def _default(value: object) -> str:
    # A dataclass that is as made with nothing given would take ten lines to say so.
    plain = dataclasses.is_dataclass(value) and not isinstance(value, type) and value == type(value)()
    return f"{type(value).__name__}()" if plain else repr(value).replace("'", '"')


def cell(text: str) -> str:
    """As it stands in a table."""
    return text.replace("|", "\\|")


def _flowed(text: str) -> str:
    # Docstrings say code in two backticks, Markdown in one.
    return " ".join(text.split()).replace("``", "`")


def _sentences(text: str) -> str:
    return re.sub(r"(?<=[.?!]) (?=[A-Z`])", "\n", text)


def _fenced(paragraph: str) -> str:
    return f"```\n{textwrap.dedent(paragraph)}\n```"
