"""`Dataset`: what `get` returns, a mapping of splits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from opcode import opname
from typing import TYPE_CHECKING, Any

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.errors import UnknownName, UsageError, refuse_to_set
from tinytorch_datasets.split import Split

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike

    from tinytorch_datasets.batches.conversion import Channels, Normalization
    from tinytorch_datasets.manifest.models import Entry, FileEntry

# A line of provenance has the hashes of so many files, and of more a hash of those.
MOST_LISTED = 20


def _is_unpacked() -> bool:
    """Check whether the code that asked for an iterator is about to unpack it into two variables or more."""
    try:
        frame = sys._getframe(2)
    except (AttributeError, ValueError):  # another Python than CPython, or C that was called by none
        return False
    code, place = frame.f_code.co_code, frame.f_lasti
    if not 0 <= place < len(code) - 1:
        return False
    operation, argument = opname[code[place]], code[place + 1]
    return operation == "UNPACK_EX" or (operation == "UNPACK_SEQUENCE" and argument > 1)


def _unpacked(names: Sequence[str]) -> str:
    """Return variables as the left side of an assignment: one alone has a comma behind it."""
    return ", ".join(names) + ("," if len(names) == 1 else "")


class Dataset(Mapping[str, Split]):
    """One data set: a mapping of splits, each an attribute too. ``cifar["train"] is cifar.train``."""

    _name: str
    _splits: dict[str, Split]
    _classes: tuple[str, ...] | None
    _describe: Callable[[], tuple[Entry, str]]
    _note: str

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Split],
        *,
        classes: tuple[str, ...] | None,
        describe: Callable[[], tuple[Entry, str]],
        note: str = "",
    ) -> None:
        # At once, as in a split: each that is set by itself goes through `__setattr__`.
        self.__dict__.update(_name=name, _splits=dict(splits), _classes=classes, _describe=describe, _note=note)
        train = self._splits.get("train")
        for split in self._splits.values():
            split._belongs_to(name, train if train is not None or len(self._splits) > 1 else split, describe)
            if note:
                split._note = note

    @property
    def name(self) -> str:
        """The data set's name in the manifest."""
        return self._name

    @property
    def is_standin(self) -> bool:
        """Whether its values were made up from its declaration, by ``get(name, standin=True)``."""
        return bool(self._note)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names, by label; None where there are no classes."""
        return self._classes

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the columns of each field that has such names, by field: of its last axis."""
        return {field: declared.names for field, declared in self.entry.fields.items() if declared.names}

    @property
    def entry(self) -> Entry:
        """The manifest entry, frozen: title, license, source, citation, files with sha256, mirrors."""
        return self._described[0]

    @property
    def provenance(self) -> str:
        """One line to paste in a report: name, version of this package, hashes of the manifest and the files."""
        return self._described[1]

    @cached_property
    def _described(self) -> tuple[Entry, str]:
        return self._describe()

    def arrays(
        self,
        dtype: DTypeLike | None = None,
        *,
        flat: bool = False,
        channels: Channels | None = None,
        normalize: Normalization | None = None,
        one_hot: str | Sequence[str] | None = None,
    ) -> tuple[tuple[Any, ...], ...]:
        """Return every split's fields: ``(x_train, y_train), (x_test, y_test) = mnist.arrays(dtype="float32")``.

        Splits come in the manifest's order, fields too; the arguments are those of `Split.arrays`. So
        ``normalize="standard"`` normalizes each of them by the mean and deviation of ``train``.
        """
        splits = self._splits.values()
        return tuple(
            split.arrays(dtype, flat=flat, channels=channels, normalize=normalize, one_hot=one_hot) for split in splits
        )

    def __getitem__(self, split: str) -> Split:
        try:
            return self._splits[split]
        except (KeyError, TypeError):
            raise UnknownName(str(split), self._splits, kind=f"split of {self._name!r}") from None

    def __getattr__(self, split: str) -> Split:
        if not split.startswith("_"):
            if split in self._splits:
                return self._splits[split]
            error = UnknownName(split, self._splits, kind=f"split of {self._name!r}")
            raise AttributeError(str(error), obj=self)  # with its name, Python would add a guess of its own
        msg = f"'Dataset' object has no attribute {split!r}"
        raise AttributeError(msg, name=split, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        refuse_to_set(self, name, Dataset)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._splits]

    def __iter__(self) -> Iterator[str]:
        # `x, y = get("mnist")` would give the names of its splits, and whoever writes that wants arrays. A mapping's
        # iteration is kept whole: only this one instruction of Python's is refused. No protocol says what an iterator
        # is for, so the instruction is looked at. Names that complain when they are used as arrays would do so late,
        # and `np.asarray(x)` never asks them; splits in place of names would be no mapping. Where the instruction
        # cannot be read, names come, as of every mapping.
        if _is_unpacked():
            what = f"data set {self._name!r} is a mapping of splits, and cannot be unpacked into several variables"
            splits = f"{', '.join(self._splits)} = get({self._name!r}).values()"
            if len(self._splits) == 1:
                splits = "{0} = get({1!r}).{0}".format(*self._splits, self._name)
            raise UsageError(what, hint=f"Write `{self._arrays_example()}`, or `{splits}`.")
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def __eq__(self, other: object) -> bool:
        # Mapping compares values, and comparing arrays gives arrays; a data set is itself and nothing else.
        return self is other

    __hash__ = object.__hash__

    def _ipython_key_completions_(self) -> list[str]:
        return [*self._splits]

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display import html  # which nobody needs who only computes
        from tinytorch_datasets.display.samples import class_counts
        from tinytorch_datasets.plan import UNANSWERED

        title = "" if self.entry.title == UNANSWERED else f": {self.entry.title}"
        return html.dataset(
            f"{self._name}{title}{self._noted}",
            self.entry.model_dump(mode="json"),
            counts={name: counts for name, split in self._splits.items() if (counts := class_counts(split))},
            notes=[self._arrays_example(), self.provenance],
        )

    def _arrays_example(self) -> str:
        """Return the line that gives every array of it by a name of its own."""
        names = {s: _unpacked([f"{field}_{s}" for field in split.fields]) for s, split in self._splits.items()}
        if len(names) == 1:
            return "{1} = get({2!r}).{0}.arrays()".format(*names, *names.values(), self._name)
        return f"{', '.join(f'({of_split})' for of_split in names.values())} = get({self._name!r}).arrays()"

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} ({len(split):,})" for name, split in self._splits.items())
        return f"<Dataset {self._name}: {splits}{self._noted}>"

    @property
    def _noted(self) -> str:
        return f"; {self._note}" if self._note else ""


def origin(name: str, files: Mapping[str, FileEntry], manifest: str | Path, manifest_sha256: str) -> str:
    """Say in one line where a data set's arrays are from: from which of its files, declared where."""
    hashes = {os.path.basename(manifest): manifest_sha256}
    hashes |= {path: file.sha256 for path, file in files.items()}
    if len(files) > MOST_LISTED:
        from hashlib import sha256 as hashed  # which nobody needs who only computes

        of_all = hashed("".join(sorted(file.sha256 for file in files.values())).encode()).hexdigest()
        hashes = {os.path.basename(manifest): manifest_sha256, f"the sorted sha256 of {len(files):,} files": of_all}
    listed = ", ".join(f"{file} {sha256[:16]}" for file, sha256 in hashes.items())
    return f"{name} from tinytorch-datasets {VERSION}; sha256 of {listed}"
