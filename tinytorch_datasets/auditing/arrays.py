"""Audit of decoded values: against the cached arrays, the digests and the checks."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import formats, pipeline
from tinytorch_datasets.auditing.findings import Finding
from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.manifest.models import ChecksEntry, Entry
from tinytorch_datasets.plan import Block, Column, Plan, Split
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify import arrays as value_checks

SHOWN = 5


class Watch:
    """Looks at the values as they come, and says in the end what is not as the checks has it."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self._manifest, self._plan = manifest, plan
        self._entry: Entry = manifest.entry(plan.name)
        self._contract = self._entry.checks or ChecksEntry()
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
        """What is not as the checks has it."""
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
                    where=self._manifest.where(self._plan.name, "fields", field, "classes", int(unused)),
                    expected="1 sample or more",
                    found=0,
                    hint="Take the class out if there never was one.",
                    severity="warning",
                )

    def _finding(self, rule: str, what: str, allowed: Any, found: Any, *keys: str) -> Finding:
        return Finding(
            rule=rule,
            dataset=self._plan.name,
            what=f"{what}; the checks allows {allowed}",
            path=str(self._plan.root),
            where=self._manifest.where(self._plan.name, "checks", *keys),
            expected=allowed,
            found=found,
            hint="Correct the data; or, if that is how it is, say so in the checks.",
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


def decoded(manifest: Manifest, plan: Plan, locations: Locations) -> list[Finding]:
    """Decode the verified files once more: what differs from the manifest, and from the cached arrays."""
    return _Audit(manifest, plan, _kept(plan, locations)).of_files()


def vouched(manifest: Manifest, plan: Plan, folder: Path) -> list[Finding] | None:
    """What differs from the manifest in cached arrays that were found to have the digests which it declares.

    They are what the files decode to, or others were declared. None if they are not of the declared form: then it
    is for decoding to tell.
    """
    try:
        return _Audit(manifest, plan, {}).of_arrays(array_store.blocks(plan, folder))
    except (OSError, ValueError):
        return None


class _Audit:
    def __init__(self, manifest: Manifest, plan: Plan, kept: dict[Path, dict[int, Any]]) -> None:
        self._manifest, self._plan, self._kept = manifest, plan, kept
        self._told: dict[tuple[str | None, str], DecodeError] = {}  # by column and aspect, or by reason
        self._watch = Watch(manifest, plan)
        self._damaged: dict[Path, Column] = {}
        self._digests = {id(column): ValueDigest.of(column) for column in plan.columns if column.sha256}

    def of_arrays(self, blocks: Iterator[Block]) -> list[Finding] | None:
        for column, start, values in value_checks.checked(blocks, self._plan.splits, tell=self._tell):
            self._watch.see(column, start, values)
        return None if self._told else list(self._watch.findings())

    def of_files(self) -> list[Finding]:
        whole = self._decode(self._plan, watched=True)
        if not whole:
            # One wrong file ends a decoder; what else is wrong is found split by split.
            for split in self._plan.splits:
                self._decode(dataclasses.replace(self._plan, splits=(split,)), watched=False)
        found = [self._finding(error) for error in self._told.values()]
        if whole:
            found += self._of_damaged()
            if not found:
                found += [*map(self._finding, self._other_digests()), *self._watch.findings()]
        return found

    def _decode(self, plan: Plan, *, watched: bool) -> bool:
        form = formats.of(plan.format)
        try:
            for column, start, values in value_checks.checked(
                form.decode(plan.splits, **plan.options), plan.splits, tell=self._tell
            ):
                if watched:
                    self._see(column, start, values)
        except DecodeError as error:
            if not watched or len(self._plan.splits) == 1:
                self._note(error, plan.splits[0])
            return False
        return True

    def _tell(self, error: ContentError) -> None:
        # Where values are left out for being wrong, that they are missing is no second fault.
        if error.aspect != "samples" or all(column != error.column for column, _ in self._told):
            self._note(error, self._plan.splits[0])

    def _note(self, error: DecodeError, split: Split) -> None:
        """Keep an error, with its line; it is the one of `split` if the error does not say which field it is of."""
        key: tuple[str | None, str] = (None, error.reason)
        if isinstance(error, ContentError):
            error.with_context(where=value_checks.declared_at(error, self._plan.splits) or split.where)
            key = (error.column, error.aspect) if error.column else key
        else:
            error.where = self._manifest.where(self._plan.name, "format")
        self._told.setdefault(key, error)

    def _see(self, column: Column, start: int, values: Any) -> None:
        self._watch.see(column, start, values)
        if id(column) in self._digests:
            self._digests[id(column)].add(start, values)
        for folder, kept in self._kept.items():
            if not _same(kept[id(column)], start, values):
                self._damaged.setdefault(folder / f"{column}.npy", column)

    def _other_digests(self) -> Iterator[ContentError]:
        taken = {str(c): self._digests[id(c)].sha256 or "" for c in self._plan.columns if id(c) in self._digests}
        return value_checks.other_digests(self._plan.columns, taken)

    def _of_damaged(self) -> Iterator[Finding]:
        for path, column in self._damaged.items():
            yield Finding(
                rule="array",
                dataset=self._plan.name,
                what=f"the cached array {column} is not what its file decodes to",
                path=str(path),
                where=column.where,
                expected="the values of the verified file",
                found="others",
                hint=f'Run `tinytorch-datasets clean {self._plan.name} --arrays`, or get it with verify="always".',
            )

    def _finding(self, error: DecodeError) -> Finding:
        meant = f"If the change was meant, `tinytorch-datasets update {self._plan.name}` writes the new one."
        rule, expected, found, hint = "decode", None, None, f"{pipeline.CORRECT_THE_ENTRY}."
        if isinstance(error, ContentError):
            expected, found = error.expected, error.actual
            rule, hint = ("content-hash", meant) if error.aspect == "sha256" else ("content", hint)
        return Finding(
            rule=rule,
            dataset=self._plan.name,
            what=error.what,
            path=str(error.path),
            where=error.where,
            expected=expected,
            found=found,
            hint=error.hint or hint,
        )


def _kept(plan: Plan, locations: Locations) -> dict[Path, dict[int, Any]]:
    folders = [folder for folder in pipeline.array_folders(plan, locations) if folder.is_dir()]
    return {folder: {id(column): _opened(column, folder) for column in plan.columns} for folder in folders}


def _opened(column: Column, folder: Path) -> Any:
    try:
        return array_store.opened(column, folder)
    except (OSError, ValueError):
        return None


def _same(kept: Any, start: int, values: Any) -> bool:
    if kept is None:
        return False
    if isinstance(kept, str):
        return bool(kept == values[0])
    try:
        part = kept[start : start + len(values)]
        # Bytes, not values: NaN differs from itself, and minus zero equals zero.
        same = (
            part == values
            if isinstance(part, StringArray)
            else part.tobytes() == np.ascontiguousarray(values).tobytes()
        )
    except UnicodeDecodeError:
        return False
    return bool(same)
