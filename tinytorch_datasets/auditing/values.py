"""Do the files hold what is declared, and are the cached arrays what the files decode to?"""

from __future__ import annotations

import dataclasses
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
from tinytorch_datasets.texts import Texts
from tinytorch_datasets.value_digests import ValueDigest


def decoded(book: Manifest, plan: Plan, where: Places) -> list[Finding]:
    """Decode the verified files once more: what differs from the manifest, and from the cached arrays."""
    return _Audit(book, plan, _kept(plan, where)).of_files()


def vouched(book: Manifest, plan: Plan, folder: Path) -> list[Finding] | None:
    """What differs from the manifest in cached arrays that were found to have the digests which it declares.

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
        self._told: dict[tuple[str | None, str], DecodeError] = {}  # by column and aspect, or by reason
        self._watch = Watch(book, plan)
        self._damaged: dict[Path, Column] = {}
        self._digests = {id(column): ValueDigest.of(column) for column in plan.columns if column.sha256}

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
                found += [*map(self._finding, self._other_digests()), *self._watch.findings()]
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
            error.where = error.where or contents.promised_at(error, self._plan.splits) or split.where
            key = (error.column, error.aspect) if error.column else key
        else:
            error.where = self._book.where(self._plan.name, "format")
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
        return contents.other_digests(self._plan.columns, taken)

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
        rule, expected, found, mend = "decode", None, None, f"{stages.CORRECT_THE_ENTRY}."
        if isinstance(error, ContentError):
            expected, found = error.expected, error.actual
            rule, mend = ("content-hash", meant) if error.aspect == "sha256" else ("content", mend)
        return Finding(
            rule=rule,
            dataset=self._plan.name,
            what=error.what,
            path=str(error.path),
            where=error.where,
            expected=expected,
            found=found,
            mend=error.mend or mend,
        )


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
