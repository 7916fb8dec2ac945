"""Pydantic's errors in our words, each at its line of the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tinytorch_datasets.errors import Keys, Problem, did_you_mean
from tinytorch_datasets.manifest import values
from tinytorch_datasets.manifest.models import (
    ChecksEntry,
    Declarations,
    DuplicatesEntry,
    Entry,
    FieldEntry,
    FileEntry,
    ListedRowsEntry,
    PlaceEntry,
    ShuffleEntry,
    SplitEntry,
)
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml
from tinytorch_datasets.manifest.yaml_syntax import plain

_MODELS: dict[str, type[BaseModel]] = {"files": FileEntry, "fields": FieldEntry, "splits": SplitEntry}
CREDENTIALS = ("storage_options", "client_kwargs", "credentials", "token", "key", "secret", "password")
_TAGS = (values.AS_WORDS, values.AS_MAPPING)


ITEMS_SHOWN = 5


def translate(error: ValidationError, parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield Pydantic's errors as problems of the manifest, in its words, each with its line."""
    # What is empty only because nothing in it is right is not empty.
    findings = [f for f in error.errors(include_url=False) if f["type"] != "too_short" or not f["input"]]
    for finding in findings:
        finding["loc"] = tuple(key for key in finding["loc"] if key not in _TAGS)
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
            if keys[-1] in CREDENTIALS:
                return "unknown key; credentials are of the store's own configuration, and never in a manifest"
            return f"unknown key{did_you_mean(str(keys[-1]), _model_at(keys[:-1]).model_fields)}"
        case "literal_error":
            allowed = facts["expected"]
            guess = did_you_mean(str(value), _choices(allowed)) if str(value) not in _choices(allowed) else ""
            return f"must be {allowed}, is {shown}{guess}"
        case "greater_than":
            return f"must be more than {facts['gt']}, is {shown}"
        case "less_than":
            return f"must be less than {facts['lt']}, is {shown}"
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
        case values.NOT_A_HASH | values.NOT_SUCH_VALUES:
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
        case ("datasets", _, "splits", _, "shuffle") | ("datasets", _, "splits", _, _, "shuffle"):
            return ShuffleEntry
        case ("datasets", _, "splits", _, "rows") | ("datasets", _, "splits", _, _, "rows"):
            return ListedRowsEntry
        case ("datasets", _, "splits", _, _):
            return PlaceEntry
        case ("datasets", _, "checks"):
            return ChecksEntry
        case ("datasets", _, "checks", "duplicates"):
            return DuplicatesEntry
    return Declarations
