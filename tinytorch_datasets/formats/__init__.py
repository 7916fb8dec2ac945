"""Which formats are there, and what decodes each?

A format is a file in this folder; the folder's listing is the list of formats, so nothing is imported until
a data set of that format is decoded or checked. It is read once: ten thousand entries ask for it.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tinytorch_datasets.formats._registry import Block, Format, decodes, registered

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
