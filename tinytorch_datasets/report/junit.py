"""An audit's report as JUnit XML: a case for each finding or pass."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from functools import partial
from typing import Any

from tinytorch_datasets.auditing.findings import Finding, Report

# Characters that XML 1.0 cannot carry at all.
_FORBIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), "?")


def format_report(report: Report) -> bytes:
    """Format a report as an XML document."""
    suites = ET.Element("testsuites", name="tinytorch-datasets audit")
    named = {audited.name: audited for audited in report.datasets}
    others = dict.fromkeys(finding.dataset for finding in report.findings if finding.dataset not in named)
    totals = {"tests": 0, "failures": 0, "skipped": 0}
    for name in (*named, *others):
        findings = [finding for finding in report.findings if finding.dataset == name]
        suite = ET.SubElement(suites, "testsuite", name=name or "all data sets")
        case = partial(_case, suite, f"datasets.{name or 'all'}", Counter())
        audited = named.get(name)
        if audited is not None:
            whole = case(f"is as declared ({audited.state})")
            if audited.state in ("not downloaded", "not checked"):
                ET.SubElement(whole, "skipped", message=audited.state)
        for finding in findings:
            _add_outcome(case(f"{finding.rule}: {finding.where or finding.path}"), finding, strict=report.strict)
        for probe in report.addresses:
            if probe.dataset == name and probe.state == "ok":
                case(f"{probe.url} is as declared")
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


def _add_outcome(case: ET.Element, finding: Finding, *, strict: bool) -> None:
    fails = finding.severity == "error" or (strict and finding.severity == "warning")
    outcome = ET.SubElement(case, "failure" if fails else "skipped", message=_xml_text(finding.what.splitlines()[0]))
    if fails:
        outcome.set("type", finding.rule)
    facts = {"path": finding.path, "expected": finding.expected, "actual": finding.actual}
    lines = [str(finding), *(f"{name}: {fact}" for name, fact in facts.items() if fact is not None)]
    outcome.text = _xml_text("\n".join(lines))


def _case(suite: ET.Element, classname: str, used: Counter[str], name: str) -> ET.Element:
    """Add a case with a name of its own, by which readers tell cases apart: the second is numbered."""
    used[name] += 1
    unique = name if used[name] == 1 else f"{name} ({used[name]})"
    return ET.SubElement(suite, "testcase", classname=classname, name=_xml_text(unique))


def _xml_text(value: Any) -> str:
    return str(value).translate(_FORBIDDEN)
