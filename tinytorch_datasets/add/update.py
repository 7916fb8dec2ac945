"""`update`: new hashes, sizes and samples after files were changed on purpose.

What is written is checked as in `add`: it is read back, and every value decoded by it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinytorch_datasets import pipeline
from tinytorch_datasets.add import inputs, validate, yaml_edit
from tinytorch_datasets.add.inputs import Source
from tinytorch_datasets.digests import digest
from tinytorch_datasets.errors import ContentError, DecodeError, MissingFile, UsageError
from tinytorch_datasets.manifest.filenames import folded, refuse_offline
from tinytorch_datasets.manifest.manifest import DeclaredFile, Manifest
from tinytorch_datasets.pipeline import shards
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.progress import Progress

UNCORRECTED = "The manifest is as it was: first correct what the entry says beyond sizes, hashes and samples."
OTHER_NAME = "Declare a data set of your own, by another name."
# What a person says of the values, by what is wrong with them: a new value may be a fault, or a new class.
_KEYS = {"range": "range", "labels": "classes", "shape": "shape", "dtype": "dtype"}


@dataclass(frozen=True)
class Change:
    """One value of the manifest that `update` changed: its entry, its line, and the value before and after."""

    entry: str
    where: str
    key: str
    before: str | int
    after: str | int

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.before} -> {self.after}"


def update(
    name: str,
    *,
    manifest: Path,
    home: Path | None = None,
    fetch: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Change]:
    """Refresh sizes, hashes, digests and numbers of samples of a data set whose files were changed on purpose.

    Sizes and hashes are refreshed wherever the same file is declared, because two entries may share one.

    Args:
        name: The data set.
        manifest: The manifest to write to.
        home: The folder of downloads, as for `get`.
        fetch: Whether to download the files anew, instead of taking those on disk.
        dry_run: Whether to write nothing.
        progress: As for `get`.

    Raises:
        DatasetError: A file is missing, or holds something else than the entry says of a value's range, classes,
            shape or dtype; that is to be corrected first. Nothing was written.
    """
    validate.refuse_installed(manifest, hint=OTHER_NAME)
    before = validate.read(manifest)
    loaded = validate.check(before)
    name = loaded.name_of(name)
    if name not in loaded.own:
        what = f"{name} is declared in {loaded.owner(name).path}, which {manifest} includes, and not there itself"
        validate.refuse_installed(loaded.owner(name).path, hint=OTHER_NAME)
        raise UsageError(what, hint=f"Update it there: --manifest {loaded.owner(name).path}.")
    plan = pipeline.plan_of(loaded, name, pipeline.locations(loaded, home))
    with tempfile.TemporaryDirectory(prefix="tinytorch-datasets-", ignore_cleanup_errors=True) as folder:
        scratch, sources = Path(folder), list[Source]()
        if fetch:
            refuse_offline("--fetch", hint="take the files on disk, without --fetch.")
            _refuse_without_address(plan)
            for planned in plan.files:
                urls = [*filter(inputs.is_address, planned.urls)]
                sources.append(inputs.download(urls, planned.name, scratch / "files", progress=progress))
        else:
            sources = [_on_disk(plan, file.name) for file in plan.files]
        changes: dict[tuple[str, ...], str | int] = {}
        for source in sources:
            for file in _declarations_of(loaded, name, source.name):
                at, declared = ("datasets", file.dataset, *file.keys), file.facts
                changes |= {(*at, "bytes"): source.bytes} if source.bytes != declared.bytes else {}
                changes |= {(*at, "sha256"): source.sha256} if source.sha256 != declared.sha256 else {}
                if declared.md5 and (md5 := digest(source.path, md5_too=True).md5) and md5 != declared.md5:
                    changes[(*at, "md5")] = md5

        def changed() -> Manifest:
            return validate.check(before.with_data(yaml_edit.with_values(before, changes).data))

        hint = partial(_correct_first, loaded, name)
        with_hashes = changed()
        try:
            digests = validate.decode(with_hashes, name, sources, scratch, hint=hint)
        except DecodeError as error:
            if not validate.is_count(error):
                raise
            counts = _changed_counts(with_hashes, name, sources, scratch)
            if not counts:
                raise
            changes |= counts
            digests = validate.decode(changed(), name, sources, scratch, hint=hint)
        for field, of_field in loaded.entry(name).fields.items():
            for split, sha256 in of_field.sha256.items():
                if digests[field][split] != sha256:
                    changes["datasets", name, "fields", field, "sha256", split] = digests[field][split]
        made = [
            Change(keys[1], loaded.where(*keys[1:]), ".".join(keys[1:]), _declared_value(loaded, keys), value)
            for keys, value in changes.items()
        ]
        if changes:
            after = yaml_edit.read_back(before, yaml_edit.with_values(before, changes))
            changed_manifest = validate.check(after)
            if not dry_run:
                if fetch:
                    for source in sources:
                        inputs.place(source, plan.root)
                validate.write(before, after, changed_manifest)
    return made


def _changed_counts(
    loaded: Manifest, name: str, sources: Sequence[Source], scratch: Path
) -> dict[tuple[str, ...], str | int]:
    """Return the numbers of samples that are others in the files than in the entry, by their paths of keys."""
    entry, totals = loaded.entry(name), Counter[str]()
    changes: dict[tuple[str, ...], str | int] = {}
    sharded = {split.name for split in loaded.plan(name).splits if split.shards}
    for plan in shards.plans_in_one_file(loaded.plan(name)):
        try:
            counts = validate.count_samples(plan, sources, scratch)
        except DecodeError as error:
            raise error.with_context(where=loaded.where(name), hint=_correct_first(loaded, name, [error])) from None
        totals.update(counts)
        for file in plan.files if sharded & counts.keys() else ():
            declared = entry.files[file.name].samples
            count = counts[plan.splits[0].name]
            changes |= (
                {("datasets", name, "files", file.name, "samples"): count} if declared not in (None, count) else {}
            )
    for split, count in totals.items():
        changes |= (
            {("datasets", name, "splits", split, "samples"): count} if entry.splits[split].samples != count else {}
        )
    return {keys: count for keys, count in changes.items() if count}


def _correct_first(loaded: Manifest, name: str, errors: Sequence[DecodeError]) -> str:
    """Return the hint for what only a person can say: the keys that have it, each with its line."""
    places = dict[str, None]()
    for error in errors:
        if isinstance(error, ContentError) and error.column and (key := _KEYS.get(error.aspect)):
            field = error.column.partition(".")[2]
            if getattr(loaded.entry(name).fields[field], key) is not None:
                places[f"{name}.fields.{field}.{key} ({loaded.where(name, 'fields', field, key)})"] = None
    return f"The manifest is as it was: first correct {' and '.join(places)}." if places else UNCORRECTED


def _refuse_without_address(plan: Plan) -> None:
    """Refuse to download a file that no address is declared for.

    Raises:
        UsageError: There is one.
    """
    for file in plan.files:
        if not any(map(inputs.is_address, file.urls)):
            kind = " that starts with https:// or http://" if file.urls else ""
            what = f"{file.name} has no address{kind} to be fetched from"
            raise UsageError(what, where=file.where, hint=f"Put it into {plan.root}, and leave out --fetch.")


def _on_disk(plan: Plan, name: str) -> Source:
    """Read one of a data set's files where it is.

    Raises:
        MissingFile: It is not there.
    """
    try:
        return inputs.read(plan.root / name, name)
    except MissingFile as error:
        error.hint = plan.hint
        if all(file.urls for file in plan.files):
            error.hint = (
                f"`tinytorch-datasets get {plan.name}` fetches what is declared; --fetch takes what is there now."
            )
        raise


def _declarations_of(loaded: Manifest, name: str, file: str) -> list[DeclaredFile]:
    """Return each declaration of the same file of the same folder, this entry's first."""
    path = folded(f"{loaded.folder(name)}/{file}")
    same = [other for other in loaded.own_files() if folded(other.path) == path]
    return sorted(same, key=lambda other: other.dataset != name)


def _declared_value(loaded: Manifest, keys: tuple[str, ...]) -> str | int:
    """Return what the manifest declares at a path of keys that `update` may change."""
    entry = loaded.entry(keys[1])
    if keys[-3] == "files":
        files = entry.files if keys[2] == "files" else entry.variants[keys[3]].files
        value: str | int = getattr(files[keys[-2]], keys[-1])
        return value
    if keys[2] == "splits":
        return entry.splits[keys[3]].samples
    return entry.fields[keys[3]].sha256[keys[5]]
