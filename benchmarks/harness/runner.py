"""The runner: rounds of fresh processes, in alternation.

Every measured run is a fresh process. In a round each line's cells run one after the other, and each round begins
with another cell, so that what disturbs the machine for a while disturbs all of them alike; ratios are taken within a
round. Before each run its files are read and memory is touched; what a cold run leaves is removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import environments, machine
from harness.entrants import ENTRANTS, PACKAGE, Entrant
from harness.environments import CannotRun
from harness.lines import DATASETS, EQUAL, Cell, Line
from harness.materials import Materials

TIMEOUT_S = 600
TOUCHED_MIB = 3072
STDERR_LINES = 3

Report = dict[str, Any]


class Failed(Exception):
    """A contestant's run failed; the message is the end of its stderr."""


@dataclass
class Contest:
    """Contestants in their environments, the bytes that are served, and what has been measured so far."""

    materials: Materials
    url: str
    scratch: Path
    envs: Path
    echo: Callable[[str], None]
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    _pythons: dict[str, Path] = field(default_factory=dict)
    _warm: dict[tuple[str, str, str], Path] = field(default_factory=dict)

    def invite(self, names: Sequence[str], *, asked: Sequence[str] | None) -> None:
        """Make the environments; who cannot have one is absent, and the reason is kept.

        Args:
            names: Who has a part in a line.
            asked: Who shall take part; None for everyone who does so unasked.
        """
        refreshed = set()
        for name in names:
            entrant = ENTRANTS[name]
            if name not in asked if asked is not None else entrant.only_if_asked:
                if entrant.only_if_asked:
                    self._leave_out(name, entrant.only_if_asked)
                continue
            self.echo(f"environment of {entrant.title}")
            try:
                environment = environments.made(entrant, self.envs)
                if PACKAGE in entrant.requirements and environment not in refreshed:
                    environments.refresh(environment)
                    refreshed.add(environment)
            except CannotRun as error:
                self._leave_out(name, str(error))
                continue
            self._pythons[name] = environments.python_of(environment)
            if PACKAGE in entrant.requirements:
                environments.declare(environment, self.materials.manifest("plain"))
            self.versions[name] = _asked_for(entrant, environments.versions(environment))
            machine.read_files(environment)

    def compare(self, lines: Sequence[Line]) -> None:
        """Make sure that all contestants hand over the same arrays; leave out who cannot run.

        Raises:
            Failed: Somebody's arrays differ.
        """
        for task in EQUAL:
            for dataset in DATASETS if task == "arrays" else DATASETS[-1:]:
                cells = dict.fromkeys(
                    Cell(cell.entrant, task, dataset)
                    for line in lines
                    for cell in line.cells
                    if dataset == cell.on and (task == "arrays" or cell.task == "epochs")
                )
                self._compare(list(cells), "digests" if task == "arrays" else "bag")

    def _compare(self, cells: list[Cell], key: str) -> None:
        seen: dict[str, Any] = {}
        for cell in cells:
            if cell.entrant not in self._pythons:
                continue
            self.echo(f"{cell.on}: what {cell.entrant} returns ({cell.task})")
            try:
                seen[cell.entrant] = self.run(cell, "warm")[key]
            except Failed as error:
                self._leave_out(cell.entrant, str(error))
        if len({json.dumps(each, sort_keys=True) for each in seen.values()}) > 1:
            msg = f"{cells[0].on}: the arrays differ: {json.dumps(seen, indent=1)}"
            raise Failed(msg)

    def _leave_out(self, name: str, reason: str) -> None:
        self.echo(f"{ENTRANTS[name].title} does not take part: {reason}")
        self.absent[name] = in_short(reason)
        self._pythons.pop(name, None)

    def takes_part(self, cell: Cell) -> bool:
        """Whether a cell can be run here."""
        return cell.entrant in self._pythons

    def round(self, line: Line, number: int) -> dict[Cell, Report]:
        """One round of a line: each cell once, beginning with another one than the round before.

        A line of which a cell fails is over: nothing comes back, now or later, and `failed` has the reason.
        """
        cells = [cell for cell in line.in_round(number) if self.takes_part(cell)]
        turn = number % len(cells) if cells else 0
        seen = {}
        for cell in cells[turn:] + cells[:turn]:
            try:
                seen[cell] = self.run(cell, line.state)
            except Failed as error:
                self.failed[line.name] = f"{ENTRANTS[cell.entrant].title}: {in_short(str(error))}"
                self.echo(f"{line.name} failed: {error}")
                return {}
        return seen

    def run(self, cell: Cell, state: str) -> Report:
        """One run of one cell, in a fresh process.

        Raises:
            Failed: It failed.
        """
        folder = self._warm_folder(cell) if state == "warm" else self._empty_folder(cell)
        machine.read_files(folder)
        machine.read_files(self.materials.served)
        try:
            report = self._child(cell, folder)
            report["disk"] = machine.disk_bytes(folder)
        finally:
            if state != "warm":
                shutil.rmtree(folder)
        return report

    def _warm_folder(self, cell: Cell) -> Path:
        """The folder that the contestant filled when it was first asked for a data set, or for all of them."""
        key = (cell.entrant, cell.on, cell.manifest)
        if key not in self._warm:
            folder = self._empty_folder(cell)
            for dataset in [cell.on] if cell.on else DATASETS:
                self._child(Cell(cell.entrant, "cold", dataset, cell.manifest), folder)
            # Once more: what the first run only wrote (compiled files, cache entries), this one reads.
            self._child(cell, folder)
            self._warm[key] = folder
        return self._warm[key]

    def _empty_folder(self, cell: Cell) -> Path:
        folder = self.scratch / f"{cell.entrant}-{cell.on or 'all'}-{cell.manifest}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        return folder

    def _child(self, cell: Cell, folder: Path) -> Report:
        command = [str(self._pythons[cell.entrant]), str(ENTRANTS[cell.entrant].path), *cell.args]
        environ = self._environ(cell, folder)
        machine.touch_memory(TOUCHED_MIB << 20)
        begun = time.monotonic()
        try:
            done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            msg = f"it took more than {TIMEOUT_S} s"
            raise Failed(msg) from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit {done.returncode}"]
            raise Failed("\n".join(lines[-STDERR_LINES:]))
        report: Report = json.loads(done.stdout.splitlines()[-1])
        report["wall_s"] = report.pop("done") - begun
        return report

    def _environ(self, cell: Cell, folder: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        home = folder / "home"
        home.mkdir(exist_ok=True)
        # The one that is called plain is the package's own.
        if cell.manifest != "plain":
            kept["TINYTORCH_DATASETS_MANIFEST"] = str(self.materials.manifest(cell.manifest))
        return {
            **kept,
            "HOME": str(home),
            "BENCH_FOLDER": str(folder),
            "BENCH_URL": self.url,
            "BENCH_FACTS": str(self.materials.facts),
            "TINYTORCH_DATASETS_HOME": str(folder),
        }


def in_short(reason: str) -> str:
    """The first line of a reason that is no traceback, without folders, which are of this machine.

    >>> in_short("  File '/a/b.py', line 1\\nOSError: /tmp/x/full.yaml:3: it is too large.\\nAnd more.")
    'OSError: full.yaml:3: it is too large'
    """
    lines = [line for line in reason.splitlines() if line.strip() and not line.startswith(" ")] or [reason]
    return re.sub(r"(?<![\w/:])(/[^/\s:]+)+/", "", lines[0]).rstrip(".")


def _asked_for(entrant: Entrant, installed: dict[str, str]) -> dict[str, str]:
    named = {need.split("=")[0].split("[")[0].lower() for need in entrant.requirements} | {"numpy"}
    return {name: version for name, version in sorted(installed.items()) if name in named}
