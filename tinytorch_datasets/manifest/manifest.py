"""`Manifest`: loading and validating, Pydantic's messages in our words.

`yaml_reader.py` reads the YAML, `models.py` has the models that check each value, `rules.py` what must
hold between values. Every problem of all three is reported at once, each with its line. What the later stages
get of an entry is a `plan.Plan`, which knows neither YAML nor Pydantic.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from tinytorch_datasets.errors import Keys, ManifestError, Problem, UnknownName, bounded_guesses, did_you_mean
from tinytorch_datasets.manifest import models, rules
from tinytorch_datasets.manifest.models import (
    ChecksEntry,
    Declarations,
    DuplicatesEntry,
    Entry,
    FieldEntry,
    FileEntry,
    SplitEntry,
)
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, read_file
from tinytorch_datasets.manifest.yaml_syntax import plain
from tinytorch_datasets.plan import Column, Declared, File, Plan, Split
from tinytorch_datasets.storage.memmap import StatSignature

# What stands for itself in the path of an address (RFC 3986, 3.3), but for "+", which some servers take for a blank.
IN_A_PATH = "/~!$&'()*,;=:@"

_MODELS: dict[str, type[BaseModel]] = {"files": FileEntry, "fields": FieldEntry, "splits": SplitEntry}


ITEMS_SHOWN = 5


def translate(error: ValidationError, parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield Pydantic's errors as problems of the manifest, in its words, each with its line."""
    # What is empty only because nothing in it is right is not empty.
    findings = [f for f in error.errors(include_url=False) if f["type"] != "too_short" or not f["input"]]
    numbers: dict[Keys, list[Any]] = {}
    for finding in findings:
        keys = tuple(finding["loc"])
        if finding["type"] == "string_type" and type(keys[-1]) is int and _is_number(finding["input"]):
            numbers.setdefault(keys[:-1], []).append(keys[-1])
    for finding in findings:
        keys = tuple(finding["loc"])
        if len(several := numbers.get(keys[:-1], [])) > 1 and keys[-1] in several:
            if keys[-1] == several[0]:  # a list of numbers is one mistake, however long it is
                yield parsed.problem(keys[:-1], _numbers_for_texts(keys[:-1], several, parsed))
            continue
        if either := _is_one_of_two(keys, finding["input"], parsed.data):
            keys = keys[:-1]
        yield parsed.problem(keys, _in_words(finding, keys, parsed, either=either))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)  # or true or false, which are numbers for Python


def _numbers_for_texts(keys: Keys, several: Sequence[int], parsed: ParsedYaml) -> str:
    texts = [f'"{parsed.written(*keys, i)}"' for i in several[:ITEMS_SHOWN]]
    right = _flow_list(texts, len(several))
    return f"must be a list of texts, has {len(several)} values that are not text: write {right}"


def _flow_list(items: Sequence[str], count: int) -> str:
    return f"[{', '.join(items)}{', ...' if count > len(items) else ''}]"


def _instead_of_mapping(value: object) -> str:
    """Return how to write a list that was written as a mapping from numbers, or to numbers, in their order."""
    if not isinstance(value, dict):
        return ""
    pairs = [(key, name) for key, name in value.items() if isinstance(name, str)]
    if len(pairs) < len(value):
        pairs = [(str(number), name) for name, number in value.items() if type(number) is int]
    if not pairs or sorted(key for key, _ in pairs) != sorted(map(str, range(len(value)))):
        return ""
    names = [name for _, name in sorted(pairs, key=lambda pair: int(pair[0]))]
    shown = [name if plain(name) == name and name.isidentifier() else f'"{name}"' for name in names[:ITEMS_SHOWN]]
    return f": write the names alone, in the order of their numbers, {_flow_list(shown, len(names))}"


def _is_one_of_two(keys: tuple[str | int, ...], value: object, data: Any) -> bool:
    """Check whether Pydantic put a type behind the path of a value of several; it complains of each by itself."""
    if keys[-1:] not in (("int",), ("float",)):
        return False
    for key in keys[:-1]:
        data = data[key]
    return data is value or not isinstance(data, dict)


def _in_words(finding: Any, keys: tuple[str | int, ...], parsed: ParsedYaml, *, either: bool) -> str:
    kind, value, facts = finding["type"], finding["input"], finding.get("ctx", {})
    written = parsed.written(*keys)
    shown = written if written is not None and not isinstance(value, str) else repr(value)
    if either:  # a whole number or another: of each the same is reported, and once
        return f"must be a number, is {_kind(value)} {shown}"
    match kind:
        case "missing":
            alone = keys[-1] == "sha256" and isinstance(value, dict) and "md5" in value
            return "is missing" + ("; an MD5 may stand beside it, never instead of it" if alone else "")
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(keys[-1]), _model_at(keys[:-1]).model_fields)}"
        case "literal_error":
            allowed = facts["expected"]
            guess = did_you_mean(str(value), _choices(allowed)) if str(value) not in _choices(allowed) else ""
            return f"must be {allowed}, is {shown}{guess}"
        case "greater_than":
            return f"must be more than {facts['gt']}, is {shown}"
        case "greater_than_equal":
            return f"must be {facts['ge']} or more, is {shown}"
        case "string_type":
            scalar = isinstance(value, int | float) and written is not None
            return f"must be text, is {_kind(value)}" + (f' {written}: write "{written}"' if scalar else "")
        case "int_type" | "int_from_float":
            return f"must be a whole number, is {_kind(value)} {shown}"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "too_long":
            return f"must be {facts['max_length']} values, has {facts['actual_length']}"
        case "tuple_type" | "list_type":
            if type(value) is int:
                return f"must be a list, is the number {written}: write [{written}]"
            number = f" {shown}" if isinstance(value, float | bool) else ""
            return f"must be a list, is {_kind(value)}{number}{_instead_of_mapping(value)}"
        case "mapping_type" | "dict_type" | "model_type" | "model_attributes_type":
            number = f" {shown}" if isinstance(value, int | float) else ""
            return f"must be a mapping of keys to values, is {_kind(value)}{number}"
        case models.NOT_A_HASH:
            return str(finding["msg"])
    return f"{finding['msg']}, is {shown}"


def _kind(value: object) -> str:
    names = {str: "text", bool: "the switch", int: "the number", float: "the number", list: "a list"}
    return "empty" if value is None else names.get(type(value), "a mapping")


def _choices(expected: str) -> list[str]:
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",")]


def _model_at(keys: tuple[str | int, ...]) -> type[BaseModel]:
    match keys:
        case ():
            return Declarations
        case ("datasets", _):
            return Entry
        case ("datasets", _, str(part), _) if part in _MODELS:
            return _MODELS[part]
        case ("datasets", _, "checks"):
            return ChecksEntry
        case ("datasets", _, "checks", "duplicates"):
            return DuplicatesEntry
    return Declarations


class DeclaredFile(NamedTuple):
    """One file of one data set: its `name` in the data set's folder, and its `path` below the folder of all.

    A mirror has it at that path, and so have the folders of downloads and of the shipped data.
    """

    dataset: str
    name: str
    path: str
    facts: FileEntry


class Manifest:
    """A validated manifest.

    Attributes:
        datasets: Each `Entry` by its name, in the manifest's order.
        path: The YAML file.
        sha256: Of that file, as it was read.
        signature: The file's stat signature, as it was before it was read; empty for a text that is in no file.
        download_to: The folder for downloads, relative to the file.
        shipped_in: The folder of the shipped data, relative to the file.
        shipped_budget_bytes: How large the shipped data may be in all; None for no limit.
        ignore: Rules whose warnings `audit` leaves out, of every data set.
    """

    def __init__(self, parsed: ParsedYaml, declared: Declarations, signature: StatSignature) -> None:
        self.path = parsed.path
        self.sha256 = parsed.sha256
        self.signature = signature
        self.datasets = declared.datasets
        self.download_to = declared.download_to
        self.shipped_in = declared.shipped_in
        self.shipped_budget_bytes = declared.shipped_budget_bytes
        self.ignore = declared.ignore
        self._parsed = parsed

    def __repr__(self) -> str:
        return f"<Manifest {self.path}: {', '.join(self.datasets)}>"

    def entry(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises:
            UnknownName: There is none; the error has the nearest name.
        """
        try:
            return self.datasets[name]
        except (KeyError, TypeError):
            raise UnknownName(str(name), self.datasets, place=self.path.name) from None

    def folder(self, name: str) -> str:
        """Return the folder of a data set's files, below that of downloads or of the shipped data."""
        return self.entry(name).folder or name

    def files(self) -> Iterator[DeclaredFile]:
        """Yield every file of every data set, in the manifest's order: the same path again where sets share a file."""
        for name, entry in self.datasets.items():
            for file, facts in entry.files.items():
                yield DeclaredFile(name, file, f"{entry.folder or name}/{file}", facts)

    def addresses(self, name: str, file: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield each address of a data set, with its line, in the order to try; of a file: whole, mirrors too."""
        entry = self.entry(name)
        for path in entry.files if file is None else (file,):
            for i, url in enumerate(entry.files[path].urls):
                yield url, self.where(name, "files", path, "urls", i)
        for i, mirror in enumerate(entry.mirrors):
            yield mirror + quote(file or "", safe=IN_A_PATH), self.where(name, "mirrors", i)

    def ignores(self, rule: str, dataset: str = "") -> bool:
        """Check whether `audit` leaves out a rule's warnings, of that data set or of all."""
        return rule in self.ignore or (dataset in self.datasets and rule in self.datasets[dataset].ignore)

    def where(self, *keys: str | int) -> str:
        """Return the line of a value below `datasets`, to name in an error: ``where("mnist", "format")``."""
        return self._parsed.where("datasets", *keys)

    def where_on_top(self, key: str) -> str:
        """Return the line of a value that stands beside `datasets`: ``where_on_top("shipped_in")``."""
        return self._parsed.where(key)

    def declared(self, name: str) -> Declared:
        """Return what the stages need to know of one data set, and of the manifest that declares it."""
        plain = self.entry(name).model_dump(mode="json", exclude_unset=True)
        plan = self.plan(name)
        return Declared(self.path, self.signature, self.sha256, self.download_to, self.shipped_in, plan, plain)

    def plan(self, name: str) -> Plan:
        """Return what a data set declares; where its files are is for `Plan.under` to say."""
        entry = self.entry(name)
        files = tuple(
            File(
                name=path,
                bytes=file.bytes,
                sha256=file.sha256,
                urls=tuple(url for url, _ in self.addresses(name, path)),
                where=self.where(name, "files", path, "sha256"),
            )
            for path, file in entry.files.items()
        )
        return Plan(
            name=name,
            folder=self.folder(name),
            root=Path(),
            status=entry.status,
            format=entry.format,
            files=files,
            splits=tuple(self._split(name, entry, split) for split in entry.splits),
            options=dict(entry.options),
            where=self.where(name),
        )

    def _split(self, name: str, entry: Entry, title: str) -> Split:
        split = entry.splits[title]
        named = split.__pydantic_extra__ or {}
        columns = {
            field: Column(
                split=title,
                field=field,
                dtype=declared.dtype,
                samples=split.samples,
                file=Path(split.file or named[field]),
                key=named.get(field, field) if split.file else "",
                shape=declared.shape,
                range=declared.range,
                classes=declared.classes,
                per=declared.per,
                where=self.where(name, "fields", field),
                sha256=declared.sha256.get(title),
                sha256_where=self.where(name, "fields", field, "sha256", title),
                missing=declared.missing,
                missing_value=declared.missing_value,
            )
            for field, declared in entry.fields.items()
        }
        return Split(
            name=title,
            samples=split.samples,
            columns=columns,
            file=Path(split.file) if split.file else None,
            members=split.members or (),
            where=self.where(name, "splits", title, "samples"),
        )


def load(path: Path, formats: rules.Formats) -> Manifest:
    """Read and check the manifest at `path`, against the formats there are.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, with lines.
    """
    with _collection_paused():
        text, signature = read_file(path)
        return _validated(ParsedYaml(text, path), formats, signature)


def check_parsed(parsed: ParsedYaml, formats: rules.Formats) -> Manifest:
    """Check a manifest that was read before, and may stand in no file yet.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, with lines.
    """
    with _collection_paused():
        return _validated(parsed, formats, [])


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause the garbage collector, which finds no garbage among what a manifest is read into, however often it looks.

    For ten thousand entries it takes a third of the time. Two threads may do this at once: whoever finds the collector
    running sets it running again.
    """
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            gc.enable()


def _validated(parsed: ParsedYaml, formats: rules.Formats, signature: StatSignature) -> Manifest:
    problems = list(parsed.problems)
    misread = {(problem.line, problem.key) for problem in problems}
    later: list[Problem] = []
    lists: set[str] = set()
    declared: Declarations | None = None
    with bounded_guesses():
        try:
            declared = Declarations.model_validate(parsed.data)
        except ValidationError as error:
            later += translate(error, parsed)
            # A mapping in the place of a list is one mistake, whatever its keys are.
            of_list = [finding["loc"] for finding in error.errors() if finding["type"] in ("tuple_type", "list_type")]
            lists = {parsed.problem(keys, "").key for keys in of_list}
        # The rules look at the plain data, so that one wrong key does not hide what else is wrong.
        later += [parsed.problem(keys, what) for keys, what in rules.check(parsed.data, formats)]
    problems = [problem for problem in problems if problem.key.rpartition(".")[0] not in lists]
    # What was misread as YAML is reported once, and not again for the type it turned into.
    problems += [problem for problem in dict.fromkeys(later) if (problem.line, problem.key) not in misread]
    if declared is None or problems:
        raise ManifestError(parsed.path, sorted(problems, key=lambda problem: (problem.line, problem.key)))
    return Manifest(parsed, declared, signature)
