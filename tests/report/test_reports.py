"""Reports: what other programs make of an audit."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import junitparser
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.audit_world import World, copied
from tests.helpers.faulty_server import free_port
from tests.helpers.yardstick import soon
from tinytorch_datasets import audit, errors
from tinytorch_datasets.auditing.audit import unusable
from tinytorch_datasets.auditing.findings import RULES, Finding, Report
from tinytorch_datasets.cli import main
from tinytorch_datasets.report import github, junit, sarif


@pytest.fixture
def world(pristine: World, tmp_path: Path) -> World:
    """A world in which one thing of each gravity is wrong: an error, a warning, an address that is silent."""
    own = copied(pristine, tmp_path / "world")
    own.flip(own.file("flowers/train.csv"))
    own.edit("title: Talk", 'title: "?"')
    own.edit("https://mirror.invalid/\n", f"http://127.0.0.1:{free_port()}/\n")
    own.edit("      - https://mirror.invalid/digits/\n", "")
    return own


@pytest.fixture
def report(world: World) -> Report:
    """The audit of that world."""
    return audit(manifest=world.manifest, levels=["manifest", "shipped", "cached", "remote"])


def test_the_report_itself(report: Report) -> None:
    """One finding, some advice (an open title, a single http mirror), four silent addresses; exit 1."""
    kinds = [finding.severity for finding in report.findings]

    assert (report.exit_code, report.ok) == (1, False)
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"error": 1, "warning": 3, "unknown": 4}


class TestJson:
    """Plain values, and everything."""

    def test_it_has_what_the_report_has(self, report: Report) -> None:
        """Each finding with file, line, expected, found and hint."""
        output = json.loads(json.dumps(report.as_dict()))
        grave = next(finding for finding in output["findings"] if finding["severity"] == "error")

        assert (output["exit_code"], len(output["findings"]), len(output["addresses"])) == (1, 8, 4)
        assert sorted(grave) == [
            "actual", "dataset", "expected", "hint", "line", "path", "rule", "severity", "what", "where"]  # fmt: skip
        assert re.fullmatch(r"[0-9a-f]{64}", grave["expected"])
        assert re.fullmatch(r"[0-9a-f]{64}", grave["actual"])


class TestJunit:
    """XML that any reader of test results takes."""

    def test_a_standard_parser_reads_it(self, report: Report, tmp_path: Path) -> None:
        """A suite a data set; a failure is an error, a warning is skipped, what is well passes."""
        path = tmp_path / "audit.xml"
        path.write_bytes(junit.format_report(report))
        suites = {suite.name: suite for suite in junitparser.JUnitXml.fromfile(str(path))}

        assert list(suites) == ["flowers", "talk", "digits"]
        assert {name: (s.tests, s.failures, s.skipped) for name, s in suites.items()} == {
            "flowers": (2, 1, 0), "talk": (2, 0, 1), "digits": (7, 0, 6)}  # fmt: skip
        failed = [case for case in suites["flowers"] if case.result]
        assert failed[0].name.startswith("file-hash: datasets.yaml:")
        assert "declared is" in failed[0].result[0].text

    def test_its_counts_are_those_of_its_cases(self, report: Report) -> None:
        """In each suite and in all, counted by another parser."""
        root = ET.fromstring(junit.format_report(report))

        for element in (root, *root.findall("testsuite")):
            assert int(element.get("tests", -1)) == len(element.findall(".//testcase"))
            assert int(element.get("failures", -1)) == len(element.findall(".//failure"))
            assert int(element.get("skipped", -1)) == len(element.findall(".//skipped"))

    def test_characters_that_xml_cannot_carry_are_written_out(self, tmp_path: Path) -> None:
        """A file's name, or a mirror's words, may have any."""
        error = errors.ManifestError(tmp_path / "m.yaml", [errors.Problem(1, "a", "has \x00 and \x1b and <&>\ufffe")])
        root = ET.fromstring(junit.format_report(unusable(error)))

        assert root.find(".//failure").get("message") == "a: has \\x00 and \\x1b and <&>\\ufffe"  # type: ignore[union-attr]


class TestSarif:
    """What code scanners read."""

    def test_its_models_take_it(self, report: Report, world: World) -> None:
        """An independent rendering of SARIF 2.1.0 as types accepts every part of it."""
        from sarif_pydantic import Sarif  # type: ignore[import-untyped]

        read = Sarif.model_validate_json(sarif.format_report(report, world.root))

        assert [result.rule_id for result in read.runs[0].results or []] == [f.rule for f in report.findings]

    def test_its_structure(self, report: Report, world: World) -> None:
        """What the standard requires of a log: see sections 3.13, 3.14, 3.19, 3.27 and 3.29 of SARIF 2.1.0."""
        log: Any = json.loads(sarif.format_report(report, world.root))
        (run,) = log["runs"]
        rules = run["tool"]["driver"]["rules"]

        assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "tinytorch-datasets")
        assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]
        assert run["originalUriBaseIds"]["ROOT"]["uri"].endswith("/")
        for result, finding in zip(run["results"], report.findings, strict=True):
            place = result["locations"][0]["physicalLocation"]
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule
            assert result["level"] == {"error": "error", "warning": "warning", "unknown": "note"}[finding.severity]
            assert result["message"]["text"].startswith(f"{finding.dataset}: {finding.what}")
            assert place["artifactLocation"] == {"uri": "datasets.yaml", "uriBaseId": "ROOT"}
            assert place["region"] == {"startLine": finding.line}
        assert len({result["partialFingerprints"]["finding/v1"] for result in run["results"]}) == len(run["results"])

    def test_a_manifest_that_cannot_be_used_is_a_failed_invocation(self, world: World) -> None:
        """Its problems are results all the same."""
        world.edit("status: remote", "status: remoet")
        path = world.root / "out.sarif"
        output = CliRunner().invoke(main, ["audit", "--manifest", str(world.manifest), "--sarif", str(path)])
        run = json.loads(path.read_bytes())["runs"][0]

        assert output.exit_code == 2
        assert run["invocations"] == [{"executionSuccessful": False, "exitCode": 2}]
        assert [result["ruleId"] for result in run["results"]] == ["manifest"]

    def test_a_finding_keeps_its_fingerprint_when_lines_move(self, world: World, report: Report) -> None:
        """So that a scanner knows it again."""

        def prints(output: Report) -> set[str]:
            results = json.loads(sarif.format_report(output, world.root))["runs"][0]["results"]
            return {result["partialFingerprints"]["finding/v1"] for result in results if result["level"] == "error"}

        world.manifest.write_text("# moved\n\n" + world.manifest.read_text())
        assert prints(report) == prints(audit(manifest=world.manifest, levels=["shipped"]))


def test_thousands_of_findings_are_no_matter(world: World) -> None:
    """All at one place, so that every name is another one's."""
    found = tuple(
        Finding(rule="undeclared", dataset="", what=f"{n} is declared nowhere", path="x", where="datasets.yaml:3")
        for n in range(5_000)
    )
    with soon():
        names = {
            case.get("name")
            for case in ET.fromstring(junit.format_report(Report("m", findings=found))).iter("testcase")
        }

    assert len(names) == 5_000


def test_numbers_that_json_has_no_words_for(world: World) -> None:
    """They are reported as strings, which every reader takes."""
    found = Finding(rule="content", dataset="flowers", what="it is not a number", path="x", actual=float("nan"))
    log = sarif.format_report(Report(str(world.manifest), findings=(found,)), world.root)

    assert json.loads(log, parse_constant=pytest.fail)["runs"][0]["results"][0]["properties"]["actual"] == "nan"


def test_findings_that_are_alike_are_kept_apart(world: World) -> None:
    """The second duplicate of a data set has a fingerprint, and a test case, of its own."""
    found = tuple(
        Finding(rule="duplicates", dataset="flowers", what=f"{n} samples", path="x", where="datasets.yaml:9")
        for n in (1, 2)
    )
    report = Report(str(world.manifest), findings=found)
    results = json.loads(sarif.format_report(report, world.root))["runs"][0]["results"]
    cases = ET.fromstring(junit.format_report(report)).iter("testcase")

    assert len({result["partialFingerprints"]["finding/v1"] for result in results}) == 2
    assert [case.get("name") for case in cases] == [
        "duplicates: datasets.yaml:9",
        "duplicates: datasets.yaml:9 (2)",
    ]


class TestGithub:
    """Annotations on the manifest's lines, and a table on the run's page."""

    def test_each_finding_is_a_command(self, report: Report, world: World) -> None:
        """Line breaks, percent signs, colons and commas are spelt as GitHub wants them."""
        lines = list(github.commands(report, world.root))
        grave = report.findings[0]

        assert len(lines) == 8
        assert lines[0] == (
            f"::error file=datasets.yaml,line={grave.line},title=flowers%3A file-hash::{grave.path} is not the "
            f"declared file: it has sha256%0A    {grave.actual}, declared is%0A    {grave.expected}%0A{grave.hint}"
        )
        assert all("\n" not in line for line in lines)
        assert [re.match(r"::(\w+)", line)[1] for line in lines].count("warning") == 7  # type: ignore[index]

    def test_the_command_line_writes_both(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Annotations after the table on stdout; the summary where GitHub says."""
        page = world.root / "summary.md"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
        monkeypatch.setenv("GITHUB_WORKSPACE", str(world.root))
        output = CliRunner().invoke(main, ["audit", "--manifest", str(world.manifest), "--github"])

        assert output.exit_code == 1
        assert [line for line in output.stdout.splitlines() if line.startswith("::error file=datasets.yaml,line=")]
        assert "| flowers | mismatch | 2 | 496 B | 0 |" in page.read_text()
        assert page.read_text().startswith(f"## Data sets\n\n{world.manifest}: 1 error, ")


def test_every_rule_that_is_reported_is_a_known_one() -> None:
    """Each literal `rule=` in the package is a key of RULES, and each key is used."""
    used = set()
    for path in (ROOT / "tinytorch_datasets").rglob("*.py"):
        used |= set(
            re.findall(r'rule="([a-z-]+)"|_mismatch\(\s*address,\s*"([a-z-]+)"', path.read_text(encoding="utf-8"))
        )
    output = {one or other for one, other in used}
    computed = {
        "content",
        "content-hash",
        "decode",
        "file-size",
        "file-hash",
        "file-swapped",
        "line-endings",
        "lfs-pointer",
    }
    computed |= {"duplicates", "balance", "constant", "empty"}

    assert output | computed == set(RULES)
