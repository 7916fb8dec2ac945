"""`export`: a data set in other formats, for programs without this package."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets import api, exporting, settings
from tinytorch_datasets.digests import digests
from tinytorch_datasets.errors import StorageError, UsageError, check_choice, check_flag, printable
from tinytorch_datasets.exporting import ExportedFile, Kind
from tinytorch_datasets.exporting.declared import answered, text_name, texts_of_splits, words_of
from tinytorch_datasets.mirror.copy import SUMS, format_sums, sums_in
from tinytorch_datasets.pipeline.standin import refuse_standin
from tinytorch_datasets.storage.arrays import ABANDONED_AFTER_S
from tinytorch_datasets.storage.files import FULL, names_in, remove_folder, rename, symlink_error, whole_file, writing
from tinytorch_datasets.storage.memmap import is_link

if TYPE_CHECKING:
    from tinytorch_datasets.api import AnyPath, ManifestLike
    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.progress import Progress

README = "README.md"
FILES_NAMED = 3
# The endings of files that Hugging Face's `load_dataset` reads, with the lines that say which is which split.
LOADED_BY_HUGGING_FACE = (".parquet", ".csv", ".jsonl")


def export(
    name: str,
    kind: str,
    output: AnyPath | None = None,
    *,
    force: bool = False,
    values: bool = True,
    manifest: ManifestLike = None,
    home: AnyPath | None = None,
    mirror: AnyPath | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
    retry: RetryPolicy | None = None,
) -> Path:
    """Write a data set in another format, from verified values only; return the folder, or the file, it is in.

    Every byte is hashed before, as by ``get(..., verify="always")``, and the folder has the sha256 of each file in
    SHA256SUMS. It appears when it is whole, and two exports are the same byte for byte. What a format cannot hold is
    refused. A text that is one for a whole split is a file beside the others: ``train.text.txt``.

    Args:
        name: Its name in the manifest, or one of its aliases; the case of letters does not matter.
        kind: "bibtex", "croissant", "csv", "datapackage", "jsonl", "npz", "parquet" or "png".
        output: The folder to make; None takes ``NAME-KIND``, here. BibTeX is a file: ``NAME.bib``.
        force: Whether to replace what an earlier export wrote there; a folder with any other file in it is not.
        values: False writes one file of what is declared, and downloads nothing; only Croissant can do without values.
        manifest: As in `get`; so are `home`, `mirror`, `offline`, `progress` and `retry`.

    Raises:
        UsageError: The data set cannot be exported so, something is in the way, or a variable asks for stand-in data.
        MissingLibrary: The library that it is written by is not installed; nothing was downloaded.
        UnknownName: The manifest has no such name.
        StorageError: The folder cannot be written to, or there is not enough room; or see `get`, as of every error of
            the data.

    >>> import tempfile
    >>> folder = export("tinydigits", "npz", tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['README.md', 'SHA256SUMS', 'test.npz', 'train.npz']
    """
    check_choice(kind, "kind", exporting.known())
    check_flag(force, "force")
    loaded = api.manifest_of(manifest, offline=offline)
    name = loaded.name_of(name)
    chosen, entry = exporting.of(kind), loaded.entry(name)
    if chosen.write is None or not values:
        return _export_text(chosen, name, entry, output, force=force)
    refuse_standin("an export")
    target = _absolute(output, f"{name}-{kind}")
    _check_target(target, force=force)
    chosen.check(entry)
    chosen.check_libraries()
    dataset = api.get(
        name,
        manifest=loaded,
        home=home,
        mirror=mirror,
        offline=offline,
        verify="always",
        progress=progress,
        retry=retry,
        standin=False,
    )
    origin = dataset.provenance
    _check_room(target, chosen, dataset, entry)
    with _new_folder(target) as folder:
        _write(folder, chosen, dataset, entry, origin)
        _check_target(target, force=force)  # once more: to write takes a while
    return target


def text_of(name: str, kind: str, *, manifest: ManifestLike = None) -> str:
    """Return what can be said of a data set without its values: its BibTeX, or its Croissant metadata.

    Raises:
        UsageError: A kind is nothing without values.
    """
    check_choice(kind, "kind", exporting.known())
    loaded = api.manifest_of(manifest)
    name = loaded.name_of(name)
    return _text_of(exporting.of(kind), name, loaded.entry(name))


def is_text(kind: str, *, values: bool) -> bool:
    """Check whether an export is one text, and no folder."""
    check_choice(kind, "kind", exporting.known())
    return not values or exporting.of(kind).write is None


def _text_of(kind: Kind, name: str, entry: Entry) -> str:
    if kind.text is None:
        able = " and ".join(each for each in exporting.known() if exporting.of(each).text)
        msg = f"an export as {kind.name} is nothing but values; {able} can do without"
        raise UsageError(msg)
    return kind.text(name, entry)


def _export_text(kind: Kind, name: str, entry: Entry, output: AnyPath | None, *, force: bool) -> Path:
    text = _text_of(kind, name, entry)
    target = _absolute(output, f"{name}{kind.text_ending}")
    if target.is_dir():
        msg = f"{target} is a folder, and an export as {kind.name} is a file"
        raise UsageError(msg, hint="Name a file with --output.")
    if os.path.lexists(target) and not force:
        raise _is_there(target)
    with whole_file(target) as out:
        out.write(text.encode())
    return target


def _absolute(output: AnyPath | None, default: str) -> Path:
    return Path(settings.absolute(default if output is None else output, name="output"))


def _is_there(target: Path) -> UsageError:
    msg = f"{target} is there already"
    return UsageError(msg, hint="Pass --force to replace it (in Python, force=True), or name another with --output.")


def _check_target(target: Path, *, force: bool) -> None:
    """Check that nothing is lost by an export to that folder: new, empty, or an export to replace."""
    if is_link(target):
        raise symlink_error(target)
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        msg = f"{target} is a file, and an export is a folder"
        raise UsageError(msg, hint="Name another folder with --output.")
    if target.resolve() in (here := Path.cwd(), *here.parents):
        msg = f"{target} is the current folder, or has it in it, and an export is put in the place of a folder"
        raise UsageError(msg, hint="Name a folder in it with --output.")
    if not names_in(target):
        return
    if not force:
        raise _is_there(target)
    with writing(target):
        names = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
        others = sorted(names - {SUMS, *sums_in(target)})
    if others or SUMS not in names:
        shown = ", ".join(map(printable, others[:FILES_NAMED])) + (", ..." if len(others) > FILES_NAMED else "")
        msg = f"{target} is not replaced: it has files that no export wrote: {shown}"
        raise UsageError(msg, hint="Name another folder with --output, or delete this one.")


def _check_room(target: Path, kind: Kind, dataset: Dataset, entry: Entry) -> None:
    """Refuse before the first byte what would not fit."""
    needed = sum(kind.room(split, entry) for split in dataset.values() if split.fields)
    folder = next(part for part in target.parents if part.is_dir())
    with writing(folder):
        free = shutil.disk_usage(folder).free
    if needed > free:
        what = f"{target}: an export as {kind.name} takes about {needed:,} bytes, and the disk has room for {free:,}"
        hint = "Free some room, or name a folder on a larger disk with --output."
        raise StorageError(what, hint=hint, path=target, errno=errno.ENOSPC)


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Make a folder that gets its name when it is complete, and is gone if it never is.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    # Beside the target: a rename is atomic only within one file system.
    aside = target.with_name(f".export-{uuid.uuid4().hex[:8]}.part")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            aside.mkdir()
            yield aside
            _into_place(aside, target)
    except StorageError as error:
        if error.errno in FULL:
            error.hint = "Free some room, or name a folder on a larger disk with --output."
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written, once it is too old to be still in the making."""
    for path in folder.glob(".export-*.part"):
        with contextlib.suppress(OSError):
            # The time of a folder moves when a file is made in it, and that of a file while it is written.
            if max(one.stat().st_mtime for one in [path, *path.rglob("*")]) < time.time() - ABANDONED_AFTER_S:
                remove_folder(path)


def _into_place(aside: Path, target: Path) -> None:
    if not os.path.lexists(target):
        rename(aside, target)
        return
    away = aside.with_suffix(".old")
    rename(target, away)
    try:
        rename(aside, target)
    except BaseException:  # Ctrl-C too: the earlier export is put back
        rename(away, target)
        raise
    remove_folder(away)


def _write(folder: Path, kind: Kind, dataset: Dataset, entry: Entry, origin: str) -> None:
    """Write all files of an export, and at last the sha256 of each."""
    assert kind.write is not None
    for split in dataset.values():
        if split.fields:
            kind.write(split, folder, entry)
        for field in texts_of_splits(entry):
            (folder / text_name(split.name, field)).write_bytes(split[field].encode())
    files = _files_in(folder)
    if kind.describe is not None:
        file, text = kind.describe(dataset.name, entry, files)
    else:
        file, text = README, readme(dataset.name, entry, kind, origin, files)
    (folder / file).write_bytes(text.encode())
    files.append(ExportedFile(file, len(text.encode()), hashlib.sha256(text.encode()).hexdigest()))
    (folder / SUMS).write_bytes(format_sums({file.name: file.sha256 for file in files}))


def _files_in(folder: Path) -> list[ExportedFile]:
    """Return the files below a folder, sorted, and what their bytes are."""
    files = []
    for path, digest in digests(path for path in sorted(folder.rglob("*")) if path.is_file()).items():
        if isinstance(digest, OSError):
            raise digest
        files.append(ExportedFile(path.relative_to(folder).as_posix(), digest.bytes, digest.sha256))
    return files


def readme(name: str, entry: Entry, kind: Kind, origin: str, files: Sequence[ExportedFile]) -> str:
    """Return the text that says what exported files are, and what of the data set they do not hold."""
    named, entry = {file.name for file in files}, answered(name, entry)
    data = {split: f"{split}{kind.ending}" for split in entry.splits if f"{split}{kind.ending}" in named}
    facts = {"Source": entry.source, "License": entry.license, "Cite": entry.citation, "Made from": origin}
    parts = [
        _front_matter(data) if data and kind.ending in LOADED_BY_HUGGING_FACE else "",
        f"# {_line(entry.title)}\n",
        f"{_line(entry.description)}\n" if entry.description else "",
        *(f"- {label}: {_line(fact)}" for label, fact in facts.items() if fact),
        f"- Made by: `tinytorch-datasets export {name} --as {kind.name}`\n",
        f"## Format\n\n{inspect.getdoc(kind.write)}\n",
        "## Fields\n",
        *(f"- `{field}`: {words_of(its)}" for field, its in entry.fields.items()),
    ]
    for field, its in entry.fields.items():
        for title, names in (("Classes", its.classes), ("Numbers", its.names)):
            if names:
                listed = "\n".join(f"- {number}: {_line(each)}" for number, each in enumerate(names))
                parts.append(f"\n## {title} of `{field}`\n\n{listed}")
    return "\n".join(part for part in parts if part) + "\n"


def _front_matter(data: Mapping[str, str]) -> str:
    """Return the lines by which Hugging Face's `load_dataset` knows which file is which split."""
    lines = [line for split, file in data.items() for line in (f"  - split: {split}", f"    path: {file}")]
    return "\n".join(["---", "configs:", "- config_name: default", "  data_files:", *lines, "---", ""])


def _line(text: str) -> str:
    """Return a text as one line of Markdown that is nothing but text."""
    shown = printable(" ".join(text.split()))
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in shown)
