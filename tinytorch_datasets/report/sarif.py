"""An audit's report as SARIF 2.1.0: a result for each finding, on its line."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tinytorch_datasets._version import HOMEPAGE, VERSION
from tinytorch_datasets.auditing.findings import RULES, ExitCode, Finding, Report
from tinytorch_datasets.report import as_json
from tinytorch_datasets.report.github import inside, manifest_of

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "unknown": "note"}
BASE = "ROOT"


def format_report(report: Report, root: Path) -> bytes:
    """Format a report as a SARIF log. Files are relative to `root`, the folder of the checkout."""
    used = [rule for rule in RULES if any(finding.rule == rule for finding in report.findings)]
    driver = {
        "name": "tinytorch-datasets",
        "version": VERSION,
        "semanticVersion": VERSION,
        **({"informationUri": HOMEPAGE} if HOMEPAGE else {}),
        "rules": [{"id": rule, "shortDescription": {"text": RULES[rule]}} for rule in used],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": report.exit_code != ExitCode.USAGE, "exitCode": report.exit_code}],
        "originalUriBaseIds": {BASE: {"uri": root.as_uri().rstrip("/") + "/"}},
        "columnKind": "unicodeCodePoints",
        "results": list(_results(report, root, used)),
    }
    return as_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}).encode() + b"\n"


def _results(report: Report, root: Path, rules: list[str]) -> Iterator[dict[str, Any]]:
    used: Counter[str] = Counter()
    for finding in report.findings:
        fingerprint = _fingerprint(finding, root)
        used[fingerprint] += 1
        count = used[fingerprint]
        message = "\n".join(filter(None, (finding.dataset and f"{finding.dataset}: {finding.what}", finding.hint)))
        yield {
            "ruleId": finding.rule,
            "ruleIndex": rules.index(finding.rule),
            "level": LEVELS[finding.severity],
            "message": {"text": message or finding.what},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": _artifact(manifest_of(report, finding), root),
                        "region": {"startLine": finding.line},
                    }
                }
            ],
            "partialFingerprints": {"finding/v1": fingerprint if count == 1 else f"{fingerprint}-{count}"},
            "properties": {
                "path": finding.path,
                "expected": _plain(finding.expected),
                "actual": _plain(finding.actual),
            },
        }


def _artifact(path: str, root: Path) -> dict[str, str]:
    relative = inside(path, root)
    if relative == path and Path(path).is_absolute():
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(relative), "uriBaseId": BASE}


def _fingerprint(finding: Finding, root: Path) -> str:
    """Return an id of a finding that stays the same when lines move."""
    about = [finding.rule, finding.dataset, inside(finding.path, root), str(finding.expected)]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
