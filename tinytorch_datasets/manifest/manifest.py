"""`Manifest`: validated entries, included ones too, and the plan of each.

`yaml_reader.py` reads the YAML, `models.py` has the models that check each value, `rules.py` what must
hold between values, and `loading.py` brings them together: every problem of all is reported at once, each with its
line. What the later stages get of an entry is a `plan.Plan`, which knows neither YAML nor Pydantic.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tinytorch_datasets.errors import NAMES_SHOWN, UnknownName
from tinytorch_datasets.manifest import rules
from tinytorch_datasets.manifest.filenames import address_on, selected
from tinytorch_datasets.manifest.format_options import Formats, cache_of, columns_of
from tinytorch_datasets.manifest.generated import canonical_name
from tinytorch_datasets.manifest.models import Declarations, Entry, FieldEntry, FileEntry, SplitEntry
from tinytorch_datasets.manifest.places import (
    location,
    member_of,
    names_members,
    place_of,
    stored_counts,
    with_lines,
)
from tinytorch_datasets.manifest.shards import first_shards, shards_of
from tinytorch_datasets.manifest.variants import as_entry
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml
from tinytorch_datasets.plan import TEXT, Column, Declared, File, Names, Plan, Rows, Shard, Split
from tinytorch_datasets.storage.memmap import StatSignature


class DeclaredFile(NamedTuple):
    """One file of one data set, or of a variant of it: its `path` is below the folder of all.

    A mirror has it at that path, and so have the folders of downloads and of the shipped data. `keys` are those of its
    declaration, below the data set's name.
    """

    dataset: str
    keys: tuple[str, ...]
    path: str
    facts: FileEntry


class Manifest:
    """A validated manifest, with those that it includes.

    Attributes:
        datasets: Each `Entry` by its name, in the manifest's order; then those of the included manifests.
        own: The entries of this file alone.
        included: The manifests that this one includes, each with those that it includes in turn.
        leads_to: The file of each of these by the item of `include`, but for addresses, which lead nowhere else.
        path: The YAML file.
        sha256: Of that file, as it was read.
        signature: The file's stat signature, as it was before it was read; empty for a text that is in no file.
        download_to: The folder for downloads, relative to the file.
        shipped_in: The folder of the shipped data, relative to the file.
        shipped_budget_bytes: How large the shipped data may be in all; None for no limit.
        ignore: Rules whose warnings `audit` leaves out, of every data set.
    """

    def __init__(
        self,
        parsed: ParsedYaml,
        declared: Declarations,
        signature: StatSignature,
        formats: Formats,
        included: Sequence[Manifest] = (),
    ) -> None:
        self.path = parsed.path
        self.sha256 = parsed.sha256
        self.signature = signature
        self.own = declared.datasets
        self.included = tuple(included)
        ways = zip(declared.include, included, strict=False)
        self.leads_to = {item: str(layer.path.resolve()) for item, layer in ways if isinstance(item, str)}
        # A file that is included on two ways is one object.
        self._below = tuple({id(below): below for layer in included for below in layer.layers}.values())
        self._owners = {name: layer for layer in reversed(self._below) for name in layer.own if name not in self.own}
        others = {name: layer.own[name] for layer in self._below for name in layer.own if name not in self.own}
        self.datasets: Mapping[str, Entry] = {**self.own, **others}
        self.download_to = declared.download_to
        self.shipped_in = declared.shipped_in
        self.shipped_budget_bytes = declared.shipped_budget_bytes
        self.ignore = declared.ignore
        self._aliases = {name: entry.aliases for name, entry in self.datasets.items()}
        self._parsed, self._formats = parsed, formats

    def __repr__(self) -> str:
        names = [*self.datasets][:NAMES_SHOWN]
        more = ", ..." if len(self.datasets) > len(names) else ""
        return f"<Manifest {self.path}: {', '.join(names)}{more}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: the formats, which are a module, by their name."""
        return {**self.__dict__, "_formats": getattr(self._formats, "__name__", None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was pickled."""
        self.__dict__.update(state, _formats=importlib.import_module(state["_formats"]))

    @property
    def layers(self) -> tuple[Manifest, ...]:
        """This manifest, and all that it includes, whether itself or through another: each file once."""
        return (self, *self._below)

    def owner(self, name: str) -> Manifest:
        """Return the layer whose file declares a data set.

        Raises:
            UnknownName: There is no such data set.
        """
        return self._owners.get(self.name_of(name), self)

    def name_of(self, name: str) -> str:
        """Return the name of the data set of that name or alias, whatever the case of its letters.

        Raises:
            UnknownName: There is none; the error has the nearest name.
        """
        canonical = canonical_name(str(name), self._aliases)
        if canonical is None:
            raise UnknownName(str(name), self.datasets, place=self.path.name)
        return canonical

    def entry(self, name: str) -> Entry:
        """Return the entry of that name or alias.

        Raises:
            UnknownName: There is none; the error has the nearest name.
        """
        return self.datasets[self.name_of(name)]

    def folder(self, name: str) -> str:
        """Return the folder of a data set's files, below that of downloads or of the shipped data."""
        return self.entry(name).folder or self.name_of(name)

    def plain(self, name: str) -> Mapping[str, Any]:
        """Return an entry of this very file, in the plain values that were read."""
        return self._parsed.data["datasets"][name]  # type: ignore[no-any-return]

    def lines_of(self, name: str) -> Any:
        """Return the lines of such an entry, as `ParsedYaml.of_kept` takes them."""
        return self._parsed.lines_below("datasets", name)

    def files_of(self, plan: Plan) -> Mapping[str, FileEntry]:
        """Return the files of a data set, or of the variant of it that a plan is of."""
        entry = self.entry(plan.name)
        return entry.variants[plan.variant].files if plan.variant else entry.files

    def where_of(self, plan: Plan, *keys: str | int) -> str:
        """Return the line of a value of the container that a plan is of: ``where_of(plan, "files", "train.npz")``."""
        return self.where(plan.name, *(("variants", plan.variant) if plan.variant else ()), *keys)

    def files(self) -> Iterator[DeclaredFile]:
        """Yield every file of every data set, in the manifest's order: the same path again where sets share a file."""
        for layer in self.layers:
            yield from layer.own_files()

    def own_files(self) -> Iterator[DeclaredFile]:
        """Yield every file of this layer's own data sets, those of their variants among them."""
        for name, entry in self.own.items():
            of_variants = [(("variants", variant), its.files) for variant, its in entry.variants.items()]
            for at, files in [((), entry.files), *of_variants]:
                for file, facts in files.items():
                    yield DeclaredFile(name, (*at, "files", file), f"{entry.folder or name}/{file}", facts)

    def addresses(self, plan: Plan, file: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield each address of the container that a plan is of, with its line; of a file: whole, mirrors too."""
        files, entry = self.files_of(plan), self.entry(plan.name)
        for path in files if file is None else (file,):
            for i, url in enumerate(files[path].urls):
                yield url, self.where_of(plan, "files", path, "urls", i)
        for i, mirror in enumerate(entry.variants[plan.variant].mirrors if plan.variant else entry.mirrors):
            yield address_on(mirror, file or ""), self.where_of(plan, "mirrors", i)

    def ignores(self, rule: str, dataset: str = "") -> bool:
        """Check whether `audit` leaves out a rule's warnings, of that data set or of all."""
        if dataset in self._owners and rule in self._owners[dataset].ignore:
            return True
        return rule in self.ignore or (dataset in self.datasets and rule in self.datasets[dataset].ignore)

    def where(self, *keys: str | int) -> str:
        """Return the line of a value below `datasets`, to name in an error: ``where("mnist", "format")``."""
        layer = self._owners.get(str(keys[0]), self) if keys else self
        return layer._parsed.where("datasets", *keys)

    def line(self, *keys: str | int) -> int:
        """Return the line of a value of this very file: ``line("datasets", "mnist", "format")``."""
        return self._parsed.line(*keys)

    def where_on_top(self, key: str) -> str:
        """Return the line of a value that stands beside `datasets`: ``where_on_top("shipped_in")``."""
        return self._parsed.where(key)

    def declared(self, name: str) -> Declared:
        """Return what the stages need to know of one data set, and of the manifest that declares it."""
        owner = self.owner(name)
        return Declared(
            manifest=owner.path,
            signature=owner.signature,
            sha256=owner.sha256,
            download_to=owner.download_to,
            shipped_in=owner.shipped_in,
            plan=owner.plan(self.name_of(name)),
            entry=self.entry(name).model_dump(mode="json", exclude_unset=True),
            # Any of them may come to declare the same name, which would be an error.
            included_by={
                str(layer.path): (layer.sha256, layer.signature, layer.leads_to)
                for layer in (() if owner is self else self.layers)
                if layer is not owner
            },
        )

    def plan(self, name: str) -> Plan:
        """Return what a data set declares; where its files are is for `Plan.under` to say."""
        name = self.name_of(name)
        entry = self.datasets[name]
        plain = entry.model_dump(exclude_unset=True, exclude={"variants"})
        variants = []
        for variant, its in entry.variants.items():
            merged = Entry.model_validate(as_entry(plain, its.model_dump(exclude_unset=True)))
            variants.append(replace(self._plan(name, merged, "variants", variant), variant=variant))
        return replace(self._plan(name, entry), variants=tuple(variants))

    def _plan(self, name: str, entry: Entry, *at: str) -> Plan:
        """Return the plan of an entry whose container is declared below these keys of the data set."""
        plain = entry.model_dump(exclude_unset=True)
        shards = {title: self._shards(name, plain, title, at) for title in entry.splits}
        if any(shards.values()):
            plain = first_shards(plain)
            first = {title: SplitEntry.model_validate(split) for title, split in plain["splits"].items()}
            entry = entry.model_copy(update={"splits": first})
        counts = stored_counts(plain)
        forms = rules.forms_of_fields(plain)
        caches = {field: cache_of(plain, field, forms[field], self._formats) for field in entry.fields}
        files = tuple(
            File(
                name=path,
                bytes=file.bytes,
                sha256=file.sha256,
                urls=(*file.urls, *(address_on(mirror, path) for mirror in entry.mirrors)),
                where=self.where(name, *at, "files", path, "sha256"),
            )
            for path, file in entry.files.items()
        )
        return Plan(
            name=name,
            folder=entry.folder or name,
            root=Path(),
            status=entry.status,
            format=entry.format,
            files=files,
            splits=tuple(
                replace(self._split(name, entry, title, counts, caches, at), shards=of_split)
                for title, of_split in shards.items()
            ),
            options=dict(entry.options),
            where=self.where(name, *at),
        )

    def _shards(self, name: str, plain: Mapping[str, Any], title: str, at: Sequence[str]) -> tuple[Shard, ...]:
        """Return the shards of a split of an entry in plain values; none where it is in one file, or in members."""
        return tuple(
            Shard(shard.samples, shard.files, self.where(name, *at, "files", shard.files[0]))
            for shard in shards_of(plain, plain["splits"][title])
        )

    def _split(
        self,
        name: str,
        entry: Entry,
        title: str,
        counts: Mapping[str, int],
        caches: Mapping[str, str],
        at: Sequence[str],
    ) -> Split:
        split = entry.splits[title]
        keys = split.model_dump(exclude_unset=True)
        members: Sequence[str] = split.members or ()
        if members and not split.file and all("file" not in place_of(keys, field) for field in entry.fields):
            members = selected(members, entry.files)  # of files, and not of an archive
        return Split(
            name=title,
            samples=split.samples,
            columns={
                field: replace(
                    self._column(name, entry, title, field, place_of(keys, field), counts),
                    is_encoded=caches[field] == "encoded",
                )
                for field in entry.fields
            },
            file=Path(split.file) if split.file else None,
            members=tuple(members),
            member=member_of(split.member) if members else (),
            where=self.where(name, *at, "splits", title, "samples"),
        )

    def _column(
        self, name: str, entry: Entry, title: str, field: str, place: Mapping[str, Any], counts: Mapping[str, int]
    ) -> Column:
        declared, split = entry.fields[field], entry.splits[title]
        return Column(
            split=title,
            field=field,
            dtype=declared.dtype,
            samples=split.samples,
            shape=declared.shape,
            range=declared.range,
            classes=declared.classes,
            per=declared.per,
            where=self.where(name, "fields", field),
            sha256=declared.sha256.get(title),
            sha256_where=self.where(name, "fields", field, "sha256", title),
            missing=declared.missing,
            missing_value=declared.missing_value,
            values=tuple(place.get("values") or _stored_values(declared)),
            stored=declared.stored or "",
            names=declared.names or (),
            axes=declared.axes,
            factor=declared.scale,
            stored_shape=declared.stored_shape,
            rows=_rows(place, title, field, split, counts, _skipped(entry, place)),
            **_location(place, field),
        )


def _stored_values(declared: FieldEntry) -> tuple[Any, ...]:
    if declared.first is None or declared.classes is None:
        return declared.values
    return tuple(range(declared.first, declared.first + len(declared.classes)))


def _location(place: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return what of a column says where its values are. Alone in its file, a field has no key."""
    return {
        "file": Path(place.get("file", "")),  # the folder, where declared files are the samples
        "key": place.get("key", field),
        "member": member_of(place.get("member")),
        "columns": columns_of(place.get("column")),
        "format": place.get("format", ""),
        "options": place.get("options"),
        "stored_columns": place.get("stored_columns"),
    }


def _skipped(entry: Entry, place: Mapping[str, Any]) -> int:
    """Return how many members are listed as samples and are none."""
    options = entry.options if "format" not in place and "options" not in place else place.get("options", {})
    skipped = options.get("skip")
    return len(skipped) if isinstance(skipped, list) else 0


def _names(of: Literal["members", "rows"], listed: Mapping[str, Any]) -> Names:
    return Names(of, listed.get("match", "name"), listed.get("prefix", ""), listed.get("suffix", ""))


def _rows(
    place: Mapping[str, Any], title: str, field: str, split: SplitEntry, counts: Mapping[str, int], skipped: int
) -> Rows | None:
    rows, shuffle = place.get("rows"), place.get("shuffle")
    if join := place.get("join"):
        of = counts[location(place, field, {"members": split.members})]
        listed = Column(title, field, TEXT, of, **_location(join, field))
        return Rows(of, listed=listed, names=_names("rows", join))
    equals: tuple[Any, ...] = ()
    where, stored = None, place.get("stored_samples", split.samples)
    if isinstance(rows, Mapping) and (declared := rows.get("where")):
        equals = tuple(declared["equals"])
        numbers = "int64" if all(type(value) is int for value in equals) else "float64"
        dtype = TEXT if isinstance(equals[0], str) else numbers
        where = Column(title, field, dtype, stored, **_location(declared, field))
    if isinstance(rows, Mapping) and names_members(rows):
        # The most names that are read: how many of those that are left out are in this list, nobody declared.
        most = stored if where else split.samples + skipped
        names = _names("members", rows)
        if lists := rows.get("all_but"):
            listed_in = [Column(title, field, TEXT, 0, **_location(with_lines(one), field)) for one in lists]
            rules = [_names("members", one) for one in lists]
            without = (Rows(0, listed=one, names=rule) for one, rule in zip(listed_in, rules, strict=True))
            return Rows(stored, names=names, without=tuple(without))
        listed = Column(title, field, TEXT, most, **_location(with_lines(rows), field))
        return Rows(stored, listed=listed, names=names, where=where, equals=equals)
    if rows is None and shuffle is None:
        return None
    order = {"seed": shuffle["seed"], "after": tuple(shuffle.get("after", ()))} if shuffle else {}
    of = counts[location(place, field, {"members": split.members})]
    if where is not None:
        return Rows(of, where=where, equals=equals, **order)
    if isinstance(rows, Mapping):
        listed = Column(title, field, "int64", split.samples, **_location(rows, field))
        return Rows(of, listed=listed, first=rows.get("first", 0), **order)
    start, stop = rows or (0, of)
    return Rows(of, start, stop, **order)
