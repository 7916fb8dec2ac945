"""The registry of kinds of export: `exports`, `states`, `known`, `of`.

A kind is a file in `kinds/`, named as the kind is, with one function that writes the files of one split and carries
`exports`; its docstring is the documentation. The folder's listing is the list of kinds, so nothing is imported before
it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets.errors import MissingLibrary

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

__all__ = ["Check", "Describe", "ExportedFile", "Kind", "Room", "Text", "Write", "exports", "known", "of", "states"]

_KNOWN = tuple(sorted(path.stem for path in (Path(__file__).parent / "kinds").glob("[!_]*.py")))


class ExportedFile(NamedTuple):
    """A file that was written: its path below the folder, with forward slashes, and what its bytes are."""

    name: str
    bytes: int
    sha256: str


Write = Callable[["Split", Path, "Entry"], None]
Describe = Callable[[str, "Entry", Sequence[ExportedFile]], tuple[str, str]]
Check = Callable[["Entry"], None]
Text = Callable[[str, "Entry"], str]
Room = Callable[["Split", "Entry"], int]


@dataclass(frozen=True)
class Kind:
    """What a data set can be exported as.

    Attributes:
        name: What it is asked for by.
        write: ``write(split, folder, entry)`` writes the files of one split; None where no values are exported.
        room: ``room(split, entry)``, how many bytes they will have, as nearly as can be said before.
        check: ``check(entry)`` raises a UsageError where such a data set cannot be exported so.
        describe: ``describe(name, entry, files)``, the name and text of the file that says what the others are.
        ending: That of a split's file, where it is one: ``.parquet``.
        needs: The library that it is written by, and the extra that brings it.
        text: ``text(name, entry)``, all that can be said without any values; None where that is nothing.
        text_ending: Of the file of that text.
    """

    name: str
    write: Write | None
    room: Room
    check: Check
    describe: Describe | None
    ending: str
    needs: tuple[str, str] | None
    text: Text | None
    text_ending: str

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.write or self.text) or "").partition("\n")[0]

    def check_libraries(self) -> None:
        """Check that the library is installed that it is written by, before anything is downloaded.

        Raises:
            MissingLibrary: It is not.
        """
        if self.needs is not None and importlib.util.find_spec(self.needs[0]) is None:
            needing = f"an export as {self.name}"
            raise MissingLibrary(needing, *self.needs)


_kinds: dict[str, Kind] = {}


def exports(
    name: str,
    *,
    room: Room,
    check: Check = lambda entry: None,
    describe: Describe | None = None,
    ending: str = "",
    needs: tuple[str, str] | None = None,
    text: Text | None = None,
    text_ending: str = "",
) -> Callable[[Write], Write]:
    """Register the decorated function as what writes a split for kind `name`."""

    def register(write: Write) -> Write:
        _kinds[name] = Kind(name, write, room, check, describe, ending, needs, text, text_ending)
        return write

    return register


def states(name: str, *, ending: str) -> Callable[[Text], Text]:
    """Register the decorated function as kind `name`, which is a text and has no values."""

    def register(text: Text) -> Text:
        _kinds[name] = Kind(name, None, lambda split, entry: 0, lambda entry: None, None, "", None, text, ending)
        return text

    return register


def known() -> tuple[str, ...]:
    """Return the names of all kinds.

    >>> known()
    ('bibtex', 'croissant', 'csv', 'datapackage', 'jsonl', 'npz', 'parquet', 'png')
    """
    return _KNOWN


def of(name: str) -> Kind:
    """Return the kind of that name, its module imported if it was not yet.

    >>> of("npz").ending
    '.npz'
    """
    importlib.import_module(f"{__name__}.kinds.{name}")
    return _kinds[name]
