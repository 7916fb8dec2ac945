"""The registry of formats: `decodes`, `known`, `of`.

A format is a file in this folder; the folder's listing is the list of formats, so nothing is imported until
a data set of that format is decoded or checked. It is read once: ten thousand entries ask for it.

One file in this folder, named as the format is (``cifar_python.py`` for ``cifar-python``), with one function
in it that carries `decodes`. The function takes the splits to decode and yields their values block by block;
its keyword-only parameters are the format's options, checked against ``options:`` in the manifest by their
annotations. It knows bytes: never YAML, never the network, never where the values go.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinytorch_datasets.errors import Problems
from tinytorch_datasets.plan import Block, Split

__all__ = ["Block", "Format", "decodes", "known", "of"]

_KNOWN = tuple(sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py")))


def known() -> tuple[str, ...]:
    """The names of all formats, sorted.

    >>> "idx" in known()
    True
    """
    return _KNOWN


def of(name: str) -> Format:
    """The format of that name, its file imported if it was not yet.

    Raises:
        KeyError: There is no file for it.

    >>> of("idx").layout
    'file per field'
    """
    if registered(name) is None:
        if name not in known():
            raise KeyError(name)
        importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found = registered(name)
    if found is None:
        msg = f"formats/{name.replace('-', '_')}.py does not register {name!r}: use @decodes({name!r}, ...)"
        raise KeyError(msg)
    return found


Layout = Literal["file per field", "file per split", "members"]


Decoder = Callable[..., Iterator[Block]]
Check = Callable[[Mapping[str, Any], Iterable[str], Iterable[str]], Problems]
Pickles = Callable[[Sequence[Split]], Iterator[tuple[Path, str, Callable[[int], bytes]]]]


def _nothing(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    return iter(())


@dataclass(frozen=True)
class Format:
    """One on-disk format.

    Attributes:
        name: What the manifest calls it.
        decode: ``decode(splits, **options)``, yielding blocks.
        layout: How a split names its bytes: a file for each field, one file for all, or members of one file.
        version: Part of the name of every decoded array; raise it when the same bytes would decode otherwise.
        options: Type of each option, by name; `required` are those without a default.
        check: ``check(options, fields, splits)``, yielding what is wrong with options of the right types, and where
            below ``options:``; `fields` and `splits` are the names that the entry has.
        pickles: ``pickles(splits)``, yielding (file, member or "", function that reads at most so many bytes) of
            each pickle that decoding would read, to be read before the next is asked for: for an audit of what they
            ask for. None where there are no pickles.
    """

    name: str
    decode: Decoder
    layout: Layout
    version: int
    options: Mapping[str, Any]
    required: frozenset[str]
    check: Check = _nothing
    pickles: Pickles | None = None

    @property
    def summary(self) -> str:
        """The first line of the decoder's docstring."""
        return (inspect.getdoc(self.decode) or "").partition("\n")[0]


_formats: dict[str, Format] = {}


def decodes(
    name: str, *, layout: Layout, version: int = 1, check: Check = _nothing, pickles: Pickles | None = None
) -> Callable[[Decoder], Decoder]:
    """Register the decorated function as the decoder of format `name`."""

    def register(decode: Decoder) -> Decoder:
        if name in _formats:
            msg = f"format {name!r} has two decoders: {_formats[name].decode.__module__} and {decode.__module__}"
            raise ValueError(msg)
        keywords = [
            p
            for p in inspect.signature(decode, eval_str=True).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        _formats[name] = Format(
            name=name,
            decode=decode,
            layout=layout,
            version=version,
            options={p.name: p.annotation for p in keywords},
            required=frozenset(p.name for p in keywords if p.default is inspect.Parameter.empty),
            check=check,
            pickles=pickles,
        )
        return decode

    return register


def registered(name: str) -> Format | None:
    """The format of that name, if its file has been imported."""
    return _formats.get(name)


__all__ = ["Block", "Decoder", "Format", "Layout", "decodes", "registered"]
