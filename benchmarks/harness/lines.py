"""The lines: what is measured, and against what.

A line is one row of the table: cells that do the same work, one of them the reference. A cell is a contestant, a task
of its script, and what the task is to be done on. Everything is measured in fresh processes; `measure` says what of
the process's own report counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DATASETS = ("mnist", "cifar10")
LIBRARIES = ("pooch", "huggingface", "keras", "torchvision")

# What is seconds away needs no fine ratio; what stands beside the limit needs many rounds for its own.
LIBRARY_ROUNDS = 3

State = Literal["none", "warm", "cold"]


@dataclass(frozen=True)
class Cell:
    """One contestant's part in a line. `on` is the data set; `manifest` the one in use."""

    entrant: str
    task: str
    on: str = ""
    manifest: str = "plain"

    @property
    def args(self) -> tuple[str, ...]:
        """What follows the script on its command line."""
        return (self.task, self.on) if self.on else (self.task,)


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        name: What the command line calls it.
        title: What the table calls it.
        ours: The cell of this package.
        reference: The cell it is compared with; None where `aim` is a time.
        others: Cells shown beside them.
        measure: "wall_s", from before the process is made until its task is done, or a list that the task tells,
            whose median counts.
        aim: The ratio to reach, or seconds where there is no reference.
        or_s: Seconds that will do, whatever the ratio.
        state: What the contestant's folder holds before: nothing of interest, what an earlier run left, or nothing.
        rounds: The most rounds, where a run takes many seconds.
        private_aim_mib: How much more private memory than the reference is allowed.
        peak_aim_mib: How much memory in all is allowed at the peak.
    """

    name: str
    title: str
    ours: Cell
    reference: Cell | None
    others: tuple[Cell, ...] = ()
    measure: str = "wall_s"
    aim: float | None = None
    or_s: float | None = None
    state: State = "warm"
    rounds: int = 99
    private_aim_mib: float | None = None
    peak_aim_mib: float | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All of them, the reference first."""
        return tuple(cell for cell in (self.reference, self.ours, *self.others) if cell is not None)

    def in_round(self, number: int) -> tuple[Cell, ...]:
        """Those that run in that round, counted from 1; round 0 is the one that does not count."""
        return tuple(cell for cell in self.cells if cell not in self.others or number <= LIBRARY_ROUNDS)


NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def _others(task: str, dataset: str) -> tuple[Cell, ...]:
    return tuple(Cell(name, task, dataset) for name in LIBRARIES)


def _per_dataset() -> list[Line]:
    lines = []
    for d in DATASETS:
        lines.append(
            Line(
                f"warm-{d}",
                f"{NAMES[d]} on disk, fresh process to the first batch of 128",
                Cell("tinytorch", "first-batch", d),
                Cell("bare", "first-batch", d),
                _others("first-batch", d),
                aim=1.20,
            )
        )
    for d in DATASETS:
        lines.append(
            Line(
                f"touched-{d}",
                f"{NAMES[d]} on disk, fresh process, every byte touched",
                Cell("tinytorch", "touched", d),
                Cell("bare", "touched", d),
                _others("touched", d),
                aim=1.15,
                private_aim_mib=20,
            )
        )
    for d in DATASETS:
        lines.append(
            Line(
                f"verified-{d}",
                f'{NAMES[d]} the same with `verify="always"`; by hand: every file hashed in two threads',
                Cell("tinytorch", "verified", d),
                Cell("bare", "verified", d),
                aim=1.05,
            )
        )
    for d in DATASETS:
        lines.append(
            Line(f"again-{d}", f"{NAMES[d]}, second `get` in one process", Cell("tinytorch", "again", d), None,
                 measure="get_s", aim=0.0002)
        )  # fmt: skip
    lines += [
        Line(
            "cold-mnist",
            "MNIST from a loopback server to the first batch: fetched, verified, decoded, cached",
            Cell("tinytorch", "cold", "mnist"),
            Cell("bare", "cold", "mnist"),
            _others("cold", "mnist"),
            aim=1.00,
            state="cold",
        ),
        Line(
            "cold-mnist-pooch",
            "MNIST, likewise, by a compiled manifest, as the packaged one is; compared: Pooch, and NumPy by hand",
            Cell("tinytorch", "cold", "mnist"),
            Cell("pooch", "cold", "mnist"),
            aim=0.70,
            state="cold",
        ),
        Line(
            "cold-mnist-own",
            "MNIST, likewise, by a manifest of one's own, read for the first time; compared: Pooch, and NumPy by hand",
            Cell("tinytorch", "cold", "mnist", manifest="own"),
            Cell("pooch", "cold", "mnist"),
            aim=0.90,
            state="cold",
        ),
        Line(
            "cold-mnist-isal",
            "MNIST, likewise, with isal; by hand: zlib",
            Cell("tinytorch-isal", "cold", "mnist"),
            Cell("bare", "cold", "mnist"),
            state="cold",
        ),
        Line(
            "cold-cifar10",
            "CIFAR-10, likewise, with zlib",
            Cell("tinytorch", "cold", "cifar10"),
            Cell("bare", "cold", "cifar10"),
            _others("cold", "cifar10"),
            aim=1.10,
            state="cold",
            peak_aim_mib=150,
        ),
        Line(
            "cold-cifar10-isal",
            "CIFAR-10, likewise, with isal; by hand: zlib",
            Cell("tinytorch-isal", "cold", "cifar10"),
            Cell("bare", "cold", "cifar10"),
            aim=0.80,
            state="cold",
            peak_aim_mib=150,
        ),
    ]
    return lines


LINES: tuple[Line, ...] = (
    Line(
        "import",
        "`import tinytorch_datasets`; by hand: `import numpy`",
        Cell("tinytorch", "import"),
        Cell("bare", "import"),
        aim=1.05,
        state="none",
    ),
    *_per_dataset(),
    Line(
        "epoch",
        "one shuffled epoch of CIFAR-10 in float32 batches of 128; by hand: `x[j].astype(\"float32\") / 255`",
        Cell("tinytorch", "epochs", "cifar10"),
        Cell("bare", "epochs", "cifar10"),
        measure="epoch_s",
        aim=1 / 1.3,
        or_s=50_000 / 900_000,
    ),
    Line(
        "audit",
        "audit of both, found right before; by hand: every file hashed in two threads",
        Cell("tinytorch", "audit"),
        Cell("bare", "audit"),
        aim=1.10,
    ),
    Line(
        "audit-again",
        "the same in a process that has begun, and done one before",
        Cell("tinytorch", "audits"),
        Cell("bare", "audits"),
        measure="audit_s",
        aim=1.10,
    ),
    Line(
        "audit-decode",
        'audit of both with `decode="always"`; by hand: every file hashed, and every source decoded, in two threads',
        Cell("tinytorch", "audit-decoded"),
        Cell("bare", "audit-decoded"),
        rounds=5,
    ),
    Line(
        "manifest",
        "manifest of 10,000 entries, first validation; by hand: CSafeLoader and Pydantic",
        Cell("tinytorch", "validated", manifest="ten-thousand"),
        Cell("pydantic", "validated", manifest="ten-thousand"),
        aim=1.10,
        state="cold",
        rounds=5,
    ),
    Line(
        "large",
        "MNIST on disk out of a manifest of 10,000 entries, to the first batch; compared: out of one of 4",
        Cell("tinytorch", "first-batch", "mnist", manifest="ten-thousand"),
        Cell("tinytorch", "first-batch", "mnist", manifest="four"),
        aim=1.30,
    ),
    Line(
        "entry",
        "its entry out of a manifest of 10,000, by `get(...).entry`; compared: out of one of 4",
        Cell("tinytorch", "entry", "mnist", manifest="ten-thousand"),
        Cell("tinytorch", "entry", "mnist", manifest="four"),
        aim=1.30,
        rounds=5,
    ),
)  # fmt: skip

# Tasks whose answers must be equal, whoever gives them, before anything is timed.
EQUAL = ("arrays", "bag")
