"""The JSON Schema of a manifest.

Made from the models and from the formats' own options, so that an editor completes and checks exactly what
`load_manifest` accepts, as far as JSON Schema can say it.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from tinytorch_datasets import formats
from tinytorch_datasets.manifest.models import Declarations

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of `datasets.yaml`.

    >>> schema()["title"]
    'datasets.yaml of tinytorch-datasets'
    """
    made = TypeAdapter(Declarations).json_schema()
    entry = made["$defs"]["Entry"]
    entry["properties"]["format"] |= {"enum": list(formats.known())}
    entry["allOf"] = [
        {
            "if": {"properties": {"format": {"const": name}}, "required": ["format"]},
            "then": {"properties": {"options": _options(name)}},
        }
        for name in formats.known()
    ]
    return {"$schema": DIALECT, **made, "title": "datasets.yaml of tinytorch-datasets"}


def text() -> str:
    """The schema as it is committed: JSON with a newline at its end."""
    return json.dumps(schema(), indent=2) + "\n"


def _options(name: str) -> dict[str, Any]:
    form = formats.of(name)
    return {
        "description": form.summary,
        "properties": {option: TypeAdapter(kind).json_schema() for option, kind in form.options.items()},
        "required": sorted(form.required),
        "additionalProperties": False,
    }
