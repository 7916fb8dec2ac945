"""What does the manifest declare, and is it well said?

`document.py` reads the YAML, `declarations.py` has the models that check each value, `rules.py` what must
hold between values. Every problem of all three is reported at once, each with its line. What the later stages
get of an entry is a `plan.Plan`, which knows neither YAML nor Pydantic.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from tinytorch_datasets import complaints, rules
from tinytorch_datasets.declarations import Declarations, Entry
from tinytorch_datasets.document import Document
from tinytorch_datasets.errors import ManifestError, Problem, UnknownName
from tinytorch_datasets.plan import Column, Declared, File, Plan, Split


class Manifest:
    """A validated manifest.

    Attributes:
        datasets: Each `Entry` by its name, in the manifest's order.
        path: The YAML file.
        sha256: Of that file, as it was read.
        stamp: Its size and times, as they were before it was read.
        download_to: The folder for downloads, relative to the file.
        shipped_in: The folder of the shipped data, relative to the file.
        shipped_budget_bytes: How large the shipped data may be in all; None for no limit.
    """

    def __init__(self, document: Document, declared: Declarations) -> None:
        self.path = document.path
        self.sha256 = document.sha256
        self.stamp = document.stamp
        self.datasets = declared.datasets
        self.download_to = declared.download_to
        self.shipped_in = declared.shipped_in
        self.shipped_budget_bytes = declared.shipped_budget_bytes
        self._document = document

    def __repr__(self) -> str:
        return f"<Manifest {self.path}: {', '.join(self.datasets)}>"

    def entry(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            UnknownName: There is none; the error has the nearest name.
        """
        try:
            return self.datasets[name]
        except (KeyError, TypeError):
            raise UnknownName(str(name), self.datasets, place=self.path.name) from None

    def folder(self, name: str) -> str:
        """The folder of a data set's files, below that of downloads or of the shipped data."""
        return self.entry(name).folder or name

    def addresses(self, name: str, file: str | None = None) -> Iterator[tuple[str, str]]:
        """Each address that a data set declares, with its line, in the order to try; of a file: whole, mirrors too."""
        entry = self.entry(name)
        for path in entry.files if file is None else (file,):
            for i, url in enumerate(entry.files[path].urls):
                yield url, self.where(name, "files", path, "urls", i)
        for i, mirror in enumerate(entry.mirrors):
            yield mirror + (file or ""), self.where(name, "mirrors", i)

    def where(self, *keys: str | int) -> str:
        """The line of a value below `datasets`, to name in an error: ``where("mnist", "format")``."""
        return self._document.where("datasets", *keys)

    def where_on_top(self, key: str) -> str:
        """The line of a value that stands beside `datasets`: ``where_on_top("shipped_in")``."""
        return self._document.where(key)

    def declared(self, name: str) -> Declared:
        """What the stages need to know of one data set, and of the manifest that declares it."""
        plain = self.entry(name).model_dump(mode="json", exclude_unset=True)
        plan = self.plan(name)
        return Declared(self.path, self.stamp, self.sha256, self.download_to, self.shipped_in, plan, plain)

    def plan(self, name: str) -> Plan:
        """What a data set promises; where its files are is for `Plan.under` to say."""
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
    document = Document.load(path)
    problems = list(document.problems)
    told = {(problem.line, problem.key) for problem in problems}
    later: list[Problem] = []
    declared: Declarations | None = None
    try:
        declared = Declarations.model_validate(document.data)
    except ValidationError as error:
        later += complaints.told(error, document)
    # The rules look at the plain data, so that one wrong key does not hide what else is wrong.
    later += [document.problem(keys, what) for keys, what in rules.broken(document.data, formats)]
    # What was misread as YAML is told once, and not again for the type it turned into.
    problems += [problem for problem in dict.fromkeys(later) if (problem.line, problem.key) not in told]
    if declared is None or problems:
        raise ManifestError(path, sorted(problems, key=lambda problem: (problem.line, problem.key)))
    return Manifest(document, declared)
