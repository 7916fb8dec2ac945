"""Are the values as a data set's contract says: how many repeat, how even the classes are, what is empty?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.declarations import ContractEntry, Entry
from tinytorch_datasets.findings import Finding
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.plan import Column, Plan

SHOWN = 5


class Watch:
    """Looks at the values as they come, and says in the end what is not as the contract has it."""

    def __init__(self, book: Manifest, plan: Plan) -> None:
        self._book, self._plan = book, plan
        self._entry: Entry = book.entry(plan.name)
        self._contract = self._entry.contract or ContractEntry()
        wanted = self._contract.duplicates
        self._of = (wanted.of or (next(iter(self._entry.fields)),)) if wanted else ()
        self._marks: dict[tuple[str, str], dict[int, bytes]] = {}
        self._labels: dict[tuple[str, str], np.ndarray] = {}
        self._constant: dict[tuple[str, str], list[int]] = {}
        self._empty: dict[tuple[str, str], list[int]] = {}

    def see(self, column: Column, start: int, values: Any) -> None:
        """Take in the values of a column from sample `start` on."""
        key = (column.split, column.field)
        if column.field in self._of:
            marks = self._marks.setdefault(key, {})
            marks.update(enumerate(map(_mark, _rows(values)), start))
        if column.classes is not None:
            counted = np.bincount(values, minlength=len(column.classes))
            self._labels[key] = self._labels.get(key, 0) + counted
        if self._contract.constant is not None and column.shape and len(values):
            flat = values.reshape(len(values), -1)
            same = np.flatnonzero((flat == flat[:, :1]).all(axis=1)) + start
            self._constant.setdefault(key, []).extend(same.tolist())
        if self._contract.empty is not None and column.is_text:
            blank = [start + i for i, text in enumerate(values) if not text.strip()]
            self._empty.setdefault(key, []).extend(blank)

    def findings(self) -> Iterator[Finding]:
        """What is not as the contract has it."""
        yield from self._duplicates()
        yield from self._classes()
        kinds = (
            ("constant", self._constant, "samples of one value throughout"),
            ("empty", self._empty, "empty texts"),
        )
        for rule, seen, noun in kinds:
            allowed = getattr(self._contract, rule)
            for (split, field), samples in seen.items():
                if len(samples) > allowed:
                    what = f"{split}.{field} has {len(samples):,} {noun} ({_listed(sorted(samples))})"
                    yield self._finding(rule, what, allowed, len(samples), rule)

    def _duplicates(self) -> Iterator[Finding]:
        wanted = self._contract.duplicates
        if wanted is None:
            return
        first: dict[bytes, tuple[str, int]] = {}
        for split in self._plan.splits:
            within, across = [], []
            own: dict[bytes, int] = {}
            for sample in range(split.samples):
                marks = [self._marks.get((split.name, field), {}).get(sample) for field in self._of]
                if None in marks:
                    continue
                mark = b"".join(filter(None, marks))
                if mark in own:
                    within.append(f"{sample} repeats {own[mark]}")
                elif mark in first:
                    across.append(f"{sample} is {' '.join(map(str, first[mark]))}")
                own.setdefault(mark, sample)
            for mark, sample in own.items():
                first.setdefault(mark, (split.name, sample))
            of = " and ".join(self._of)
            for kind, found, told in (
                ("within", within, f"repeat the {of} of an earlier one"),
                ("across", across, f"have the {of} of a sample in an earlier split"),
            ):
                allowed = getattr(wanted, kind)
                if allowed is not None and len(found) > allowed:
                    what = f"{len(found):,} samples of {split.name} {told} ({_listed(found)})"
                    yield self._finding("duplicates", what, allowed, len(found), "duplicates", kind)

    def _classes(self) -> Iterator[Finding]:
        totals: dict[str, np.ndarray] = {}
        for (split, field), counts in self._labels.items():
            totals[field] = totals.get(field, 0) + counts
            classes: Sequence[str] = self._entry.fields[field].classes or ()
            allowed, low, high = self._contract.balance, int(counts.argmin()), int(counts.argmax())
            if allowed is not None and counts[high] > allowed * counts[low]:
                times = f"{counts[high] / counts[low]:.3g} times as many" if counts[low] else "the other is empty"
                told = f"{classes[high]!r} has {counts[high]:,} samples, {classes[low]!r} has {counts[low]:,}"
                found = round(float(counts[high] / counts[low]), 3) if counts[low] else None
                yield self._finding("balance", f"{split}.{field}: {told}: {times}", allowed, found, "balance")
        for field, counts in totals.items():
            for unused in np.flatnonzero(counts == 0):
                name = (self._entry.fields[field].classes or ())[int(unused)]
                yield Finding(
                    rule="class-unused",
                    dataset=self._plan.name,
                    what=f"class {name!r} of {field} has no sample in any split",
                    path=str(self._plan.root),
                    where=self._book.where(self._plan.name, "fields", field, "classes", int(unused)),
                    expected="1 sample or more",
                    found=0,
                    mend="Take the class out if there never was one.",
                    severity="warning",
                )

    def _finding(self, rule: str, what: str, allowed: Any, found: Any, *keys: str) -> Finding:
        return Finding(
            rule=rule,
            dataset=self._plan.name,
            what=f"{what}; the contract allows {allowed}",
            path=str(self._plan.root),
            where=self._book.where(self._plan.name, "contract", *keys),
            expected=allowed,
            found=found,
            mend="Correct the data; or, if that is how it is, say so in the contract.",
        )


def _rows(values: Any) -> Sequence[Any]:
    if not len(values):
        return []
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)  # type: ignore[return-value]
    return [text.encode() for text in values]


def _mark(row: Any) -> bytes:
    return hashlib.blake2b(row, digest_size=16).digest()


def _listed(found: Sequence[Any]) -> str:
    return ", ".join(map(str, found[:SHOWN])) + (", ..." if len(found) > SHOWN else "")
