"""Audit of what is on disk: files, pickles and cache entries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tinytorch_datasets import formats, pipeline
from tinytorch_datasets.auditing import arrays as values
from tinytorch_datasets.auditing import lint
from tinytorch_datasets.auditing.findings import DatasetReport, Finding, State
from tinytorch_datasets.concurrency import run_all
from tinytorch_datasets.digests import Digest, Meter, Step, digest_or_error, size_of
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import Column, File, Plan
from tinytorch_datasets.readers.pickle.names import globals_of
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import cache_entry as cache_entries
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, LFS_POINTER, describe
from tinytorch_datasets.verify.files import describe_mismatch

# A text larger than this is not converted to find out whether its line endings were.
CONVERTED_BYTES = 2**26


def compared(manifest: Manifest, plan: Plan, digests: Mapping[Path, Digest | OSError], hint: str) -> Iterator[Finding]:
    """What differs between a data set's files, as they were hashed, and their promises."""
    declared = manifest.entry(plan.name).files
    for file in plan.files:
        path = plan.root / file.name
        if path in digests:
            yield from difference(plan, file, path, digests[path], hint, siblings=plan.files)
            digest, md5 = digests[path], declared[file.name].md5
            if isinstance(digest, Digest) and digest.sha256 == file.sha256 and digest.md5 not in (None, md5):
                yield Finding(
                    rule="file-hash",
                    dataset=plan.name,
                    what=f"{path} has the declared sha256, but another MD5:\n    {digest.md5}, declared is\n    {md5}",
                    path=str(path),
                    where=manifest.where(plan.name, "files", file.name, "md5"),
                    expected=md5,
                    found=digest.md5,
                    hint="Correct the MD5 in the manifest.",
                )


def difference(
    plan: Plan, file: File, path: Path, digest: Digest | OSError, hint: str, *, siblings: Iterable[File] = ()
) -> Iterator[Finding]:
    """What differs between one file and its promise, and the best explanation of it."""
    tell = partial(Finding, dataset=plan.name, path=str(path), where=file.where, hint=hint)
    if isinstance(digest, OSError):
        gone = isinstance(digest, FileNotFoundError)
        what = f"{path} is missing" if gone else f"{path} cannot be read: {digest.strerror}"
        yield tell(rule="file-missing", what=what, expected=file.sha256, found=None)
        return
    if digest.sha256 == file.sha256 and digest.bytes == file.bytes:
        return
    if digest.sha256 == file.sha256:
        what = f"{path} has {digest.bytes:,} bytes and the declared sha256; declared are {file.bytes:,} bytes"
        hint = "Correct the size in the manifest."
        yield tell(rule="file-size", what=what, expected=file.bytes, found=digest.bytes, hint=hint)
        return
    rule = "file-hash" if digest.bytes == file.bytes else "file-size"
    what = describe_mismatch(path, file, size=digest.bytes, sha256=digest.sha256)
    if twin := next((other for other in siblings if other.sha256 == digest.sha256), None):
        rule = "file-swapped"
        what += (
            f"\n    That is what is declared for {twin.name}: the two were swapped, or one was copied over the other."
        )
    elif (explained := _explained(path, file, digest)) is not None:
        rule, what, hint = explained[0] or rule, what + f"\n    {explained[1]}", explained[2] or hint
    sizes = rule == "file-size"
    yield tell(
        rule=rule,
        what=what,
        hint=hint,
        expected=file.bytes if sizes else file.sha256,
        found=digest.bytes if sizes else digest.sha256,
    )


def _explained(path: Path, file: File, digest: Digest) -> tuple[str, str, str] | None:
    """The kind of damage, what to say of it and its hint, where the bytes themselves tell."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(LFS_POINTER):
        return "lfs-pointer", "It is a Git LFS pointer, not the file itself.", "Run `git lfs pull`."
    if digest.bytes <= CONVERTED_BYTES and b"\0" not in head:
        data = path.read_bytes()
        unix = data.replace(b"\r\n", b"\n")
        for ends, converted in (("LF to CR LF", unix), ("CR LF to LF", unix.replace(b"\n", b"\r\n"))):
            if converted != data and hashlib.sha256(converted).hexdigest() == file.sha256:
                hint = f"Write `{file.name} -text` into .gitattributes, delete the file, and check it out again."
                return "line-endings", f"Its line endings were converted from {ends}, and nothing else differs.", hint
    guess = describe(head, file.name, bytes_came=digest.bytes, bytes_declared=file.bytes)
    return ("", f"It looks like {guess}.", "") if guess else None


def asked_for(plan: Plan) -> tuple[str, ...]:
    """Every name (``numpy.ndarray``) in the data set's pickles, sorted; none of them is loaded.

    Up to where a pickle is damaged: that it is, decoding tells.
    """
    pickles = formats.of(plan.format).pickles
    names: set[str] = set()
    try:
        for _, _, read in pickles(plan.splits) if pickles else ():
            names.update(globals_of(read))
    except DecodeError:
        pass
    return tuple(sorted(names))


def foreign(manifest: Manifest, plan: Plan, locations: Locations) -> Iterator[Finding]:
    """Receipts that `get` would take, and that are not what the manifest makes now: stale, or planted.

    One whose stamps do not fit is taken by nobody, and is no finding. What the arrays themselves hold is compared
    with the decoded files elsewhere.
    """
    folders, caches = pipeline.array_folders(plan, locations), [str(kept) for kept in locations.caches]
    for kept in locations.caches:
        path = cache_entries.place(kept, manifest.path, plan.name)
        receipt = CacheEntry.read(path)
        if receipt is None or not receipt.is_of(plan.name, str(manifest.path), caches) or not receipt.holds():
            continue
        arrays = Path(receipt.folder)
        if not (
            arrays in folders
            and array_store.is_whole(plan, arrays)
            and receipt.same_as(pipeline.cache_entry_of(manifest.declared(plan.name), plan, arrays))
        ):
            yield Finding(
                rule="cache-entry",
                dataset=plan.name,
                what="the receipt by which `get` opens it is not what the manifest says",
                path=path,
                where=manifest.where(plan.name),
                expected="what the manifest makes",
                found="another receipt",
                hint=f"Delete it, or run `tinytorch-datasets clean {plan.name} --arrays`.",
            )


Decode = Literal["auto", "always", "never"]


class Stock:
    """What is on disk of some data sets. `found` has the digest of each file that was looked at."""

    def __init__(self, manifest: Manifest, plans: Sequence[Plan], locations: Locations, decode: Decode) -> None:
        self._manifest, self._plans, self._locations, self._decode = manifest, plans, locations, decode
        self.found: dict[Path, Digest | OSError] = {}
        # Arrays whose digests the manifest declares: if they have them, decoding would only give them again.
        self._declared: dict[str, list[Path]] = {
            plan.name: [
                folder for folder in pipeline.array_folders(plan, locations) if array_store.is_whole(plan, folder)
            ]
            for plan in plans
            if decode == "auto" and all(column.sha256 for column in plan.columns)
        }
        self._digests: dict[tuple[Path, str], str | None] = {}

    def taken(self, step: Step | None) -> list[tuple[DatasetReport, list[Finding]]]:
        """A row and the findings of each data set; every byte is read once, on every core."""
        self._read(step)
        wrong = {plan.name: self._compared(plan) for plan in self._plans}
        sound = [plan for plan in self._plans if self._decode != "never" and _whole(plan) and not wrong[plan.name]]
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1), "decode") as pool:
            told = {plan.name: found for plan, found in zip(sound, pool.map(self._vouched, sound), strict=True)}
            to_decode = [plan for plan in sound if told[plan.name] is None]
            decoded = pool.map(lambda plan: values.decoded(self._manifest, plan, self._locations), to_decode)
            asked = pool.map(asked_for, to_decode)
            told |= {plan.name: found for plan, found in zip(to_decode, decoded, strict=True)}
            globals_of = {plan.name: names for plan, names in zip(to_decode, asked, strict=True)}
        rows = []
        for plan in self._plans:
            # A planted receipt needs no file to be there, so receipts are looked at whatever else there is.
            opened = foreign(self._manifest, plan, self._locations)
            found = [*wrong[plan.name], *(told.get(plan.name) or ()), *opened]
            rows.append((_row(plan, wrong[plan.name], told.get(plan.name), globals_of.get(plan.name, ())), found))
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
        came = run_all([job for _, job in jobs], sizes=[size for size, _ in jobs])
        self.found = dict(zip(files, came, strict=False))
        read = zip(arrays, came[len(files) :], strict=True)
        self._digests = {(folder, str(column)): sha256 for (column, folder), sha256 in read}

    def _vouched(self, plan: Plan) -> list[Finding] | None:
        """What differs in a data set's arrays; None if there are none, or not all have the declared digests."""
        folders = self._declared.get(plan.name)
        if not folders or any(self._digests[at, str(c)] != c.sha256 for at in folders for c in plan.columns):
            return None
        return values.vouched(self._manifest, plan, folders[0])

    def _md5_too(self, plan: Plan, name: str) -> bool:
        """Whether a file's MD5 is taken as well: not where its sha256 is all that need be known of it."""
        declared = self._manifest.entry(plan.name).files[name]
        return self._decode != "never" and declared.md5 is not None and not self._declared.get(plan.name)

    def _compared(self, plan: Plan) -> list[Finding]:
        """What differs between a data set's files and their promises; their stamps are brought up to date."""
        stamps = pipeline.stat_cache_of(plan, self._locations)
        for file in plan.files:
            digest = self.found.get(plan.root / file.name)
            if isinstance(digest, Digest):
                stamps.remember(plan.root / file.name, digest.sha256)
        stamps.save()
        found = list(compared(self._manifest, plan, self.found, plan.hint))
        if plan.status == "shipped":
            found += lint.linked(self._manifest, plan, self._locations.shipped)
        here = [file for file in plan.files if plan.root / file.name in self.found]
        if plan.status == "remote" and here and len(here) < len(plan.files):
            gone = [file for file in plan.files if file not in here]
            found.append(
                Finding(
                    rule="partly-downloaded",
                    dataset=plan.name,
                    what=f"{len(here)} of {len(plan.files)} files are here; {gone[0].name} is not",
                    path=str(plan.root / gone[0].name),
                    where=self._manifest.where(plan.name, "files", gone[0].name),
                    expected=len(plan.files),
                    found=len(here),
                    hint=f"`tinytorch-datasets get {plan.name}` fetches the rest.",
                    severity="warning",
                )
            )
        return found


def _hashed(column: Column, folder: Path, meter: Meter) -> str | None:
    sha256 = array_store.digest_now(column, folder)
    meter.add(column.nbytes)
    return sha256


def _whole(plan: Plan) -> bool:
    return all((plan.root / file.name).exists() for file in plan.files)


def _expected(plan: Plan) -> Iterable[str]:
    """The files that are to be hashed: all that ship, and of what is fetched those that are here."""
    shipped = plan.status == "shipped"
    return [file.name for file in plan.files if shipped or (plan.root / file.name).exists()]


def _row(plan: Plan, wrong: list[Finding], told: list[Finding] | None, asked_for: tuple[str, ...]) -> DatasetReport:
    here = [file for file in plan.files if (plan.root / file.name).exists()]
    differs = any(finding.severity == "error" for finding in (*wrong, *(told or ())))
    whole = len(here) == len(plan.files)
    state: State = "mismatch" if differs else "ok" if whole else "partly downloaded" if here else "not downloaded"
    samples = sum(split.samples for split in plan.splits) if told is not None else 0
    return DatasetReport(plan.name, state, len(here), sum(file.bytes for file in here), samples, asked_for)
