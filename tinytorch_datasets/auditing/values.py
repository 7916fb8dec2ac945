"""Do the files hold what is declared, and are the cached arrays what the files decode to?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import cache, contents, formats, stages
from tinytorch_datasets.auditing.contracts import Watch
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.findings import Finding
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Column, Plan, Split
from tinytorch_datasets.sums import Sum
from tinytorch_datasets.texts import Texts


def decoded(book: Manifest, plan: Plan, where: Places) -> list[Finding]:
    """Decode the verified files once more: what differs from the manifest, and from the cached arrays."""
    return _Audit(book, plan, _kept(plan, where)).of_files()


def vouched(book: Manifest, plan: Plan, folder: Path) -> list[Finding] | None:
    """What differs from the manifest in cached arrays that were found to have the sums which it declares.

    They are what the files decode to, or others were declared. None if they are not of the declared form: then it
    is for decoding to tell.
    """
    try:
        return _Audit(book, plan, {}).of_arrays(cache.blocks(plan, folder))
    except (OSError, ValueError):
        return None


class _Audit:
    def __init__(self, book: Manifest, plan: Plan, kept: dict[Path, dict[int, Any]]) -> None:
        self._book, self._plan, self._kept = book, plan, kept
        self._told: dict[tuple[str, str], DecodeError] = {}
        self._watch = Watch(book, plan)
        self._damaged: dict[Path, Column] = {}
        self._sums = {id(column): Sum.of(column) for column in plan.columns if column.sha256}

    def of_arrays(self, blocks: Iterator[formats.Block]) -> list[Finding] | None:
        for column, start, values in contents.checked(blocks, self._plan.splits, tell=self._tell):
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
                found += [*map(self._finding, self._other_sums()), *self._watch.findings()]
        return found

    def _decode(self, plan: Plan, *, watched: bool) -> bool:
        form = formats.of(plan.format)
        try:
            for column, start, values in contents.checked(
                form.decode(plan.splits, **plan.options), plan.splits, tell=self._tell
            ):
                if watched:
                    self._see(column, start, values)
        except DecodeError as error:
            if not watched or len(self._plan.splits) == 1:
                error.split = plan.splits[0]  # type: ignore[attr-defined]
                self._tell(error)
            return False
        return True

    def _tell(self, error: DecodeError) -> None:
        aspect = getattr(error, "aspect", error.reason)
        # Where values are left out for being wrong, that they are missing is no second fault.
        column = getattr(error, "column", "")
        if aspect == "samples" and any(told == column for told, _ in self._told):
            return
        self._told.setdefault((column, aspect), error)

    def _see(self, column: Column, start: int, values: Any) -> None:
        self._watch.see(column, start, values)
        if id(column) in self._sums:
            self._sums[id(column)].add(start, values)
        for folder, kept in self._kept.items():
            if not _same(kept[id(column)], start, values):
                self._damaged.setdefault(folder / f"{column}.npy", column)

    def _other_sums(self) -> Iterator[ContentError]:
        taken = {str(c): self._sums[id(c)].sha256 or "" for c in self._plan.columns if id(c) in self._sums}
        return contents.summed(self._plan.columns, taken)

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
                mend=f'Run `tinytorch-datasets clean {self._plan.name} --arrays`, or get it with verify="always".',
            )

    def _finding(self, error: DecodeError) -> Finding:
        meant = f"If the change was meant, `tinytorch-datasets update {self._plan.name}` writes the new one."
        of_sum = getattr(error, "aspect", "") == "sha256"
        return Finding(
            rule="content-hash" if of_sum else "content" if isinstance(error, ContentError) else "decode",
            dataset=self._plan.name,
            what=error.what,
            path=str(error.path),
            where=error.where if _precise(error) else self._line(error),
            expected=getattr(error, "expected", None),
            found=getattr(error, "actual", None),
            mend=error.mend or (meant if of_sum else f"{stages.CORRECT_THE_ENTRY}."),
        )

    def _line(self, error: DecodeError) -> str:
        """The line that promised otherwise, told from what the decoder says of the column or the split."""
        split = getattr(error, "split", self._plan.splits[0])
        column = _named(error.reason, [c for s in self._plan.splits for c in s.columns.values()], split)
        if isinstance(getattr(error, "column", None), str):
            column = next(c for s in self._plan.splits for c in s.columns.values() if str(c) == error.column)  # type: ignore[attr-defined]
        if not isinstance(error, ContentError):
            return self._book.where(self._plan.name, "format")
        if column is not None:
            split = next(s for s in self._plan.splits if column in s.columns.values())
        of_samples = getattr(error, "aspect", "") == "samples" or _same_samples(error.expected, error.actual)
        return split.where if column is None or of_samples else column.where


def _named(reason: str, columns: list[Column], split: Split) -> Column | None:
    """The column that a reason speaks of: by its full name, or by its field's, of a split in which it is wrong."""
    for column in columns:
        if re.search(rf"\b{re.escape(str(column))}\b", reason):
            return column
    named = [column for column in split.columns.values() if re.search(rf"\b{re.escape(column.field)}\b", reason)]
    return named[0] if len(named) == 1 else None


def _precise(error: DecodeError) -> bool:
    return error.where is not None and getattr(error, "aspect", "") != "samples"


def _same_samples(expected: Any, actual: Any) -> bool:
    """Whether two descriptions differ in how many samples there are, and in nothing else: "uint8 (9, 2)"."""

    def beyond(told: Any) -> str:
        return re.sub(r"\(\d+,? ?", "(", str(told))

    return isinstance(expected, int) or ("(" in str(expected) and beyond(expected) == beyond(actual))


def _kept(plan: Plan, where: Places) -> dict[Path, dict[int, Any]]:
    folders = [folder for folder in stages.array_folders(plan, where) if folder.is_dir()]
    return {folder: {id(column): _opened(column, folder) for column in plan.columns} for folder in folders}


def _opened(column: Column, folder: Path) -> Any:
    try:
        return cache.opened(column, folder)
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
        same = part == values if isinstance(part, Texts) else part.tobytes() == np.ascontiguousarray(values).tobytes()
    except UnicodeDecodeError:
        return False
    return bool(same)
