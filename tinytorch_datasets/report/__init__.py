"""Reports of an audit, each as its readers take them.

    console     a table and sentences, on a terminal
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
    """Format plain values as JSON that every reader takes: NaN and infinities become strings.

    >>> print(as_json({"actual": math.nan}))
    {
      "actual": "nan"
    }
    """
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
