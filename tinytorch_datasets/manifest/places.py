"""Where the values of each field are: its file, format and rows; their rules.

In a split, a field's place is a name or a mapping, and what a split says is of all its fields. All of it is read here,
as plain data: for the rules, and for the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from tinytorch_datasets.errors import DecodeError, Keys, Problems, did_you_mean
from tinytorch_datasets.manifest.filenames import mapping, repeats, selected, why_unsafe
from tinytorch_datasets.manifest.format_options import Formats, check_columns, check_options, why_unknown
from tinytorch_datasets.manifest.models import SplitEntry
from tinytorch_datasets.plan import COLUMN_RANGE, MOST_MEMBER_PATH

# What no data set needs, and no computer holds: NumPy counts bytes in 64 bits.
MOST_SAMPLES = 10**12
# What is shuffled, or listed, is in memory at once: 8 bytes for the position of each.
MOST_SHUFFLED = 10**8
# What a table has no more of, so that a range of them is no bomb.
MOST_COLUMNS = 1 << 20

SPLIT_KEYS = tuple(SplitEntry.model_fields)
_SELECTION = frozenset({"rows", "shuffle", "stored_samples"})
_Places = Mapping[str, Mapping[str, Any]]


def place_of(split: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return where one field of a split is, by the keys of the long form, with what the split says of all its fields.

    >>> place_of({"samples": 9, "file": "a.npz", "images": "x", "rows": [0, 9]}, "images")
    {'key': 'x', 'file': 'a.npz', 'rows': [0, 9]}
    >>> place_of({"samples": 9, "images": "x.npy"}, "images")
    {'file': 'x.npy'}
    """
    own, file = split.get(field), split.get("file")
    place: dict[str, Any] = {}
    if isinstance(own, str):
        place = {"key" if file is not None or split.get("members") is not None else "file": own}
    elif isinstance(own, Mapping):
        place = {key: value for key, value in own.items() if value is not None}
    if "file" not in place and file is not None:
        place["file"] = file
        if split.get("member") is not None:
            place.setdefault("member", split["member"])
    for key in _SELECTION:
        if split.get(key) is not None:
            place.setdefault(key, split[key])
    of_file: dict[str, Any] = {key: place[key] for key in ("file", "member") if key in place}
    of_form: dict[str, Any] = {key: place[key] for key in ("format", "options") if key in place}
    if isinstance(rows := place.get("rows"), Mapping):
        place["rows"] = rows = _in_file(rows, place)
        if isinstance(where := rows.get("where"), Mapping):
            listed: dict[str, Any] = {key: rows[key] for key in ("file", "member", "format", "options") if key in rows}
            beside = listed or {**of_file, **of_form}
            place["rows"] = {**rows, "where": where if "file" in where else {**beside, **where}}
        if isinstance(lists := rows.get("all_but"), list | tuple):
            place["rows"] = {**rows, "all_but": [_in_file(mapping(one), place) for one in lists]}
    if isinstance(join := place.get("join"), Mapping):
        join = {key: value for key, value in join.items() if value is not None}
        place["join"] = join if "file" in join else {**of_file, **of_form, **join}
    return place


def _in_file(listed: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a list is; one that names a member alone is in the file of the place."""
    own = {key: value for key, value in listed.items() if value is not None}
    return {"file": place["file"], **own} if "member" in own and "file" in place else own


def names_members(rows: Any) -> bool:
    """Check whether rows are a list of the names of members, or all but those."""
    return isinstance(rows, Mapping) and (rows.get("match") is not None or bool(rows.get("all_but")))


def stored_counts(entry: Mapping[str, Any]) -> dict[str, int]:
    """Return how many samples are stored at each place, by `location`: as declared, or as far as any rows go."""
    counts: dict[str, int] = {}
    splits = [mapping(split) for split in mapping(entry.get("splits")).values()]
    bodies = [body for split in splits for body in (split, *map(mapping, split.values()))]
    if all((_SELECTION | {"join"}).isdisjoint(body) for body in bodies):
        return counts
    for split in splits:
        for field in mapping(entry.get("fields")):
            place = place_of(split, field)
            rows, end = place.get("rows") if "join" not in place else None, split.get("samples")
            if isinstance(rows, list | tuple):
                end = rows[-1] if rows else None
            declared = place.get("stored_samples")
            counted = declared if isinstance(declared, int) else end
            if isinstance(counted, int):
                at = location(place, field, split)
                counts[at] = max(counts.get(at, 0), counted)
    return counts


def location(place: Mapping[str, Any], field: str, split: Mapping[str, Any]) -> str:
    """Return what names the place of a field inside the files of its data set, whichever rows of it are taken."""
    of_file = (place.get("file"), place.get("member"), list(split.get("members") or ()))
    return repr((*of_file, place.get("key", field), place.get("column")))


def member_of(member: Any) -> tuple[str, ...]:
    """Return the path of a member inside archives, which may be written as its name alone."""
    return () if member is None else (member,) if isinstance(member, str) else tuple(member)


def check_splits(entry: dict[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with an entry's splits, and with the places of their fields."""
    fields, files = mapping(entry.get("fields")), mapping(entry.get("files"))
    counts = stored_counts(entry)
    same: dict[str, str] = {}
    for name, split in mapping(entry.get("splits")).items():
        at: Keys = ("splits", name)
        if not isinstance(split, dict):
            continue
        if isinstance(split.get("samples"), int) and split["samples"] > MOST_SAMPLES:
            yield (*at, "samples"), f"must be {MOST_SAMPLES:,} or fewer, is {split['samples']:,}"
        where = {key: value for key, value in split.items() if key != "samples"}
        other = same.setdefault(repr(sorted(where.items(), key=repr)), name)
        if other != name:
            yield at, f"is where {other!r} is: the same file, and the same places in it"
        for key in [key for key in split if key not in fields and key not in SPLIT_KEYS]:
            yield (*at, key), f"no field of that name{did_you_mean(key, [*fields, *SPLIT_KEYS])}"
        for keys, what in _check_location(split, files):
            yield (*at, *keys), what
        for keys, what in _check_members(entry, split, formats):
            yield (*at, *keys), what
        for keys, what in _layout(entry, split, formats):
            yield (*at, *keys), what
        met: set[Keys] = set()
        selects = not split.keys().isdisjoint(_SELECTION | {"member"})
        placed = fields if selects else fields.keys() & split.keys()
        # Of a split, and not for each of its fields.
        samples = cache(partial(_sample_fields, entry, split, formats)) if placed else dict
        for field in placed:
            for keys, what in _check_place(entry, split, field, formats, counts, samples):
                if keys not in met:  # what the split says of all its fields is wrong once
                    met.add(keys)
                    yield (*at, *keys), what


def _members_are_files(entry: Mapping[str, Any], split: Mapping[str, Any], formats: Formats) -> bool:
    """Check whether the members that a split names are declared files, because nothing in it names an archive."""
    name, fields = entry.get("format"), mapping(entry.get("fields"))
    if "file" in split or (fields and all("file" in place_of(split, field) for field in fields)):
        return False
    form = formats.of(name) if isinstance(name, str) and name in formats.known() else None
    return bool(form and (form.joins_members or form.layout == "members")) or _is_sample(entry, {}, formats)


def _check_members(entry: Mapping[str, Any], split: Mapping[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with the members that a split names, which may be declared files if it names no archive."""
    members, files = split.get("members"), mapping(entry.get("files"))
    are_files = bool(members) and _members_are_files(entry, split, formats)
    sound: list[str] = []
    yield from ((("members", i), what) for i, what in repeats(members, "member"))
    for i, member in enumerate(members if isinstance(members, list) else ()):
        if not isinstance(member, str):
            continue
        is_pattern = "*" in member
        some = member.replace("*", "x") if is_pattern else member
        if wrong := why_unsafe(some):
            yield ("members", i), wrong.replace(repr(some), repr(member))
        elif is_pattern and any("**" in part and part != "**" for part in member.split("/")):
            yield ("members", i), f"has two stars that do not stand alone between slashes: {member!r}"
        elif are_files and not (selected([member], files) if is_pattern else member in files):
            is_not = "matches no file" if is_pattern else "is not"
            yield ("members", i), f"{member!r} {is_not} under files{did_you_mean(member, files)}"
        else:
            sound.append(member)
    if are_files and len(sound) > 1:
        try:
            selected(sound, files)
        except DecodeError as error:
            yield ("members",), error.reason


def _check_location(body: Mapping[str, Any], files: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the file and the member that a body names."""
    file = body.get("file")
    if isinstance(file, str) and file not in files:
        yield ("file",), f"{file!r} is not under files{did_you_mean(file, files)}"
    for member in member_of(body["member"]) if isinstance(body.get("member"), str | list) else ():
        if isinstance(member, str) and (wrong := why_unsafe(member)):
            yield ("member",), wrong
    if isinstance(body.get("member"), list) and len(body["member"]) > MOST_MEMBER_PATH:
        inside = "two archives inside of the file, and a member"
        yield ("member",), f"has {len(body['member'])} names, and the most is {MOST_MEMBER_PATH}: {inside}"
    column = body.get("column")
    for ends in (COLUMN_RANGE.fullmatch(str(item)) for item in (column if isinstance(column, list) else (column,))):
        if ends and not int(ends[1]) <= int(ends[2]) < MOST_COLUMNS:
            yield ("column",), f"the range {ends[0]} has no columns, or more than {MOST_COLUMNS:,}"


def _layout(entry: Mapping[str, Any], split: Mapping[str, Any], formats: Formats) -> Problems:
    """Yield which fields of a split name no file, or one where their format has several."""
    fields, files, name = mapping(entry.get("fields")), mapping(entry.get("files")), entry.get("format")
    if "members" in split and _members_are_files(entry, split, formats):
        # The members are declared files, unless fields name archives of their own: then each does.
        placed = {field: place_of(split, field) for field in fields}
        bare = [field for field, place in placed.items() if "file" not in place]
        no_file = [field for field in bare if len(bare) < len(placed) or "format" in placed[field]]
        yield from (((), f"names no file for the field {field!r}") for field in no_file)
        return
    long = {field: body for field, body in split.items() if isinstance(body, dict) and field in fields}
    short = fields.keys() - long.keys() if isinstance(name, str) and name in formats.known() else set()
    if short and formats.of(str(name)).layout == "file per field":
        if "file" in split and "member" not in split:
            yield ("file",), f"format {name!r} has a file for each field: name them as `field: file`"
        else:
            yield from (((), f"names no file for the field {field!r}") for field in short - split.keys())
    elif short and "file" not in split and any(split.get(field) not in files for field in short):
        yield (), f"names no file: format {name!r} has all fields of a split in one"
    for field in long:
        if "file" not in place_of(split, field):
            yield (field,), f"names no file for the field {field!r}"


def _check_place(
    entry: Mapping[str, Any],
    split: Mapping[str, Any],
    field: str,
    formats: Formats,
    counts: Mapping[str, int],
    samples_of: Callable[[], _Places],
) -> Problems:
    """Yield what is wrong with the place of one field, at the path below the split of what says it."""
    own, files = split.get(field), mapping(entry.get("files"))
    body = own if isinstance(own, dict) else {}

    def at(key: str) -> Keys:
        return (field, key) if key in body else (key,)

    place = place_of(split, field)
    if isinstance(own, str) and "file" not in split and "members" not in split and own not in files:
        yield (field,), f"{own!r} is not under files{did_you_mean(own, files)}"
    for keys, what in _check_location(body, files):
        yield (field, *keys), what
    name = place.get("format", entry.get("format"))
    if isinstance(name, str) and ("format" in body or "options" in body):
        if wrong := why_unknown(name, formats):
            yield at("format"), wrong
        else:
            for keys, what in check_options(name, formats, body, (field,), mapping(entry.get("splits"))):
                yield (field, *keys), what
    if name in formats.known():
        declared = mapping(mapping(entry.get("fields")).get(field))
        yield from (((field, *keys), what) for keys, what in check_columns(body, declared, str(name), formats))
    if isinstance(place.get("join"), Mapping):
        for keys, what in _check_join(entry, body, field, place["join"], formats, samples_of()):
            yield (field, *keys), what
        return
    if not (place.keys() & _SELECTION):
        return
    if mapping(mapping(entry.get("fields")).get(field)).get("per") == "split":
        key = min(place.keys() & _SELECTION)
        yield at(key), f"a split has one {field!r}, of which there are no rows"
        return
    rows, samples = place.get("rows"), split.get("samples")
    if isinstance(rows, Mapping) and isinstance(rows.get("where"), Mapping):
        for keys, what in _check_where(entry, rows["where"], formats):
            yield (*at("rows"), "where", *keys), what
        if "stored_samples" not in place:
            yield at("rows"), "depends on a column, so `stored_samples` has to say how many rows that has"
    if names_members(rows):
        for keys, what in _check_names(entry, body, field, place, formats, samples_of()):
            yield (*at("rows"), *keys), what
        return
    stored = counts.get(location(place, field, split))
    yield from _check_shuffled(place, at, stored)
    if isinstance(rows, dict):
        for key in rows.keys() & {"prefix", "suffix"}:
            yield (*at("rows"), key), "is of names, so `match` has to say what of them is compared"
        if "where" in rows:
            yield from (((*at("rows"), key), "has no meaning beside `where`") for key in rows.keys() - {"where"})
            return
        for keys, what in _check_location(rows, files):
            yield (*at("rows"), *keys), what
        yield from (((*at("rows"), *keys), what) for keys, what in _check_list(entry, rows, formats))
        if "stored_samples" not in place:
            yield at("rows"), "is a list in a file, so `stored_samples` has to say how many samples are stored"
        return
    if isinstance(rows, list) and len(rows) == 2 and all(type(end) is int for end in rows):
        if not 0 <= rows[0] < rows[1]:
            yield at("rows"), f"goes from the first row to before the second number, so {rows} has none"
            return
        taken = rows[1] - rows[0]
    else:
        rows, taken = None, stored
    if isinstance(stored, int) and rows and rows[1] > stored:
        yield at("rows"), f"ends at {rows[1]:,}, and {stored:,} samples are stored"
    elif isinstance(samples, int) and isinstance(taken, int) and taken != samples:
        key = "rows" if rows else "stored_samples"
        yield at(key), f"has {taken:,} samples, and the split declares {samples:,}"


def _check_shuffled(place: Mapping[str, Any], at: Callable[[str], Keys], stored: Any) -> Problems:
    """Yield whether more is shuffled, or put into the order of a list, than a memory holds."""
    shuffle, after = place.get("shuffle"), mapping(place.get("shuffle")).get("after")
    if shuffle is None and not isinstance(place.get("rows"), Mapping):
        return
    counts = [count for count in (stored, *(after if isinstance(after, list) else ())) if isinstance(count, int)]
    if sum(counts) > MOST_SHUFFLED:
        key = "rows" if shuffle is None else "shuffle"
        yield at(key), f"puts {sum(counts):,} samples into another order, and the most is {MOST_SHUFFLED:,}"


def _is_sample(entry: Mapping[str, Any], place: Mapping[str, Any], formats: Formats) -> bool:
    """Check whether the samples of a field are a member each."""
    name = place.get("format", entry.get("format"))
    return isinstance(name, str) and name in formats.known() and formats.of(name).layout == "file per sample"


def _sample_fields(entry: Mapping[str, Any], split: Mapping[str, Any], formats: Formats) -> dict[str, dict[str, Any]]:
    """Return the places of the fields of a split whose samples are a member each."""
    places = {field: place_of(split, field) for field in mapping(entry.get("fields"))}
    return {field: place for field, place in places.items() if _is_sample(entry, place, formats)}


def _check_names(
    entry: Mapping[str, Any],
    own: Mapping[str, Any],
    field: str,
    place: Mapping[str, Any],
    formats: Formats,
    samples: _Places,
) -> Problems:
    """Yield what is wrong with a list of the names of members, which says which of them a split has."""
    rows = place["rows"]
    if not samples or ("rows" in own and field not in samples):
        yield (), "is a list of names of members, and no sample of this field is a member"
        return
    if field in samples and any(other.get("rows") != rows for other in samples.values()):
        yield (), "is of all fields of the split whose samples are members, so write it beside them"
    if "shuffle" in place:
        yield (), "is a list of names, which are not shuffled"
    if "first" in rows:
        yield ("first",), "is of positions, and the list has names"
    if rows.get("all_but"):
        yield from (((key,), "has no meaning beside `all_but`") for key in rows.keys() - {"all_but"})
        lists = rows["all_but"] if isinstance(rows["all_but"], list | tuple) else ()
        for i, one in enumerate(map(mapping, lists)):
            yield from ((("all_but", i, *at), what) for at, what in _check_location(one, mapping(entry.get("files"))))
            yield from ((("all_but", i, *at), what) for at, what in _check_list(entry, with_lines(one), formats))
        return
    yield from _check_location(rows, mapping(entry.get("files")))
    yield from _check_list(entry, with_lines(rows), formats)


def _check_where(entry: Mapping[str, Any], where: Mapping[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with the column that says which samples a split has."""
    yield from _check_location(where, mapping(entry.get("files")))
    yield from _check_list(entry, where, formats)
    equals = where.get("equals")
    if isinstance(equals, list) and len({isinstance(value, str) for value in equals}) > 1:
        yield ("equals",), "has texts and numbers, and a column has one of them"


def _check_join(
    entry: Mapping[str, Any],
    own: Mapping[str, Any],
    field: str,
    join: Mapping[str, Any],
    formats: Formats,
    samples: _Places,
) -> Problems:
    """Yield what is wrong with a table whose rows belong to samples by the names of their members."""
    if field in samples or not samples:
        yield ("join",), "is of a field in a table, in a split with another field whose samples are members"
    for key in ("rows", "shuffle"):
        if key in own:
            yield (key,), "has no meaning beside `join`, which says which row each sample has"
    yield from ((("join", *keys), what) for keys, what in _check_location(join, mapping(entry.get("files"))))
    yield from ((("join", *keys), what) for keys, what in _check_list(entry, join, formats))


def with_lines(rows: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a list of names is; without a format it is a text, with one name in each line."""
    if "format" in rows:
        return rows
    return {**rows, "format": "csv", "options": {"header": False, "delimiter": "\t", **mapping(rows.get("options"))}}


def _check_list(entry: Mapping[str, Any], rows: Mapping[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with a list of rows, but for its file and its member."""
    if rows.get("file") is None:
        yield (), "names no file for the list"
    name = rows.get("format", entry.get("format"))
    if isinstance(name, str):
        if wrong := why_unknown(name, formats):
            yield ("format",), wrong
        else:
            yield from check_options(name, formats, rows, ("rows",), mapping(entry.get("splits")))
            if formats.of(name).layout in ("file per sample", "members"):
                yield ("format",), f"format {name!r} has several members in one archive, and a list is one"
            yield from check_columns(rows, {}, name, formats)
