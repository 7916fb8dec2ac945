"""`Finding` and `Report`, `Check` and `Diagnosis`; rules, levels and exit codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal, get_args

from tinytorch_datasets import errors
from tinytorch_datasets.errors import LAYOUT, DatasetError, FetchError, printable


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    MISMATCH = 1  # something differs from the manifest
    USAGE = 2  # the manifest or the call is wrong
    NETWORK = 3  # everything that could be checked matches; the network failed
    INTERRUPTED = 130  # by Ctrl-C: 128 and the number of the signal, as shells count


# Errors of the manifest, of the call, or of what is installed; every other error is about the data.
MISUSE = (errors.ManifestError, errors.LockError, errors.UsageError, errors.UnknownName, errors.MissingLibrary)


def exit_code_of(error: DatasetError) -> ExitCode:
    """Return the exit code of a command that ended by an error."""
    if isinstance(error, MISUSE):
        return ExitCode.USAGE
    return ExitCode.NETWORK if isinstance(error, FetchError) and error.network_failed else ExitCode.MISMATCH


Level = Literal["manifest", "shipped", "cached", "remote"]
Severity = Literal["error", "warning", "unknown"]
State = Literal["ok", "mismatch", "not downloaded", "partly downloaded", "not checked"]
ProbeState = Literal["ok", "mismatch", "no answer"]
CheckState = Literal["ok", "warning", "wrong"]

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
        things = {"data set": len(self.datasets), "finding": len(self.findings)}
        counts = ", ".join(f"{count:,} {thing}{'' if count == 1 else 's'}" for thing, count in things.items())
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


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that `doctor` looked at.

    Attributes:
        group: What it is about: "versions", "manifest", "folders", "locks", "room", "network" or "addresses".
        name: What was checked.
        state: "ok"; "warning" where `get` works all the same; or "wrong".
        result: What it is, or what is wrong with it.
        hint: What to do about it, if anything can be done.
        exit_code: What `doctor` ends with for something wrong: 1 of the disk or of what an address serves, 2 of the
            manifest, the call or the installation, 3 of the network.
        facts: What was measured, in plain values.
    """

    group: str
    name: str
    state: CheckState
    result: str
    hint: str | None = None
    exit_code: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "result", "hint"):  # they quote what came from outside, and go to a terminal
            text = getattr(self, name)
            object.__setattr__(self, name, text and printable(text, keep=LAYOUT))

    def lines(self, width: int = 0, *, with_hint: bool = True) -> Iterator[str]:
        """Yield what was checked, in a column so wide, and the result; the hint below."""
        first, *more = self.result.splitlines() or [""]
        yield f"{self.name:<{width}}  {first}".rstrip()
        yield from (
            f"{'':<8}  {line.strip()}" for line in (*more, *(self.hint or "" if with_hint else "").splitlines())
        )


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found: its checks in order, by group."""

    checks: tuple[Check, ...]

    def __repr__(self) -> str:
        return f"<Diagnosis: {self.verdict()}>"

    def __str__(self) -> str:
        return "\n".join(f"{state:<8}{line}".rstrip() if state else line for state, line in self.lines())

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return self.exit_code == ExitCode.OK

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing is wrong, 2 for the manifest or the call, 1 for the disk, 3 for only the network."""
        codes = {check.exit_code for check in self.checks if check.state == "wrong"}
        worst = (ExitCode.USAGE, ExitCode.MISMATCH, ExitCode.NETWORK)
        return next((code.value for code in worst if code in codes), ExitCode.OK.value)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"ok": self.ok, "exit_code": self.exit_code, "checks": [asdict(check) for check in self.checks]}

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield each line of a report, with the state that stands in front of it; "" of a heading, and of a hint."""
        for group in dict.fromkeys(check.group for check in self.checks):
            checks = [check for check in self.checks if check.group == group]
            width = min(max(len(check.name) for check in checks), 30)
            yield from ([("", "")] if group != self.checks[0].group else [])
            yield "", group
            for check, after in zip(checks, [*checks[1:], None], strict=True):
                # A hint of several in a row, as of all addresses without a network, stands below the last.
                is_repeated = after is not None and (check.state, check.hint) == (after.state, after.hint)
                first, *more = check.lines(width, with_hint=not is_repeated)
                yield check.state, first
                yield from (("", line) for line in more)
        yield "", ""
        yield "", self.verdict()

    def verdict(self) -> str:
        """Return the outcome in a line."""
        wrong = sum(check.state == "wrong" for check in self.checks)
        warned = sum(check.state == "warning" for check in self.checks)
        listed = [f"{wrong} wrong"] * bool(wrong) + [f"{warned} warning{'s' * (warned > 1)}"] * bool(warned)
        return f"{len(self.checks)} checks: {', '.join(listed) or 'nothing is wrong'}"
