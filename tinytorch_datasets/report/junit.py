"""An audit's report as JUnit XML: a suite a data set, a case a finding or a pass.

JUnit's XML: a suite a data set, a case a finding or a pass.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from functools import partial
from typing import Any

from tinytorch_datasets.auditing.findings import Finding, Report

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
        case = partial(_case, suite, f"datasets.{name or 'all'}", Counter())
        audited = named.get(name)
        if audited is not None:
            whole = case(f"is as declared ({audited.state})")
            if audited.state in ("not downloaded", "not checked"):
                ET.SubElement(whole, "skipped", message=audited.state)
        for finding in found:
            _of_finding(case(f"{finding.rule}: {finding.where or finding.path}"), finding, strict=report.strict)
        for asked in report.addresses:
            if asked.dataset == name and asked.answer == "ok":
                case(f"{asked.url} is as declared")
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


def _of_finding(case: ET.Element, finding: Finding, *, strict: bool) -> None:
    fails = finding.severity == "error" or (strict and finding.severity == "warning")
    told = ET.SubElement(case, "failure" if fails else "skipped", message=_text(finding.what.splitlines()[0]))
    if fails:
        told.set("type", finding.rule)
    facts = {"path": finding.path, "expected": finding.expected, "found": finding.found}
    lines = [str(finding), *(f"{name}: {fact}" for name, fact in facts.items() if fact is not None)]
    told.text = _text("\n".join(lines))


def _case(suite: ET.Element, classname: str, seen: Counter[str], name: str) -> ET.Element:
    """A case of its own name, for readers tell cases by them: the second of a name is told to be the second."""
    seen[name] += 1
    told = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return ET.SubElement(suite, "testcase", classname=classname, name=_text(told))


def _text(value: Any) -> str:
    return str(value).translate(_FORBIDDEN)
