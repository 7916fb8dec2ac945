"""Reports of an audit, each as its readers take them.

    people      a table and sentences, on a terminal
    github      annotations on the manifest's lines, and a summary table
    junit       XML, as test runners write it
    sarif       JSON, as code scanners write it

Each makes text of a `findings.Report`, and writes nothing itself.
"""

from __future__ import annotations

import json
import math
from typing import Any


def as_json(value: Any) -> str:
    """Plain values as JSON that every reader takes: numbers it has no words for are told as strings.

    >>> print(as_json({"found": math.nan}))
    {
      "found": "nan"
    }
    """
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
