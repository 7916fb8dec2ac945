"""Types of a manifest's values: numbers, digests, lists of words.

Each is a type for Pydantic, with what is wrong with a value in our words, and with its own JSON Schema where Pydantic's
would say something else.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from tinytorch_datasets.plan import NEVER

NOT_A_HASH: Final = "not_a_hash"
NOT_THE_VERSION: Final = "literal_error"
NOT_SUCH_VALUES: Final = "not_such_values"

# Where a value is text or a mapping, Pydantic puts into its path which of the two it took it for.
AS_WORDS: Final = "<words>"
AS_MAPPING: Final = "<mapping>"


def _hex(digits: int, kind: str) -> Any:
    def check(value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            problem = "YAML reads it as a number, put it in quotes"
        elif not isinstance(value, str):
            problem = f"{digits} lowercase hex digits"
        elif len(value) != digits:
            problem = f"{digits} lowercase hex digits, has {len(value)} characters"
        elif value.strip("0123456789abcdef"):
            problem = f"{digits} lowercase hex digits" + (", has uppercase" if value != value.lower() else "")
        else:
            return value
        raise PydanticCustomError(NOT_A_HASH, f"not {kind}: {problem}")

    return BeforeValidator(check)


def _hex_schema(digits: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^[0-9a-f]{{{digits}}}$"})


def _whole(value: object) -> object:
    # For Python, and so for Pydantic, 1 is True and 1.0 as well.
    if type(value) is not int:
        raise PydanticCustomError(NOT_THE_VERSION, "not the version", {"expected": "1"})
    return value


def _day_or_never(value: object) -> object:
    try:
        if value != NEVER:
            date.fromisoformat(str(value))
    except ValueError:
        wish = "a day (2026-11-29), or never"
        raise PydanticCustomError(NOT_SUCH_VALUES, f"must be {wish}, is {{shown}}", {"shown": repr(value)}) from None
    return value


Version = Annotated[Literal[1], BeforeValidator(_whole)]
Sha256 = Annotated[str, _hex(64, "a sha256"), _hex_schema(64)]
Md5 = Annotated[str, _hex(32, "an MD5"), _hex_schema(32)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
# Pydantic puts the bound of a number of two types where JSON Schema knows none.
Factor = Annotated[int | float, Field(gt=0), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
Ratio = Annotated[int | float, Field(ge=1), WithJsonSchema({"type": "number", "minimum": 1})]
Words = Annotated[str, Field(min_length=1)]
Tried = Annotated[
    str,
    BeforeValidator(_day_or_never),
    WithJsonSchema({"type": "string", "pattern": f"^({NEVER}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})$"}),
]


def _scalars(kinds: tuple[type, ...], wish: str, *, one: bool = False) -> Any:
    """Make what checks a list of values of those types; with `one`, a single value is a list of it."""

    def check(value: object) -> object:
        items = [value] if one and not isinstance(value, list | tuple) else value
        if not isinstance(items, list | tuple) or not items or not all(type(item) in kinds for item in items):
            raise PydanticCustomError(NOT_SUCH_VALUES, f"must be {wish}, is {{shown}}", {"shown": repr(value)})
        return tuple(items)

    return BeforeValidator(check)


def kind(value: object) -> str:
    """Return whether a value is a mapping, or is to be text."""
    return AS_MAPPING if isinstance(value, dict | BaseModel) else AS_WORDS


def _list_schema(types: list[str], *, one: bool = False) -> WithJsonSchema:
    many = {"type": "array", "items": {"type": types}, "minItems": 1}
    return WithJsonSchema({"anyOf": [{"type": types}, many]} if one else many)


StoredValues = Annotated[
    tuple[Any, ...],
    _scalars((str, int, float, bool), "a list of texts or numbers"),
    _list_schema(["string", "number", "boolean"]),
]
ColumnNames = Annotated[
    tuple[Any, ...],
    _scalars((str, int), 'a column\'s name or number, or a list of those and of ranges ("0-12")', one=True),
    _list_schema(["string", "integer"], one=True),
]
MemberPath = Annotated[
    tuple[Any, ...],
    _scalars((str,), "a member's name, or a list: an archive's, and that of a member in it", one=True),
    _list_schema(["string"], one=True),
]
WordList = Annotated[tuple[Words, ...], Strict(False)]
FilledWordList = Annotated[tuple[Words, ...], Field(min_length=1), Strict(False)]
