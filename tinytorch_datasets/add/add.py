"""`add`: a new entry, from files to the manifest's text.

`add` writes a whole entry for files that it has looked at and decoded. It checks what it writes by reading it back and
decoding every value, before the manifest changes.
"""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tinytorch_datasets import pipeline
from tinytorch_datasets.add import inputs, naming, samples, validate, yaml_edit
from tinytorch_datasets.add.arrays import split_by_rows
from tinytorch_datasets.add.detect import NO_CHOICES, detect, encoding_hint
from tinytorch_datasets.add.draft import Draft, draft
from tinytorch_datasets.add.inputs import PassedOver, Source
from tinytorch_datasets.add.tables import Choices
from tinytorch_datasets.errors import DatasetError, DecodeError, UsageError
from tinytorch_datasets.formats import FileInfo
from tinytorch_datasets.manifest.filenames import refuse_offline
from tinytorch_datasets.progress import Progress
from tinytorch_datasets.settings import absolute
from tinytorch_datasets.storage.files import unlink

UNREAD = "The manifest is as it was. Is the file whole, and the one that you meant?"
UNPROVED = (
    "The manifest is as it was. Is each file the split that it was taken for? --split NAME=FILE says which it is."
)

_DECLARED = re.compile(r"options: \{(\w+): ([\w.+-]+)\}")

# Of a hundred names in an archive, a few show what they are like.
SHOWN_NAMES = 12


class Question(NamedTuple):
    """What only a person can know: the `line` of the manifest to answer, and its text."""

    line: int
    text: str


@dataclass(frozen=True)
class Added:
    """A data set's new entry: its `name`, `text`, and first `line`; and the `folder` of its files.

    `passed_over` are files of the given folders that are no data, each with why.
    """

    name: str
    text: str
    line: int
    questions: tuple[Question, ...]
    manifest: Path
    folder: Path
    draft: Draft
    written: bool
    passed_over: tuple[str, ...] = ()


def add(
    given: Sequence[str],
    *,
    manifest: Path,
    home: Path | None = None,
    name: str | None = None,
    splits: Sequence[tuple[str, str]] = (),
    ship: bool = False,
    mirrors: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    choices: Choices = NO_CHOICES,
    form: str | None = None,
    options: Mapping[str, str] | None = None,
    rows: Sequence[tuple[str, str]] = (),
    shuffle: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Added:
    """Write the entry of a new data set.

    Args:
        given: Its files: addresses, paths, or folders of files.
        manifest: The manifest to write to. It is made if it is not there.
        home: The folder of downloads, as for `get`.
        name: Its name; None makes one from the files' names.
        splits: Names of splits, each with a pattern of the files, members or keys that it is.
        ship: Whether to copy the files to the shipped ones. Else they are remote, and what was downloaded is kept.
        mirrors: Addresses to which a file's name is appended, of files that do not ship.
        facts: "title", "license" and "source", as far as known; the rest stays an open question in the entry.
        choices: Which column of a table is the target, which are left out, and what means a missing value; which part
            of the names of samples is the label.
        form: The name of the files' format; None recognizes it.
        options: Options of their format, by name, each as it is typed.
        rows: Names of splits, each with the rows of the one file that it is: "0:404", "404:".
        shuffle: The seed of the order in which those rows are counted.
        dry_run: Whether to write nothing.
        progress: As for `get`.

    Raises:
        DatasetError: A file cannot be downloaded or read, or is in no known format; or the name is taken. Nothing was
            written.
    """
    validate.refuse_installed(manifest)
    _check_call(given, name, [*splits, *rows], ship=ship, mirrors=mirrors, facts=facts or {})
    if splits and rows:
        what = "--split says which split a file is, and --rows divides one file into splits"
        raise UsageError(what, hint="Leave out one of them.")
    before = validate.read(manifest, new=yaml_edit.NEW)
    with _as_typed(), tempfile.TemporaryDirectory(prefix="tinytorch-datasets-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        loaded = None if yaml_edit.is_empty(before) else validate.check(before)
        unpacked = inputs.Unpacked(scratch)
        sources, passed_over = _sources(given, scratch, progress)
        choices = _with_files(choices, sources, passed_over)
        dataset = name or _name(given, sources)
        if loaded is not None and dataset in loaded.datasets:
            what, hint = f"{dataset} is declared already", "--name gives this one another name."
            if dataset in loaded.own:
                hint = f"`tinytorch-datasets update {dataset}` refreshes its hashes; {hint}"
            else:
                what = f"{dataset} is declared already, in {loaded.owner(dataset).path}, which {manifest} includes"
            raise UsageError(what, where=loaded.where(dataset), hint=hint)
        infos = list[FileInfo]()
        try:
            files = [(source.path, source.name) for source in sources]
            infos = detect(files, choices, form=form, options=options, unpacked=unpacked)
            _refuse_unmatched(splits, infos)
            made = draft(
                infos, lambda name: next((split for split, pattern in splits if _matches(name, pattern)), None)
            )
            made.left_out[:0] = unpacked.left_out
        except DecodeError as error:
            unpacked.let_name_its_archive(error)
            error.hint = encoding_hint(error, infos[0].format if infos else None)
            error.with_context(hint=UNREAD)
            raise
        declared = samples.sources_of(infos)
        sources = [source for source in sources if source.name in declared]
        if rows or shuffle is not None:
            split_by_rows(made, rows, shuffle)
        hosts = [] if ship else [*mirrors, *_hosts(sources)]
        known = {**_source_fact(sources, ship), **(facts or {})}
        status = "shipped" if ship else "remote"

        def edit() -> tuple[yaml_edit.Entry, yaml_edit.Edit]:
            entry = yaml_edit.entry(dataset, made, sources, known, status=status, mirrors=hosts)
            return entry, yaml_edit.with_entry(before, entry)

        # Digests are of the values as `get` will return them by the entry: so it is made once without. That one is
        # checked as the data that it will be read as; its text is read once, with the digests in it.
        with validate.without_lines():
            drafted = validate.check(before.with_data(edit()[1].data))
            digests = validate.decode(drafted, dataset, sources, scratch, hint=lambda _: UNPROVED)
            for name_of_field, field in made.fields.items():
                field.sha256 = digests[name_of_field]
            entry, edited = edit()
            after = yaml_edit.read_back(before, edited, entry)
            loaded = validate.check(after)
        target = pipeline.plan_of(loaded, dataset, pipeline.locations(loaded, home)).root
        if not dry_run:
            for source in sources:
                _refuse_to_replace(source, target / source.name)
            with _files_in_place(sources, target, manifest, home):
                validate.write(before, after, loaded)
    questions = tuple(Question(edited.line + at, entry.lines[at].strip()) for at in entry.questions)
    text = "\n".join(entry.lines) + "\n"
    left = tuple(f"{other.name}: {other.why}" for other in passed_over)
    return Added(dataset, text, edited.line, questions, manifest, target, made, not dry_run, left)


@contextmanager
def _as_typed() -> Iterator[None]:
    """Let errors name an option as it is typed for `add`, and not as an entry has it."""
    try:
        yield
    except DecodeError as error:
        error.hint = _DECLARED.sub(r"--option \1=\2", error.hint) if error.hint else None
        raise


def _check_call(
    given: Sequence[str],
    name: str | None,
    splits: Sequence[tuple[str, str]],
    *,
    ship: bool,
    mirrors: Sequence[str],
    facts: Mapping[str, str],
) -> None:
    """Refuse a call that cannot work, before anything is downloaded.

    Raises:
        MissingFile: A path leads to no file.
        UsageError: It cannot.
    """
    for address in given:
        inputs.refuse_other_addresses(address)
    for address in (*filter(inputs.is_address, given), *mirrors, *facts.values()):
        inputs.refuse_secrets(address)
    for address in filter(inputs.is_address, given):
        refuse_offline(f"the download of {address}", hint="download it by other means, and add the file.")
    if not ship and not mirrors and (paths := [one for one in given if not inputs.is_address(one)]):
        for path in paths:
            inputs.list_files(path)  # which refuses one that is not there: that is to be corrected first
        what = "a file on this computer has no address that others could fetch it from"
        hint = "Copy it to the shipped data with --ship, or say where it is with --mirror URL."
        raise UsageError(what, hint=hint)
    if ship and mirrors:
        what = f"files that ship have no mirror: they come with the manifest, and {mirrors[0]} would be asked by nobody"
        raise UsageError(what, hint="Leave out --ship or --mirror.")
    if name is not None and naming.entry_name(name) != name:
        what = f"{name!r} is no name of a data set; {naming.entry_name(name)!r} would be"
        raise UsageError(what, hint="A name is lowercase letters, digits, '.', '_' and '-'.")
    for split, _ in splits:
        if not naming.is_field_name(split):
            what = f"{split!r} is no name of a split; {naming.field_name(split)!r} would be"
            hint = "A name is lowercase letters, digits and '_', and nothing that code already means."
            raise UsageError(what, hint=hint)


@contextmanager
def _files_in_place(sources: Sequence[Source], target: Path, manifest: Path, home: Path | None) -> Iterator[None]:
    """Copy the files to their folder; if the block fails, remove those that are new and declared nowhere."""
    new = [target / source.name for source in sources if not (target / source.name).exists()]
    try:
        for source in sources:
            inputs.place(source, target)
        yield
    except BaseException:  # Ctrl-C too: nothing half added is left behind
        with suppress(DatasetError):  # nobody knows what a manifest declares that cannot be read: all stays
            declared = validate.declared_files(manifest, home) if manifest.exists() else set[Path]()
            for path in new:
                if path not in declared:
                    with suppress(OSError):  # the first error is the one to report
                        unlink(path, missing_ok=True)
                    for folder in (parent for parent in path.parents if parent.is_relative_to(target)):
                        with suppress(OSError):  # it has other files
                            folder.rmdir()
        raise


def _sources(given: Sequence[str], scratch: Path, progress: Progress | None) -> tuple[list[Source], list[PassedOver]]:
    """Download or read all that was given; with what is left out of folders, and why.

    Raises:
        UsageError: Two of them would be files of one name.
    """
    sources, left_out = list[Source](), list[PassedOver]()
    for i, one in enumerate(given):
        if inputs.is_address(one):
            sources.append(inputs.download_unnamed(one, scratch / "files" / str(i), progress=progress))
        else:
            files, others = inputs.read_all(one)
            sources += files
            left_out += others
    return inputs.with_distinct_names(sources), left_out


def _with_files(choices: Choices, sources: Sequence[Source], others: Sequence[PassedOver]) -> Choices:
    """Return choices in which a file to leave out has its name in the data set, where a path to it was typed."""
    names = {file.path: file.name for file in sources} | {file.path: file.name for file in others}
    # Of one without a folder it may be a column's name, too.
    drop = (names.get(_path_of(name), name) if Path(name).name != name else name for name in choices.drop)
    return replace(choices, drop=tuple(drop), passed_over=tuple(other.name for other in others))


def _path_of(name: str) -> Path:
    try:
        return Path(absolute(name))
    except UsageError:  # a column may be called so
        return Path(name)


def _name(given: Sequence[str], sources: Sequence[Source]) -> str:
    """Make a data set's name from the names of its folder or files."""
    if len(given) == 1 and not inputs.is_address(given[0]) and Path(given[0]).is_dir():
        return naming.entry_name(Path(given[0]).absolute().name)
    if len(sources) == 1:
        return naming.entry_name(naming.stem(sources[0].name))
    common = naming.common([source.name for source in sources])
    parents = {(s.url.rpartition("/")[0] if s.url else str(s.path.parent)).rpartition("/")[2] for s in sources}
    return naming.entry_name(common or (parents.pop() if len(parents) == 1 else sources[0].name))


def _matches(name: str, pattern: str) -> bool:
    """Check whether a pattern of --split means a file, member or key, by its path or its last part."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)


def _refuse_unmatched(splits: Sequence[tuple[str, str]], infos: Sequence[FileInfo]) -> None:
    """Refuse a pattern with a slip of the pen: all would go into another split, and nobody would notice.

    Raises:
        UsageError: A pattern matches nothing.
    """
    arrays = ((info, array) for info in infos for array in info.arrays)
    every = (name for info, array in arrays for name in (info.file, *info.inside, array.member or array.key))
    names = dict.fromkeys(filter(None, every))
    for split, pattern in splits:
        if not any(_matches(name, pattern) for name in names):
            shown = ", ".join(list(names)[:SHOWN_NAMES])
            more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
            what = f"--split {split}={pattern} matches none of: {shown}{more}"
            raise UsageError(what, hint="Name a file, or what is inside one, by its whole name or with * and ?.")


def _hosts(sources: Sequence[Source]) -> list[str]:
    """Return the one address below which all files are, if there is one; else each file keeps its own."""
    hosts = {
        source.url[: -len(source.name)] if re.fullmatch(f"[^?#]*/{re.escape(source.name)}", source.url) else ""
        for source in sources
        if source.url
    }
    return sorted(hosts) if len(hosts) == 1 and "" not in hosts else []


def _source_fact(sources: Sequence[Source], ship: bool) -> dict[str, str]:
    """Return the address of bytes that ship as their source, if they came from one."""
    urls = [source.url for source in sources if source.url]
    return {"source": urls[0]} if ship and urls else {}


def _refuse_to_replace(source: Source, target: Path) -> None:
    """Refuse to overwrite another file of that name: it is somebody's data.

    Raises:
        UsageError: There is one.
    """
    if target.exists() and inputs.read(target).sha256 != source.sha256:
        what = f"{target} is there already, and is another file"
        raise UsageError(what, hint="Move it away, or give the data set another --name.")
