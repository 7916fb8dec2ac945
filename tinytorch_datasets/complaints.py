"""What does Pydantic complain of, in our words and with a line?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from tinytorch_datasets import declarations
from tinytorch_datasets.declarations import (
    ContractEntry,
    Declarations,
    DuplicatesEntry,
    Entry,
    FieldEntry,
    FileEntry,
    SplitEntry,
)
from tinytorch_datasets.document import Document
from tinytorch_datasets.errors import Problem, did_you_mean

_MODELS: dict[str, type[BaseModel]] = {"files": FileEntry, "fields": FieldEntry, "splits": SplitEntry}


def told(error: ValidationError, document: Document) -> Iterator[Problem]:
    """Pydantic's findings in our words, each with its line."""
    for finding in error.errors(include_url=False):
        keys = tuple(finding["loc"])
        if either := _is_one_of_two(keys, finding["input"], document.data):
            keys = keys[:-1]
        yield document.problem(keys, _in_words(finding, keys, document, either=either))


def _is_one_of_two(keys: tuple[str | int, ...], value: object, data: Any) -> bool:
    """Whether Pydantic put a type behind the path of a value that may be of several; it complains of each by itself."""
    if keys[-1:] not in (("int",), ("float",)):
        return False
    for key in keys[:-1]:
        data = data[key]
    return data is value or not isinstance(data, dict)


def _in_words(finding: Any, keys: tuple[str | int, ...], document: Document, *, either: bool) -> str:
    kind, value, facts = finding["type"], finding["input"], finding.get("ctx", {})
    written = document.written(*keys)
    shown = written if written is not None and not isinstance(value, str) else repr(value)
    if either:  # a whole number or another: of each the same is said, and told once
        return f"must be a number, is {_kind(value)} {shown}"
    match kind:
        case "missing":
            alone = keys[-1] == "sha256" and isinstance(value, dict) and "md5" in value
            return "is missing" + ("; an MD5 may stand beside it, never instead of it" if alone else "")
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(keys[-1]), _model_at(keys[:-1]).model_fields)}"
        case "literal_error":
            allowed = facts["expected"]
            return f"must be {allowed}, is {shown}{did_you_mean(str(value), _choices(allowed))}"
        case "greater_than":
            return f"must be more than {facts['gt']}, is {shown}"
        case "greater_than_equal":
            return f"must be {facts['ge']} or more, is {shown}"
        case "string_type":
            scalar = isinstance(value, int | float) and written is not None
            return f"must be text, is {_kind(value)}" + (f': write "{written}"' if scalar else "")
        case "int_type" | "int_from_float":
            return f"must be a whole number, is {_kind(value)} {shown}"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "too_long":
            return f"must be {facts['max_length']} values, has {facts['actual_length']}"
        case "tuple_type" | "list_type":
            return f"must be a list, is {_kind(value)}"
        case "mapping_type" | "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a mapping of keys to values, is {_kind(value)}"
        case declarations.NOT_A_HASH:
            return str(finding["msg"])
    return f"{finding['msg']}, is {shown}"


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "the number", float: "the number", list: "a list"}
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
        case ("datasets", _, "contract"):
            return ContractEntry
        case ("datasets", _, "contract", "duplicates"):
            return DuplicatesEntry
    return Declarations
