"""Validation of a new entry: read back, and every value decoded by it."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tinytorch_datasets import formats, pipeline, settings
from tinytorch_datasets.add import detect
from tinytorch_datasets.add.inputs import Source
from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import ContentError, DatasetError, DecodeError, ManifestError, UsageError
from tinytorch_datasets.manifest import generated
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, read_file
from tinytorch_datasets.manifest.yaml_syntax import Composer
from tinytorch_datasets.pipeline import manifests
from tinytorch_datasets.pipeline.decode import tasks
from tinytorch_datasets.plan import Plan, Split
from tinytorch_datasets.storage.files import whole_file
from tinytorch_datasets.storage.memmap import read_regular

OWN_MANIFEST = "Name a manifest of your own, which is made if it is not there: --manifest datasets.yaml."


def refuse_installed(manifest: Path, *, hint: str = OWN_MANIFEST) -> None:
    """Refuse to write to, or beside, a manifest of an installed package: the next installation would undo it.

    Raises:
        UsageError: It is.
    """
    if settings.is_installed(str(manifest.resolve().parent)):
        what = f"{manifest} is part of the installed package, which is not written to"
        raise UsageError(what, hint=hint)


def read(manifest: Path, *, new: str = "") -> ParsedYaml:
    """Read a manifest once, with the nodes that edits need; where there is none, and `new` is given, that text.

    Raises:
        ManifestError: It cannot be read, or is no YAML in UTF-8.
    """
    text = new if new and not manifest.exists() else read_file(manifest)[0]
    return ParsedYaml(text, manifest, composer=Composer(text))


# Keys of what no file holds, but a person says.
_GIVEN = re.compile(r"\.(mirrors\b.*|title|license|source)$")


def check(parsed: ParsedYaml) -> Manifest:
    """Check a manifest that was read before against the known formats.

    Raises:
        ManifestError: Something is wrong with it.
    """
    return manifests.check(parsed)


@contextmanager
def without_lines() -> Iterator[None]:
    """Report what is wrong with an entry that nobody has yet without lines: there is nothing to be read on them.

    Raises:
        UsageError: A manifest may not have such an entry.
    """
    try:
        yield
    except ManifestError as error:
        problems = "\n".join(f"  {problem.key}: {problem.what}" for problem in error.problems)
        if all(_GIVEN.search(problem.key) for problem in error.problems):
            what = f"what was given beside the files cannot be declared\n{problems}"
            raise UsageError(what, hint="Nothing was written. Correct it, and type the command again.") from None
        what = f"what these files hold cannot be declared as it is\n{problems}"
        raise UsageError(what, hint="Nothing was written. Change it in the files, or declare them by hand.") from None
    except DecodeError as error:
        error.where = None
        raise


@contextmanager
def _in_one_folder(sources: Sequence[Source], scratch: Path) -> Iterator[Path]:
    """Make a folder in which all the files have their names, unless they are in such a one."""
    if all(source.path.as_posix().endswith("/" + source.name) for source in sources):
        roots = {Path(source.path.as_posix()[: -len(source.name)]) for source in sources}
        if len(roots) == 1:
            yield roots.pop()
            return
    folder = scratch / "gathered"
    for source in sources:
        target = folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            try:
                target.symlink_to(source.path)
            except OSError:  # Windows asks for a right to make links
                shutil.copyfile(source.path, target)
    yield folder


def decode(
    loaded: Manifest,
    name: str,
    sources: Sequence[Source],
    scratch: Path,
    *,
    hint: Callable[[Sequence[DecodeError]], str],
) -> dict[str, dict[str, str]]:
    """Decode every value of an entry, check it against the entry, and return the digests by field and split.

    Raises:
        DecodeError: A value is not as declared; a count of samples, if one of those is wrong. `hint` is called with
            all such errors, and returns what to do, if the error does not say it itself.
    """
    digests: dict[str, dict[str, ValueDigest]] = {}
    errors: list[DecodeError] = []
    with _in_one_folder(sources, scratch) as folder:
        try:
            for column, start, values in pipeline.blocks(loaded.plan(name).under(folder), on_error=errors.append):
                splits = digests.setdefault(column.field, {})
                splits.setdefault(column.split, ValueDigest.of(column)).add(start, values)
        except DecodeError as error:
            if error.hint and error.hint.startswith(pipeline.CORRECT_THE_ENTRY):
                error.hint = None
            errors.append(error)
    if errors:
        errors.sort(key=lambda error: not is_count(error))
        raise errors[0].with_context(hint=hint(errors))
    return {
        field: {split: digests[field][split].sha256 or "" for split in loaded.entry(name).splits}
        for field in loaded.entry(name).fields
    }


def is_count(error: DecodeError) -> bool:
    """Check whether it is the number of samples that is another than declared."""
    return isinstance(error, ContentError) and error.aspect == "samples"


# The most that DEFLATE makes of a byte: so many samples of a byte or more no file of its size holds. It is a limit,
# because a file is decoded by it that may have come from anywhere.
_SAMPLES_A_BYTE = 1032


def count_samples(plan: Plan, sources: Sequence[Source], scratch: Path) -> dict[str, int]:
    """Return how many samples each split of a plan, which is in no shards, has in the files, whatever it declares.

    Raises:
        DecodeError: They cannot be decoded, or the fields of a split have different numbers.
    """
    form = formats.of(plan.format)
    counts: dict[str, dict[str, int]] = {}
    with _in_one_folder(sources, scratch) as folder:
        most = _SAMPLES_A_BYTE * sum(source.bytes for source in sources)
        if form.layout == "members":
            for split in plan.under(folder).splits:
                assert split.file is not None
                for array in detect.inspect_as(split.file, plan.format).arrays:
                    if array.member in split.members:
                        fields = counts.setdefault(split.name, {})
                        fields[array.field or ""] = fields.get(array.field or "", 0) + (array.shape[0] or 0)
        else:
            splits = tuple(_with_samples(split, most) for split in plan.under(folder).splits)
            for task in tasks(replace(plan, splits=splits)):
                for column, start, values in task.decode():
                    if column.per == "sample":
                        fields = counts.setdefault(column.split, {})
                        fields[column.field] = max(fields.get(column.field, 0), start + len(values))
    for split in plan.splits:
        numbers = counts.get(split.name, {})
        if len(set(numbers.values())) > 1:
            listed = ", ".join(f"{count:,} {field}" for field, count in numbers.items())
            path = next(iter(split.columns.values())).file
            raise DecodeError(path, f"{split.name} has not as many samples in each field: {listed}", where=split.where)
    return {split: next(iter(numbers.values())) for split, numbers in counts.items() if numbers}


def _with_samples(split: Split, samples: int) -> Split:
    """Return a split that declares so many samples, without fields whose rows, or axes, say how many are stored."""
    counted = {field: column for field, column in split.columns.items() if column.rows is None and not column.axes}
    columns = {field: replace(column, samples=samples) for field, column in counted.items()}
    return replace(split, samples=samples, columns=columns)


def declared_files(manifest: Path, home: Path | None) -> set[Path]:
    """Return the path of every file that a manifest declares, as it is now."""
    loaded = manifests.read(manifest)
    plans = [pipeline.placed(loaded, name, home)[0] for name in loaded.datasets]
    return {plan.root / file.name for plan in plans for file in plan.files}


def write(before: ParsedYaml, after: ParsedYaml, loaded: Manifest) -> None:
    """Replace the manifest's text, unless somebody else changed it meanwhile; compile it anew if it was compiled.

    `loaded` is what the text after says. Where the manifest is a symbolic link, the file that it leads to is written.
    Its mode stays what it was.
    """
    manifest = before.path
    if manifest.exists() and read_regular(manifest) != before.text.encode():
        what = f"{manifest} was changed by someone else meanwhile; nothing was written to it"
        raise DatasetError(what, hint="Run the same command again.")
    path = manifest.resolve()
    with whole_file(path) as out:
        out.write(after.text.encode())
        if path.exists():
            Path(out.name).chmod(stat.S_IMODE(path.stat().st_mode))
    if beside := generated.compiled_path(manifest):
        with whole_file(beside) as out:
            out.write(generated.format_compiled(loaded))
