"""Audit of decoded values: against the cached arrays, the digests and the checks."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import pipeline
from tinytorch_datasets.auditing.findings import Finding
from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import ContentError, DecodeError, StorageError
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.manifest.models import ChecksEntry, Entry
from tinytorch_datasets.pipeline.decode import tasks
from tinytorch_datasets.pipeline.shards import decoded, plans_in_one_file
from tinytorch_datasets.plan import Block, Column, Plan, RaggedBlock, Split
from tinytorch_datasets.readers.pickle import globals_of
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.storage.encoded_array import EncodedArray, EncodedBlock, plain_values
from tinytorch_datasets.storage.files import exists
from tinytorch_datasets.storage.memmap import open_map
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify import arrays as value_checks

SHOWN = 5


class Statistics:
    """What the declared checks are about: repeated, constant and empty samples, and the sizes of classes.

    Gathered while values pass by, so that they are decoded once.
    """

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self._manifest, self._plan = manifest, plan
        self._entry: Entry = manifest.entry(plan.name)
        self._checks = self._entry.checks or ChecksEntry()
        duplicates = self._checks.duplicates
        self._compared_fields = (duplicates.of or (next(iter(self._entry.fields)),)) if duplicates else ()
        self._row_hashes: dict[tuple[str, str], dict[int, bytes]] = {}
        self._class_counts: dict[tuple[str, str], np.ndarray] = {}
        self._constant: dict[tuple[str, str], list[int]] = {}
        self._empty: dict[tuple[str, str], list[int]] = {}

    def add(self, column: Column, start: int, values: Any) -> None:
        """Take in the values of a column from sample `start` on."""
        key = (column.split, column.field)
        values = plain_values(values)
        flat = values
        if isinstance(values, RaggedBlock):
            flat, values = values.values, RaggedArray.from_shapes(values.values, values.shapes)
        if column.field in self._compared_fields:
            self._row_hashes.setdefault(key, {}).update(enumerate(map(_row_hash, _rows(values)), start))
        if column.classes is not None:
            counts = np.bincount(flat, minlength=len(column.classes))
            self._class_counts[key] = self._class_counts.get(key, 0) + counts
        if self._checks.constant is not None and column.shape:
            self._constant.setdefault(key, []).extend(start + place for place in _constant(values))
        if self._checks.empty is not None and column.is_text:
            blank = [start + i for i, text in enumerate(values) if not text.strip()]
            self._empty.setdefault(key, []).extend(blank)

    def findings(self) -> Iterator[Finding]:
        """Yield what the declared checks do not allow."""
        yield from self._duplicates()
        yield from self._classes()
        kinds = (
            ("constant", self._constant, "samples of one value throughout"),
            ("empty", self._empty, "empty texts"),
        )
        for rule, by_column, noun in kinds:
            allowed = getattr(self._checks, rule)
            for (split, field), samples in by_column.items():
                if len(samples) > allowed:
                    what = f"{split}.{field} has {len(samples):,} {noun} ({_first_few(sorted(samples))})"
                    yield self._finding(rule, what, allowed, len(samples), rule)

    def _duplicates(self) -> Iterator[Finding]:
        duplicates = self._checks.duplicates
        if duplicates is None:
            return
        first: dict[bytes, tuple[str, int]] = {}
        for split in self._plan.splits:
            within, across = [], []
            own: dict[bytes, int] = {}
            for sample in range(split.samples):
                parts = [self._row_hashes.get((split.name, field), {}).get(sample) for field in self._compared_fields]
                if None in parts:
                    continue
                row = b"".join(filter(None, parts))
                if row in own:
                    within.append(f"{sample} repeats {own[row]}")
                elif row in first:
                    across.append(f"{sample} is {' '.join(map(str, first[row]))}")
                own.setdefault(row, sample)
            for row, sample in own.items():
                first.setdefault(row, (split.name, sample))
            of = " and ".join(self._compared_fields)
            for kind, repeated, relation in (
                ("within", within, f"repeat the {of} of an earlier one"),
                ("across", across, f"have the {of} of a sample in an earlier split"),
            ):
                allowed = getattr(duplicates, kind)
                if allowed is not None and len(repeated) > allowed:
                    what = f"{len(repeated):,} samples of {split.name} {relation} ({_first_few(repeated)})"
                    yield self._finding("duplicates", what, allowed, len(repeated), "duplicates", kind)

    def _classes(self) -> Iterator[Finding]:
        totals: dict[str, np.ndarray] = {}
        for (split, field), counts in self._class_counts.items():
            totals[field] = totals.get(field, 0) + counts
            classes: Sequence[str] = self._entry.fields[field].classes or ()
            allowed, low, high = self._checks.balance, int(counts.argmin()), int(counts.argmax())
            if allowed is not None and counts[high] > allowed * counts[low]:
                times = f"{counts[high] / counts[low]:.3g} times as many" if counts[low] else "the other is empty"
                sizes = f"{classes[high]!r} has {counts[high]:,} samples, {classes[low]!r} has {counts[low]:,}"
                ratio = round(float(counts[high] / counts[low]), 3) if counts[low] else None
                yield self._finding("balance", f"{split}.{field}: {sizes}: {times}", allowed, ratio, "balance")
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
                    actual=0,
                    hint="Remove the class if there never was one.",
                    severity="warning",
                )

    def _finding(self, rule: str, what: str, allowed: Any, actual: Any, *keys: str) -> Finding:
        return Finding(
            rule=rule,
            dataset=self._plan.name,
            what=f"{what}; checks allow {allowed}",
            path=str(self._plan.root),
            where=self._manifest.where(self._plan.name, "checks", *keys),
            expected=allowed,
            actual=actual,
            hint="Correct the data; or, if the data is meant to be so, declare it under checks.",
        )


def _rows(values: Any) -> Sequence[Any]:
    if not len(values):
        return []
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)  # type: ignore[return-value]
    if isinstance(values, RaggedArray):
        return [str(sample.shape).encode() + sample.tobytes() for sample in values]
    return [text.encode() for text in values]


def _constant(values: np.ndarray | RaggedArray) -> Sequence[int]:
    """Return which samples are of one value throughout."""
    if isinstance(values, RaggedArray):
        return [place for place, sample in enumerate(values) if sample.size and bool((sample == sample.flat[0]).all())]
    flat = values.reshape(len(values), -1) if len(values) else np.empty((0, 1))
    constant: list[int] = np.flatnonzero((flat == flat[:, :1]).all(axis=1)).tolist()
    return constant


def _row_hash(row: Any) -> bytes:
    return hashlib.blake2b(row, digest_size=16).digest()


def _first_few(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items[:SHOWN])) + (", ..." if len(items) > SHOWN else "")


def audit_cached(manifest: Manifest, folder: ArrayFolder) -> list[Finding] | None:
    """Check cached arrays that have the declared digests, in place of decoding the files.

    They are what the files decode to, or others were declared. None if they are not of the declared form: then the
    files have to be decoded.
    """
    statistics, errors = Statistics(manifest, folder.plan), _Errors(manifest, folder.plan)
    try:
        for block in value_checks.checked(folder.blocks(), folder.plan.splits, on_error=errors.add_content):
            statistics.add(*block)
    except (OSError, ValueError):
        return None
    return None if errors.kept else list(statistics.findings())


def audit_decoded(manifest: Manifest, plan: Plan, locations: Locations) -> list[Finding]:
    """Decode verified files again; report what differs from the manifest, and from the cached arrays."""
    statistics, errors = Statistics(manifest, plan), _Errors(manifest, plan)
    cached, damaged = _cached_arrays(plan, locations), dict[Path, Column]()
    digests = {id(column): ValueDigest.of(column) for column in plan.columns if column.sha256}
    try:
        for block in _blocks(plan, errors):
            statistics.add(*block)
            column, start, values = block
            if id(column) in digests:
                digests[id(column)].add(start, values)
            for folder, arrays in cached.items():
                if not _equal_bytes(arrays[id(column)], start, values):
                    damaged.setdefault(folder / f"{column}.npy", column)
    except (DecodeError, OSError) as error:
        if len(plan.splits) == 1:
            errors.add(error, plan.splits[0])
        else:
            _decode_each_split(plan, errors, error)
        return errors.findings()
    findings = [*errors.findings(), *(_damaged(plan, path, column) for path, column in damaged.items())]
    if not findings:
        actual = {str(c): digests[id(c)].sha256 or "" for c in plan.columns if id(c) in digests}
        other = value_checks.other_digests(plan.columns, actual)
        findings = [*(_of_error(plan, error) for error in other), *statistics.findings()]
    return findings


def _blocks(plan: Plan, errors: _Errors) -> Iterator[Block]:
    blocks = decoded(plan, on_error=errors.add_content)
    return value_checks.checked(blocks, plan.splits, on_error=errors.add_content)


def _decode_each_split(plan: Plan, errors: _Errors, first: DecodeError | OSError) -> None:
    """Decode split by split: one wrong file ends a decoder, as it did by its `first` error, and others may be wrong."""
    for split in plan.splits:
        try:
            for _ in _blocks(dataclasses.replace(plan, splits=(split,)), errors):
                pass
        except (DecodeError, OSError) as error:
            errors.add(error, split)
    # What could be read only the second time was compared with no array and no digest.
    if isinstance(first, OSError) or not errors.kept:
        errors.add(first, plan.splits[0])


class _Errors:
    """Errors of decoding, each once, with their lines of the manifest."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        self._manifest, self._plan = manifest, plan
        # By column and aspect, or by reason; or by the path of what could not be read.
        self.kept: dict[tuple[str | None, str], Finding] = {}

    def add_content(self, error: ContentError) -> None:
        # Where values are left out for being wrong, that they are missing is no second fault.
        if error.aspect != "samples" or all(column != error.column for column, _ in self.kept):
            self.add(error, self._plan.splits[0])

    def add(self, error: DecodeError | OSError, split: Split) -> None:
        """Keep an error; it is the one of `split` if the error does not name its field."""
        if isinstance(error, OSError):
            unread = changed_meanwhile(self._plan, error)
            self.kept.setdefault((None, unread.path), unread)
            return
        key: tuple[str | None, str] = (None, error.reason)
        pipeline.name_line(error, self._manifest, self._plan.name)
        if isinstance(error, ContentError):
            error.with_context(where=value_checks.declared_at(error, self._plan.splits) or split.where)
            key = (error.column, error.aspect) if error.column else key
        elif not error.keys:
            error.where = self._manifest.where(self._plan.name, "format")
        self.kept.setdefault(key, _of_error(self._plan, error))

    def findings(self) -> list[Finding]:
        return [*self.kept.values()]


def _of_error(plan: Plan, error: DecodeError) -> Finding:
    if_meant = f"If the change was meant, `tinytorch-datasets update {plan.name}` writes the new one."
    rule, expected, actual, hint = "decode", None, None, f"{pipeline.CORRECT_THE_ENTRY}."
    if isinstance(error, ContentError):
        expected, actual = error.expected, error.actual
        rule, hint = ("content-hash", if_meant) if error.aspect == "sha256" else ("content", hint)
    return Finding(
        rule=rule,
        dataset=plan.name,
        what=error.what,
        path=str(error.path),
        where=error.where,
        expected=expected,
        actual=actual,
        hint=error.hint or hint,
    )


def changed_meanwhile(plan: Plan, error: OSError) -> Finding:
    """Return the finding that a file was hashed, and could not be read after that."""
    path = str(error.path if isinstance(error, StorageError) else error.filename or plan.root)
    reason = error.what if isinstance(error, StorageError) else error.strerror or error
    is_gone = isinstance(error, FileNotFoundError)
    since = "is gone since" if is_gone else f"could not be read when it was to be decoded: {reason}"
    return Finding(
        rule="file-missing",
        dataset=plan.name,
        what=f"{path} was hashed, and {since}",
        path=path,
        where=plan.where,
        hint="Audit again, while nothing changes the files.",
    )


def pickle_globals(plan: Plan) -> tuple[str, ...]:
    """Return every name (``numpy.ndarray``) that the data set's pickles ask for, sorted; none of them is loaded.

    Of a damaged pickle, the names up to the damage: that it is damaged, or gone, decoding reports.
    """
    names: set[str] = set()
    try:
        for task in (task for one in plans_in_one_file(plan) for task in tasks(one)):
            for read in task.pickles():
                names.update(globals_of(read))
    except (DecodeError, OSError):
        pass
    return tuple(sorted(names))


def _damaged(plan: Plan, path: Path, column: Column) -> Finding:
    return Finding(
        rule="array",
        dataset=plan.name,
        what=f"the cached array {column} is not what its file decodes to",
        path=str(path),
        where=column.where,
        expected="the values of the verified file",
        actual="other values",
        hint=f'Run `tinytorch-datasets clean {plan.name} --arrays`, or get it with verify="always".',
    )


def _cached_arrays(plan: Plan, locations: Locations) -> dict[Path, dict[int, Any]]:
    folders = [folder for folder in pipeline.array_folders(plan, locations) if exists(folder.path)]
    return {folder.path: {id(column): _open(column, folder) for column in plan.columns} for folder in folders}


def _open(column: Column, folder: ArrayFolder) -> Any:
    """Open a column's values; None if they are not there, or not whole."""
    try:
        values, *others = folder.parts(column)
        if others and not _divide(open_map(folder.path, others[0]), values.shape[0]):
            return None
        return folder.values(column)
    except (OSError, ValueError):
        return None


def _divide(offsets: np.ndarray, count: int) -> bool:
    """Check whether offsets divide so many values: a slice that leads beyond the last of them has the same values."""
    return bool(offsets[0] == 0 and offsets[-1] == count and (offsets[1:] >= offsets[:-1]).all())


def _equal_bytes(array: Any, start: int, values: Any) -> bool:
    """Compare a block with its part of a cached array: by bytes, for NaN differs from itself and -0.0 equals 0.0."""
    if array is None:
        return False
    if isinstance(array, str):
        return bool(array == values[0])
    if isinstance(values, EncodedBlock):
        return isinstance(array, EncodedArray) and [*array[start : start + len(values)].encoded] == [*values.encoded]
    try:
        part = array[start : start + len(values)]
        if isinstance(values, RaggedBlock):
            own = part.block
            return bool(np.array_equal(own.shapes, values.shapes) and _equal_bytes(own.values, 0, values.values))
        if isinstance(part, StringArray):
            return bool(part == values)
        return bool(part.tobytes() == np.ascontiguousarray(values).tobytes())
    except ValueError:  # no text, or offsets that are none of its shapes
        return False
