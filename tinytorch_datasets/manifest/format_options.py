"""A manifest's formats and their options: what is wrong with them.

A manifest is checked against the formats that there are, and knows none: they are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from tinytorch_datasets.errors import Problems, did_you_mean
from tinytorch_datasets.manifest.filenames import mapping


class _Format(Protocol):
    @property
    def layout(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def required(self) -> frozenset[str]: ...
    @property
    def missing(self) -> Collection[str]: ...
    @property
    def reads_members(self) -> bool: ...
    @property
    def joins_members(self) -> bool: ...
    @property
    def reads_columns(self) -> bool: ...
    @property
    def check(self) -> Callable[[Mapping[str, Any], Iterable[str], Iterable[str]], Problems]: ...


class Formats(Protocol):
    """The formats there are."""

    def known(self) -> tuple[str, ...]:
        """List their names."""

    def of(self, name: str) -> _Format:
        """Return the one of that name."""


def check_format(entry: dict[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with an entry's format and its options."""
    name = entry.get("format")
    if not isinstance(name, str):
        return
    if wrong := why_unknown(name, formats):
        yield ("format",), wrong
        return
    fields, splits = mapping(entry.get("fields")), mapping(entry.get("splits"))
    yield from check_options(name, formats, entry, fields, splits)
    if formats.of(name).layout in ("file per sample", "members"):
        for split, body in splits.items():
            if isinstance(body, dict) and "members" not in body:
                yield ("splits", split), f"names no members: format {name!r} has several in one archive"
    elif not formats.of(name).joins_members:
        for split, body in splits.items():
            if "members" in mapping(body):
                yield ("splits", split, "members"), f"format {name!r} has no members"


def why_unknown(name: str, formats: Formats) -> str:
    """Return why there is no format of that name, with a guess; "" where there is."""
    known = formats.known()
    if name in known:
        return ""
    return f"no decoder for format {name!r}" + (did_you_mean(name, known) or f"; there are {', '.join(known)}")


def check_options(
    name: str, formats: Formats, body: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]
) -> Problems:
    """Yield what is wrong with the `options` of a body that has a format, a data set's or a field's."""
    form = formats.of(name)
    options = mapping(body.get("options"))
    sound = {}
    for option, value in options.items():
        if option not in form.options:
            guess = did_you_mean(option, form.options) or f"; it has {', '.join(form.options) or 'none'}"
            yield ("options", option), f"format {name!r} has no such option{guess}"
        elif wrong := list(_option(option, value, form.options[option])):
            yield from wrong
        else:
            sound[option] = value
    for keys, what in form.check(sound, fields, splits):
        yield ("options", *keys), what
    for option in form.required - options.keys():
        yield ("options",) if options else ("format",), f"format {name!r} needs the option {option!r}"


def _option(option: str, value: Any, annotation: Any) -> Problems:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        for finding in error.errors(include_url=False)[:1]:
            inside = tuple(key for key in finding["loc"] if _has(value, key))
            wish = finding["msg"].replace("Input should be", "must be")
            yield ("options", option, *inside), f"{wish}, is {finding['input']!r}"


def _has(value: Any, key: str | int) -> bool:
    return (isinstance(value, dict) and key in value) or (isinstance(value, list) and isinstance(key, int))
