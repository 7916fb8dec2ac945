"""What does a test runner's reader see of an audit? JUnit's XML: a suite a data set, a case a finding or a pass."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import count
from typing import Any

from tinytorch_datasets.findings import Finding, Report

# Characters that XML 1.0 cannot carry at all.
_FORBIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), "?")


def written(report: Report) -> bytes:
    """The report as an XML document."""
    suites = ET.Element("testsuites", name="tinytorch-datasets audit")
    named = {audited.name: audited for audited in report.datasets}
    others = dict.fromkeys(finding.dataset for finding in report.findings if finding.dataset not in named)
    totals = {"tests": 0, "failures": 0, "skipped": 0}
    for name in (*named, *others):
        found = [finding for finding in report.findings if finding.dataset == name]
        suite = ET.SubElement(suites, "testsuite", name=name or "all data sets")
        audited = named.get(name)
        if audited is not None:
            case = _case(suite, name, f"is as declared ({audited.state})")
            if audited.state in ("not here", "not looked at"):
                ET.SubElement(case, "skipped", message=audited.state)
        for finding in found:
            _of_finding(suite, name, finding, strict=report.strict)
        for asked in report.addresses:
            if asked.dataset == name and asked.answer == "as declared":
                _case(suite, name, f"{asked.url} is as declared")
        counts: dict[str, int] = {
            "tests": len(suite.findall("testcase")),
            "failures": len(suite.findall("testcase/failure")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        suite.attrib.update({key: str(count) for key, count in counts.items()}, errors="0")
        totals = {key: totals[key] + count for key, count in counts.items()}
    suites.attrib.update({key: str(count) for key, count in totals.items()}, errors="0")
    ET.indent(suites)
    body: bytes = ET.tostring(suites, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body + b"\n"


def _of_finding(suite: ET.Element, name: str, finding: Finding, *, strict: bool) -> None:
    case = _case(suite, name, f"{finding.rule}: {finding.where or finding.path}")
    fails = finding.severity == "error" or (strict and finding.severity == "warning")
    told = ET.SubElement(case, "failure" if fails else "skipped", message=_text(finding.what.splitlines()[0]))
    if fails:
        told.set("type", finding.rule)
    facts = {"path": finding.path, "expected": finding.expected, "found": finding.found}
    lines = [str(finding), *(f"{name}: {fact}" for name, fact in facts.items() if fact is not None)]
    told.text = _text("\n".join(lines))


def _case(suite: ET.Element, dataset: str, name: str) -> ET.Element:
    names = {case.get("name") for case in suite}
    alike = next(n for n in count(1) if _numbered(name, n) not in names)
    return ET.SubElement(suite, "testcase", classname=f"datasets.{dataset or 'all'}", name=_numbered(name, alike))


def _numbered(name: str, alike: int) -> str:
    """Readers tell cases by their names: the second of a name is told to be the second."""
    return _text(name if alike == 1 else f"{name} ({alike})")


def _text(value: Any) -> str:
    return str(value).translate(_FORBIDDEN)
