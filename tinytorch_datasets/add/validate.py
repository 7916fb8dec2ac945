"""Validation of an entry before it is written: read back, every value decoded by it.

The manifest is read back, and every value decoded by it.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinytorch_datasets import pipeline
from tinytorch_datasets.add.inputs import Source
from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import DatasetError, DecodeError, ManifestError, UsageError
from tinytorch_datasets.manifest import compiled
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.manifest.yaml_reader import Document
from tinytorch_datasets.storage.files import whole_file


def text_of(manifest: Path) -> str:
    """The manifest as it stands in its file.

    Raises:
        ManifestError: It cannot be read, or is no YAML in UTF-8.
    """
    Document.load(manifest)
    return manifest.read_bytes().decode()


# Keys of what no file holds, but a person says.
_GIVEN = re.compile(r"\.(mirrors\b.*|title|license|source)$")


def checked(text: str, scratch: Path, manifest: Path) -> Manifest:
    """The manifest of that text. It is read under the name that people know, so that errors have it."""
    (scratch / "manifest").mkdir(exist_ok=True)
    path = scratch / "manifest" / manifest.name
    path.write_bytes(text.encode())
    try:
        loaded = pipeline.read_manifest(path)
    except ManifestError as error:
        raise ManifestError(manifest, error.problems) from None
    loaded.path = manifest
    return loaded


@contextmanager
def unwritten() -> Iterator[None]:
    """What is wrong with an entry that nobody has yet is told without lines: there is nothing to be read on them.

    Raises:
        UsageError: A manifest may not have such an entry.
    """
    try:
        yield
    except ManifestError as error:
        told = "\n".join(f"  {problem.key}: {problem.what}" for problem in error.problems)
        if all(_GIVEN.search(problem.key) for problem in error.problems):
            what = f"what was given beside the files cannot be declared\n{told}"
            raise UsageError(what, hint="Nothing was written. Correct it, and type the command again.") from None
        what = f"what these files hold cannot be declared as it is\n{told}"
        raise UsageError(what, hint="Nothing was written. Change it in the files, or declare them by hand.") from None
    except DecodeError as error:
        error.where = None
        raise


@contextmanager
def gathered(found: Sequence[Source], scratch: Path) -> Iterator[Path]:
    """A folder in which all the files have their names."""
    if all(source.path.as_posix().endswith("/" + source.name) for source in found):
        roots = {Path(source.path.as_posix()[: -len(source.name)]) for source in found}
        if len(roots) == 1:
            yield roots.pop()
            return
    folder = scratch / "gathered"
    for source in found:
        target = folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            try:
                target.symlink_to(source.path)
            except OSError:  # Windows asks for a right to make links
                shutil.copyfile(source.path, target)
    yield folder


def proved(
    text: str, name: str, found: Sequence[Source], scratch: Path, manifest: Path, *, hint: str
) -> dict[str, dict[str, str]]:
    """The digest of the values of each field of each split, once all were decoded and found to be as that text says.

    Raises:
        DecodeError: They are not; `hint` is what to do, if the error does not say it itself.
    """
    loaded = checked(text, scratch, manifest)
    taken: dict[str, dict[str, ValueDigest]] = {}
    with gathered(found, scratch) as folder:
        for column, start, values in pipeline.blocks(loaded.plan(name).under(folder), hint=hint):
            splits = taken.setdefault(column.field, {})
            splits.setdefault(column.split, ValueDigest.of(column)).add(start, values)
    return {
        field: {split: taken[field][split].sha256 or "" for split in loaded.entry(name).splits}
        for field in loaded.entry(name).fields
    }


def declared(manifest: Path) -> set[Path]:
    """Where every file is that a manifest declares, as it is now."""
    loaded = pipeline.read_manifest(manifest)
    locations = pipeline.locations(loaded)
    plans = [pipeline.plan_of(loaded, name, locations) for name in loaded.datasets]
    return {plan.root / file.name for plan in plans for file in plan.files}


def write(manifest: Path, before: str, after: str) -> None:
    """Put the new text in the manifest's place, unless somebody else changed it meanwhile; compiled anew if it was.

    Where the manifest is a symbolic link, the file that it leads to is written. Its mode stays what it was.
    """
    if manifest.exists() and manifest.read_bytes() != before.encode():
        what = f"{manifest} was changed by someone else meanwhile; nothing was written to it"
        raise DatasetError(what, hint="Run the same command again.")
    path = manifest.resolve()
    with whole_file(path) as out:
        out.write(after.encode())
        if path.exists():
            Path(out.name).chmod(stat.S_IMODE(path.stat().st_mode))
    if beside := compiled.place(manifest):
        with whole_file(beside) as out:
            out.write(pipeline.compile_manifest(manifest))
