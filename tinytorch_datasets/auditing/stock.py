"""Is what is on disk as declared: every file, every value, every receipt?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tinytorch_datasets import cache, stages
from tinytorch_datasets.auditing import folder, pickles, receipt, values
from tinytorch_datasets.comparing import compared
from tinytorch_datasets.findings import Audited, Finding, State
from tinytorch_datasets.hashing import Digest, Meter, Step, digest_or_error, side_by_side, size_of
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Column, Plan

Decode = Literal["auto", "always", "never"]


class Stock:
    """What is on disk of some data sets. `found` has the digest of each file that was looked at."""

    def __init__(self, book: Manifest, plans: Sequence[Plan], where: Places, decode: Decode) -> None:
        self._book, self._plans, self._where, self._decode = book, plans, where, decode
        self.found: dict[Path, Digest | OSError] = {}
        # Arrays whose digests the manifest declares: if they have them, decoding would only give them again.
        self._declared: dict[str, list[Path]] = {
            plan.name: [folder for folder in stages.array_folders(plan, where) if cache.is_whole(plan, folder)]
            for plan in plans
            if decode == "auto" and all(column.sha256 for column in plan.columns)
        }
        self._digests: dict[tuple[Path, str], str | None] = {}

    def taken(self, step: Step | None) -> list[tuple[Audited, list[Finding]]]:
        """A row and the findings of each data set; every byte is read once, on every core."""
        self._read(step)
        wrong = {plan.name: self._compared(plan) for plan in self._plans}
        sound = [plan for plan in self._plans if self._decode != "never" and _whole(plan) and not wrong[plan.name]]
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1), "decode") as pool:
            told = {plan.name: found for plan, found in zip(sound, pool.map(self._vouched, sound), strict=True)}
            to_decode = [plan for plan in sound if told[plan.name] is None]
            decoded = pool.map(lambda plan: values.decoded(self._book, plan, self._where), to_decode)
            asked = pool.map(pickles.asked_for, to_decode)
            told |= {plan.name: found for plan, found in zip(to_decode, decoded, strict=True)}
            asked_for = {plan.name: names for plan, names in zip(to_decode, asked, strict=True)}
        rows = []
        for plan in self._plans:
            # A planted receipt needs no file to be there, so receipts are looked at whatever else there is.
            opened = receipt.foreign(self._book, plan, self._where)
            found = [*wrong[plan.name], *(told.get(plan.name) or ()), *opened]
            rows.append((_row(plan, wrong[plan.name], told.get(plan.name), asked_for.get(plan.name, ())), found))
        return rows

    def _read(self, step: Step | None) -> None:
        """Hash all files, and the arrays whose digests are declared."""
        files = {plan.root / name: self._md5_too(plan, name) for plan in self._plans for name in _expected(plan)}
        arrays = [
            (column, folder)
            for plan in self._plans
            for folder in self._declared.get(plan.name, ())
            for column in plan.columns
        ]
        sizes = {path: size_of(path) for path in files}
        meter = Meter(step, sum(sizes.values()) + sum(column.nbytes for column, _ in arrays))
        jobs: list[tuple[int, Callable[[], Any]]] = [
            *((sizes[path], partial(digest_or_error, path, add=meter.add, md5_too=md5)) for path, md5 in files.items()),
            *((column.nbytes, partial(_hashed, column, folder, meter)) for column, folder in arrays),
        ]
        came = side_by_side(jobs)
        self.found = dict(zip(files, came, strict=False))
        read = zip(arrays, came[len(files) :], strict=True)
        self._digests = {(folder, str(column)): sha256 for (column, folder), sha256 in read}

    def _vouched(self, plan: Plan) -> list[Finding] | None:
        """What differs in a data set's arrays; None if there are none, or not all have the declared digests."""
        folders = self._declared.get(plan.name)
        if not folders or any(self._digests[at, str(c)] != c.sha256 for at in folders for c in plan.columns):
            return None
        return values.vouched(self._book, plan, folders[0])

    def _md5_too(self, plan: Plan, name: str) -> bool:
        """Whether a file's MD5 is taken as well: not where its sha256 is all that need be known of it."""
        declared = self._book.entry(plan.name).files[name]
        return self._decode != "never" and declared.md5 is not None and not self._declared.get(plan.name)

    def _compared(self, plan: Plan) -> list[Finding]:
        """What differs between a data set's files and their promises; their stamps are brought up to date."""
        stamps = stages.stamps_of(plan, self._where)
        for file in plan.files:
            digest = self.found.get(plan.root / file.name)
            if isinstance(digest, Digest):
                stamps.remember(plan.root / file.name, digest.sha256)
        stamps.save()
        found = list(compared(self._book, plan, self.found, stages.mend(plan)))
        if plan.status == "shipped":
            found += folder.linked(self._book, plan, self._where.shipped)
        here = [file for file in plan.files if plan.root / file.name in self.found]
        if plan.status == "remote" and here and len(here) < len(plan.files):
            gone = [file for file in plan.files if file not in here]
            found.append(
                Finding(
                    rule="partly-here",
                    dataset=plan.name,
                    what=f"{len(here)} of {len(plan.files)} files are here; {gone[0].name} is not",
                    path=str(plan.root / gone[0].name),
                    where=self._book.where(plan.name, "files", gone[0].name),
                    expected=len(plan.files),
                    found=len(here),
                    mend=f"`tinytorch-datasets get {plan.name}` fetches the rest.",
                    severity="warning",
                )
            )
        return found


def _hashed(column: Column, folder: Path, meter: Meter) -> str | None:
    sha256 = cache.digest_now(column, folder)
    meter.add(column.nbytes)
    return sha256


def _whole(plan: Plan) -> bool:
    return all((plan.root / file.name).exists() for file in plan.files)


def _expected(plan: Plan) -> Iterable[str]:
    """The files that are to be hashed: all that ship, and of what is fetched those that are here."""
    shipped = plan.status == "shipped"
    return [file.name for file in plan.files if shipped or (plan.root / file.name).exists()]


def _row(plan: Plan, wrong: list[Finding], told: list[Finding] | None, asked_for: tuple[str, ...]) -> Audited:
    here = [file for file in plan.files if (plan.root / file.name).exists()]
    differs = any(finding.severity == "error" for finding in (*wrong, *(told or ())))
    whole = len(here) == len(plan.files)
    state: State = "differs" if differs else "well" if whole else "partly here" if here else "not here"
    samples = sum(split.samples for split in plan.splits) if told is not None else 0
    return Audited(plan.name, state, len(here), sum(file.bytes for file in here), samples, asked_for)
