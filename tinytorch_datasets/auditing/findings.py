"""`Finding`, `Report`, rules, levels and exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal, get_args

from tinytorch_datasets.errors import LAYOUT, printable


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    MISMATCH = 1  # something differs from the manifest
    USAGE = 2  # the manifest or the call is wrong
    NETWORK = 3  # everything that could be checked matches; the network failed
    INTERRUPTED = 130  # by Ctrl-C: 128 and the number of the signal, as shells count


Level = Literal["manifest", "shipped", "cached", "remote"]
Severity = Literal["error", "warning", "unknown"]
State = Literal["ok", "mismatch", "not downloaded", "partly downloaded", "not checked"]
ProbeState = Literal["ok", "mismatch", "no answer"]

LEVELS: tuple[Level, ...] = get_args(Level)

# What each kind of finding means. The words are those of the reports that have a place for them (SARIF) and of
# docs/audit.md.
RULES: Mapping[str, str] = MappingProxyType(
    {
        "manifest": "The manifest cannot be used as it is.",
        "question": "An entry has an open question, which only a person can answer.",
        "license": 'A license is no SPDX expression, and not "not stated by the authors".',
        "single-mirror": "A remote file has one address; when that host is gone, so is the data set.",
        "plain-http": "An address is not https: the bytes are verified, but who downloads them is not hidden.",
        "secret-in-address": "An address carries a key, a signature or an expiry of whoever copied it.",
        "unused": "The entry names nothing that uses the data set.",
        "used-by-missing": "A path under used_by does not exist.",
        "file-missing": "A file that ships, or is listed, is not on disk, or only as a symlink to elsewhere.",
        "unreadable": "A folder may not be looked into, so what is in it was not checked.",
        "file-size": "A file has another size than declared.",
        "file-hash": "A file has another sha256 (or MD5) than declared.",
        "file-swapped": "A file holds what is declared for another file.",
        "line-endings": "A text file's line endings were converted.",
        "lfs-pointer": "A Git LFS pointer stands in a file's place.",
        "partly-downloaded": "Some of a data set's downloads are on disk, others are not.",
        "undeclared": "A file among the shipped data is declared nowhere.",
        "budget": "The shipped data is larger than the manifest allows.",
        "decode": "A file with the declared hash is not what its format says.",
        "content": "A file holds something else than declared.",
        "array": "A cached array is not what its file decodes to.",
        "compiled": "The compiled form of the packaged manifest is not what the manifest says.",
        "compiled-stale": "The compiled form of the packaged manifest is of an older one, and is not used.",
        "cache-entry": "A cache entry by which arrays are opened is not what the manifest says.",
        "content-hash": "Decoded values have another sha256 than declared.",
        "class-unused": "A declared class has no sample in any split.",
        "duplicates": "More samples repeat another one than declared.",
        "balance": "Classes are further apart in size than declared.",
        "constant": "More samples are all of one value than declared.",
        "empty": "More texts are empty than declared.",
        "mirror-refuses": "A mirror answers, but does not serve the file.",
        "mirror-length": "A mirror serves a file of another length than declared.",
        "mirror-wrong-content": "A mirror serves something else than the file, such as a login page.",
        "mirror-hash": "A mirror serves a file of another sha256 than declared.",
        "mirror-digest": "A mirror states, in a header, another digest of its file than declared.",
        "mirror-changed": "A mirror's file was changed since it was last known to be right.",
        "mirror-unreachable": "A mirror could not be checked now.",
        "mirror-no-length": "A mirror does not state the length of the file.",
        "sums": "A mirror's SHA256SUMS does not list each file that is there once.",
        "lock": "Something differs from what the lock file recorded.",
    }
)


def _printable_in(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable_in(member) for key, member in value.items()}
    return printable(value, keep=LAYOUT) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as declared.

    Attributes:
        rule: What kind of thing, a key of `RULES`.
        dataset: The data set's name; "" where it concerns none in particular.
        what: What is wrong, in a sentence.
        path: The file, folder or address that is wrong.
        where: The manifest's line that declares otherwise (``datasets.yaml:41``); of an included manifest, with its
            path from the folder of the manifest that was audited (``../shared/datasets.yaml:41``).
        expected: What is declared, where that is a value.
        actual: What is there in its place.
        hint: What to do about it.
        severity: "error"; "warning"; "unknown" where it could not be checked now.
    """

    rule: str
    dataset: str
    what: str
    path: str
    where: str | None = None
    expected: Any = None
    actual: Any = None
    hint: str | None = None
    severity: Severity = "error"

    def __post_init__(self) -> None:
        # Names and answers of others are in it, and every report goes to a terminal in the end.
        for name in ("what", "path", "hint", "expected", "actual"):
            object.__setattr__(self, name, _printable_in(getattr(self, name)))

    @property
    def line(self) -> int:
        """The manifest's line, from 1."""
        return int((self.where or ":1").rpartition(":")[2])

    def __str__(self) -> str:
        about = ": ".join(filter(None, (self.where or self.path, self.dataset, self.what)))
        about = about if self.severity == "error" else f"{about} ({self.severity})"
        return "\n  ".join(filter(None, (about, self.hint)))


@dataclass(frozen=True)
class DatasetReport:
    """The state of one data set. `bytes` were hashed; `samples` were compared, value by value.

    `pickles` are the names that its pickles ask for (``numpy.ndarray``), if it has any, and they were decoded.
    """

    name: str
    state: State
    files: int = 0
    bytes: int = 0
    samples: int = 0
    pickles: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    """The answer of one address: "ok", "mismatch", or "no answer" where it says nothing about the file."""

    dataset: str
    url: str
    state: ProbeState
    detail: str = ""

    def __post_init__(self) -> None:
        for name in ("url", "detail"):
            object.__setattr__(self, name, printable(getattr(self, name), keep=LAYOUT))


@dataclass(frozen=True)
class Report:
    """The result of an audit: `findings` in the manifest's order, a row for each data set and each address."""

    manifest: str
    datasets: tuple[DatasetReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    addresses: tuple[ProbeResult, ...] = ()
    strict: bool = False

    def __repr__(self) -> str:
        counts = f"{len(self.datasets):,} data sets, {len(self.findings):,} findings"
        return f"<Report of {self.manifest}: {'ok' if self.ok else 'not ok'}, {counts}>"

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display import html  # which only notebooks need

        rows = [[d.name, d.state, d.files, d.bytes, d.samples] for d in self.datasets]
        wrong = [[f.severity, f.where or f.path, f.dataset, f.what, f.hint or ""] for f in self.findings]
        of_findings = html.table(["severity", "where", "data set", "what", "hint"], wrong, room=9000)
        of_sets = html.table(["data set", "state", "files", "bytes", "samples"], rows, room=6000 if wrong else 15_000)
        return html.page(repr(self)[1:-1], of_findings if wrong else "", of_sets if rows else "")

    @property
    def ok(self) -> bool:
        """Whether nothing differs. Warnings do not count, unless the audit was strict."""
        return self.exit_code == ExitCode.OK

    @property
    def exit_code(self) -> int:
        """Return 0 if everything matches, 1 for findings, 2 for a wrong manifest, 3 if only the network failed."""
        kinds = {finding.severity for finding in self.findings}
        if any(finding.rule == "manifest" for finding in self.findings):
            return ExitCode.USAGE.value
        if "error" in kinds or (self.strict and "warning" in kinds):
            return ExitCode.MISMATCH.value
        return ExitCode.NETWORK.value if "unknown" in kinds else ExitCode.OK.value

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        findings = [{**asdict(finding), "line": finding.line} for finding in self.findings]
        return {"ok": self.ok, "exit_code": self.exit_code, **asdict(self), "findings": findings}
