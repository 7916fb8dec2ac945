from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTESTANTS = ROOT / "benchmarks" / "contestants"


def part(name: str) -> Any:
    """A module of the harness, which is no package that is installed."""
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.insert(0, str(ROOT / "benchmarks"))
    return importlib.import_module(f"harness.{name}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A tenth of the data, generated, and the address of a server for it."""
    materials, server = part("materials"), part("server")
    made = materials.make(tmp_path_factory.mktemp("materials"), quick=True)
    with server.serving(made.served) as url:
        materials.write_manifests(made, url, many=6)
        yield made, url


def report_of(script: str, served: tuple[Any, str], folder: Path, *task: str) -> dict[str, Any]:
    """What a contestant reports of a task, run with the interpreter of these tests."""
    made, url = served
    environ = {
        **os.environ,
        "HOME": str(folder),
        "BENCH_FOLDER": str(folder),
        "BENCH_URL": url,
        "BENCH_FACTS": str(made.facts),
        "TINYTORCH_DATASETS_HOME": str(folder),
        "TINYTORCH_DATASETS_MANIFEST": str(made.manifest("plain")),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, CONTESTANTS / script, *task], env=environ, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


class TestContestants:
    """Nothing is compared that does not do the same work."""

    @pytest.mark.slow
    @pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
    def test_all_hand_over_the_same_arrays_and_the_same_first_batch(
        self, served: tuple[Any, str], tmp_path: Path, dataset: str
    ) -> None:
        """By hand, with Pooch and with this package: equal in dtype, shape and every byte."""
        seen = []
        for script in ("with_bare.py", "with_pooch.py", "with_tinytorch.py"):
            folder = tmp_path / script
            folder.mkdir()
            cold = report_of(script, served, folder, "cold", dataset)
            arrays = report_of(script, served, folder, "arrays", dataset)["digests"]
            assert report_of(script, served, folder, "first-batch", dataset)["batch"] == cold["batch"]
            seen.append((arrays, cold["batch"]))

        assert seen[0] == seen[1] == seen[2]
        assert sorted(seen[0][0]) == ["test.images", "test.labels", "train.images", "train.labels"]
        assert seen[0][1][0] == 128

    @pytest.mark.slow
    def test_an_epoch_has_the_same_samples_by_hand_and_here(self, served: tuple[Any, str], tmp_path: Path) -> None:
        """Shuffled and in float32, each sample bit by bit; the order is each contestant's own."""
        bags = []
        for script in ("with_bare.py", "with_tinytorch.py"):
            folder = tmp_path / script
            folder.mkdir()
            report_of(script, served, folder, "cold", "cifar10")
            bags.append(report_of(script, served, folder, "bag", "cifar10")["bag"])

        assert bags[0] == bags[1]
        assert bags[0][0] == 5000

    def test_every_cell_of_the_table_has_a_script_that_knows_its_task(self) -> None:
        """A line cannot name a contestant or a task that is not there."""
        entrants, lines = part("entrants").ENTRANTS, part("lines").LINES

        for cell in {cell for line in lines for cell in line.cells}:
            assert f'"{cell.task}": ' in entrants[cell.entrant].path.read_text(), cell

    def test_every_script_says_what_it_needs(self) -> None:
        """Requirements are in the script itself, so that it runs without the harness."""
        asked = {name: entrant.requirements for name, entrant in part("entrants").ENTRANTS.items()}

        assert asked["bare"] == ("numpy",)
        assert asked["tinytorch-isal"] == ("tinytorch-datasets", "isal")
        assert all(asked.values())


@pytest.mark.slow
class TestServer:
    """The loopback server gives whole files and ranges of them."""

    def test_a_range_is_the_bytes_asked_for(self, served: tuple[Any, str]) -> None:
        """From a byte to a byte, both included, and from a byte to the end."""
        made, url = served
        name = "mnist/t10k-labels-idx1-ubyte.gz"
        whole = (made.served / name).read_bytes()

        assert fetched(url + name) == (200, whole)
        assert fetched(url + name, "bytes=3-9") == (206, whole[3:10])
        assert fetched(url + name, "bytes=100-") == (206, whole[100:])

    def test_nothing_above_the_folder_is_given(self, served: tuple[Any, str]) -> None:
        """Neither what is missing nor what lies beside the folder."""
        _, url = served

        for path in ("nothing", "../facts.json", "%2e%2e/facts.json", "mnist"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                fetched(url + path)


def fetched(url: str, span: str | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    request = urllib.request.Request(url, headers={"Range": span} if span else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise


class TestResults:
    """Medians are of all rounds, ratios of one round each."""

    def test_a_ratio_is_taken_within_a_round(self) -> None:
        """Two quiet rounds and a disturbed one: the ratio of medians would be 1.5, that of each round is 2."""
        lines, results = part("lines"), part("results")
        ours, hand = lines.Cell("tinytorch", "first-batch", "mnist"), lines.Cell("bare", "first-batch", "mnist")
        line = lines.Line("x", "x", ours, hand, aim=1.0)
        rounds = [
            {hand: report(hand_s), ours: report(ours_s)} for hand_s, ours_s in ((1.0, 2.0), (10.0, 20.0), (2.0, 3.0))
        ]

        cells = results.summary(line, rounds)["cells"]

        assert (cells["ours"]["took_s"], cells["ours"]["ratio"]) == (3.0, 2.0)
        assert (cells["reference"]["took_s"], cells["reference"]["ratio"]) == (2.0, 1.0)

    def test_other_libraries_take_part_in_the_first_rounds_only(self) -> None:
        """And count in those; what stands beside the limit has all of them."""
        lines, results = part("lines"), part("results")
        ours, hand, other = (lines.Cell(who, "first-batch", "mnist") for who in ("tinytorch", "bare", "keras"))
        line = lines.Line("x", "x", ours, hand, (other,))
        rounds = [{cell: report(float(number)) for cell in line.in_round(number)} for number in (1, 2, 3, 4, 5)]

        cells = results.summary(line, rounds)["cells"]

        assert [cells[role]["took_s"] for role in ("ours", "reference", "keras")] == [3.0, 3.0, 2.0]

    def test_the_file_reads_back_as_it_was_written(self, tmp_path: Path) -> None:
        """One line a cell, and still JSON."""
        lines, results = part("lines"), part("results")
        line = lines.LINES[1]
        rounds = [{cell: report(1.0) for cell in line.cells}]
        found = {"lines": {line.name: results.summary(line, rounds)}, "date": "2026-01-01"}

        results.write(found, tmp_path / "results.json")

        text = (tmp_path / "results.json").read_text()
        assert json.loads(text) == found
        assert len(text.splitlines()) < 20

    def test_what_the_docs_show_is_made_of_results_of_the_whole_thing(self) -> None:
        """No quick run, and no line missing; one that failed is named."""
        report = part("report")
        found = report.load()

        assert not found["quick"]
        assert {*found["lines"], *found["failed"]} == {line.name for line in part("lines").LINES}
        assert report.markdown(found) == report.markdown(found)

    def test_a_reason_names_no_folder_of_the_machine(self) -> None:
        """What a contestant said last may be full of paths; the docs show the first line that is no traceback."""
        stderr = "  File '/home/me/x.py', line 3\nValueError: /tmp/a/ten.yaml:7: too many, see https://example.org/a/b."

        assert part("runner").in_short(stderr) == "ValueError: ten.yaml:7: too many, see https://example.org/a/b"


def report(seconds: float) -> dict[str, float]:
    """What a contestant might have reported."""
    return {"wall_s": seconds, "cpu_s": seconds, "disk": 0, "peak_kib": 1024, "private_kib": 512}


@pytest.mark.slow
def test_two_checkouts_are_compared() -> None:
    """This one with itself: a row for each task, with times and two ratios."""
    script = ROOT / "benchmarks" / "compare_checkouts.py"
    command = [sys.executable, str(script), str(ROOT), str(ROOT), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    header, _, *rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]

    assert header == ["task", "A, median ms", "B, median ms", "B to A, medians", "B to A, shortest"]
    assert [row[0] for row in rows] == ["warm tinydigits", "warm mnist", "cold mnist", "cold cifar10"]
    assert all(float(number) > 0 for row in rows for number in row[1:])
