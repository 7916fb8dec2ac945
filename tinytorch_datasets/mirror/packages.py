"""Wheels for a mirror: this package and what it needs, by platform and Python.

pip finds and downloads what is needed, for other platforms and Pythons too. But where a library needs another one only
on some of them (``colorama; sys_platform == "win32"``), pip looks at the computer that it runs on; so each wheel's
metadata is read here, and pip is asked once more for what would be missing there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.concurrency import check_cancelled, run_all
from tinytorch_datasets.digests import digest, open_file, sha256_of
from tinytorch_datasets.errors import DatasetError, FetchError, UnknownName, UsageError, printable
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.copy import (
    WHEELS,
    Packaged,
    holding_list,
    is_wheel,
    refuse_clashes,
    refuse_links,
    sums_in,
    wheel_facts,
    write_index,
)
from tinytorch_datasets.settings import absolute, packaged_manifest
from tinytorch_datasets.storage.files import read_file, remove, whole_file, writing
from tinytorch_datasets.storage.lock import Waiting, hold_lock

INSTALL = "Install it again, and type the same command."
# As `python -m pip`, which would first look for it in the current folder: that of a stick, perhaps, with a pip.py.
RUN_PIP = "import sys; sys.path = [*filter(None, sys.path)]; import runpy; runpy.run_module('pip', run_name='__main__')"
NAME = "tinytorch-datasets"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
AT_ONCE = 3  # pip mostly waits for answers
ROUNDS = 6  # in which pip is asked for what the last one did not bring
_GLIBC = tuple(range(28, 4, -1))  # what Linux distributions of the last five years have, and older ones
_LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")


@dataclass(frozen=True)
class Platform:
    """Computers of a kind: what wheels for them are called, and what requirements ask of them."""

    title: str
    tags: tuple[str, ...]
    system: str
    sys_platform: str
    os_name: str
    machine: str


def _manylinux(machine: str) -> tuple[str, ...]:
    return (*(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC), *(f"{name}_{machine}" for name in _LEGACY))


PLATFORMS = {
    "linux": Platform("Linux", _manylinux("x86_64"), "Linux", "linux", "posix", "x86_64"),
    "linux-arm64": Platform("Linux on ARM", _manylinux("aarch64"), "Linux", "linux", "posix", "aarch64"),
    "macos-arm64": Platform("macOS on Apple silicon", ("macosx_12_0_arm64",), "Darwin", "darwin", "posix", "arm64"),
    "macos-intel": Platform("macOS on Intel", ("macosx_12_0_x86_64",), "Darwin", "darwin", "posix", "x86_64"),
    "windows": Platform("Windows", ("win_amd64",), "Windows", "win32", "nt", "AMD64"),
    "windows-arm64": Platform("Windows on ARM", ("win_arm64",), "Windows", "win32", "nt", "ARM64"),
}
CHOICES = ("linux", "macos", "windows", *(name for name in PLATFORMS if "-" in name))  # "macos" is both of its kinds
USUAL = ("linux", "macos", "windows")


@dataclass(frozen=True)
class Target:
    """A platform by its name, and a version of Python: what a wheel has to fit."""

    platform: str
    python: str

    def __str__(self) -> str:
        return f"Python {self.python} on {PLATFORMS[self.platform].title}"

    def environment(self, extra: str) -> dict[str, str]:
        """Return what the markers of requirements are compared with."""
        its = PLATFORMS[self.platform]
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "platform_python_implementation": "CPython",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "os_name": its.os_name,
            "sys_platform": its.sys_platform,
            "platform_system": its.system,
            "platform_machine": its.machine,
            "platform_release": "",
            "platform_version": "",
            "extra": extra,
        }


def targets_of(platforms: Sequence[str], pythons: Sequence[str]) -> list[Target]:
    """Return each of the platforms with each of the Pythons; none named means the usual ones, and all supported.

    Raises:
        UnknownName: There is no such platform.
        UsageError: It is no version of Python that this package runs on.
    """
    for name in platforms:
        if name not in CHOICES:
            raise UnknownName(name, CHOICES, kind="platform")
    for python in pythons:
        if not re.fullmatch(r"3\.[1-9][0-9]", python):
            msg = f"{python!r} is no version of Python from {PYTHONS[0]} on"
            raise UsageError(msg, hint=f"Name it as {PYTHONS[-1]} is named, without a third number.")
    chosen = [
        name
        for platform in dict.fromkeys(platforms or USUAL)
        for name in (PLATFORMS if platform == "macos" else (platform,))
        if name.startswith(platform)
    ]
    return [Target(name, python) for name in dict.fromkeys(chosen) for python in dict.fromkeys(pythons or PYTHONS)]


def mirror_packages(
    manifest: Manifest,
    folder: Path,
    targets: Sequence[Target],
    *,
    extras: Sequence[str] = (),
    on_done: Callable[[Target, int], None] = lambda target, bytes_: None,
    make_own: Callable[[Path], Path] | None = None,
) -> Packaged:
    """Download what the folder lacks of the wheels for all targets, and write the index of all wheels in it.

    A wheel that is there, with the hash that SHA256SUMS has, is not downloaded again. `on_done` is called with each
    target, and how many bytes its wheels have; `make_own` makes this package's wheel in a new folder, as `own_wheel`.

    Raises:
        UsageError: A data set is in a folder by one of these names; the extra is none of this package's.
        DatasetError: There is no pip, or no wheel of this package can be made.
        FetchError: pip reached no index.
        StorageError: The folder cannot be written to.
    """
    refuse_clashes(manifest)
    if importlib.util.find_spec("pip") is None:
        msg = f"{sys.executable} has no pip, which downloads packages"
        raise DatasetError(msg, hint="`python -m ensurepip`, or `uv pip install pip`, brings it.")
    folder = Path(absolute(folder, name="folder"))
    sums = sums_in(folder)
    listed = {Path(name).name: folder / name for name in sums if is_wheel(name)}
    there = {name: path for name, path in listed.items() if _has(path, sums[f"{WHEELS}/{name}"])}
    before = sum(path.stat().st_size for path in there.values())
    with _aside(folder) as aside:
        own = (make_own or own_wheel)(aside / "own")
        for extra in extras:
            if canonicalize_name(extra) not in (known := wheel_facts(own).extras):
                raise UnknownName(extra, known, kind="extra", place=f"{NAME} {VERSION}")
        errors: list[DatasetError] = []
        links = aside / "there.html"
        lines = (f'<a href="{path.as_uri()}">{html.escape(name)}</a>\n' for name, path in there.items())
        links.write_text('<meta charset="utf-8">\n' + "".join(lines), encoding="utf-8")
        downloads = _Downloads(own, tuple(extras), aside, links)

        def download(target: Target) -> list[Path]:
            try:
                wheels = downloads.wheels_for(target)
            except FetchError:
                raise
            except DatasetError as error:
                errors.append(error)
                return []
            on_done(target, sum(path.stat().st_size for path in wheels))
            return wheels

        taken = dict(zip(targets, run_all([partial(download, each) for each in targets], workers=AT_ONCE), strict=True))
        wheels = {path.name: path for paths in taken.values() for path in paths}
        hashes = {f"{WHEELS}/{name}": sha256_of(path) for name, path in wheels.items()}
        copied = sum(_place(wheels[Path(name).name], folder / name, folder, hashes[name]) for name in hashes)
    sizes = {name: (folder / WHEELS / name).stat().st_size for name in wheels}
    left_over = [name for name in there if name not in wheels and _is_left_over(name, wheels)]
    with holding_list(folder):  # read again: another run, for other computers, may have written it meanwhile
        write_index(folder, {**sums_in(folder), **hashes})
    return Packaged(
        copied,
        len(wheels) - copied,
        sum(sizes.values()),
        before,
        tuple(f"{WHEELS}/{name}" for name in sorted(left_over)),
        tuple(errors),
    )


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Make a folder for what is not whole yet, on the same disk; what an earlier kill left of one goes, too."""
    at_once = Waiting(silence_s=0)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f".{WHEELS}-*.part"):
            with hold_lock(old, WHEELS, at_once) as is_left_behind:
                pass
            if is_left_behind:  # and not of a run that goes on beside this one
                remove(old)
        aside = Path(tempfile.mkdtemp(dir=folder, prefix=f".{WHEELS}-", suffix=".part"))
    try:
        with hold_lock(aside, WHEELS, at_once):
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _has(path: Path, sha256: str) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file() and not path.is_symlink() and digest(path).sha256 == sha256
    return False


def _place(wheel: Path, target: Path, folder: Path, sha256: str) -> bool:
    """Give a downloaded wheel its name in the mirror; return False if it is there already."""
    refuse_links(target, folder)
    if _has(target, sha256):
        return False
    with whole_file(target) as out, open(wheel, "rb", opener=open_file) as stream:
        shutil.copyfileobj(stream, out, 1 << 20)
    return True


def _is_left_over(name: str, wheels: Iterable[str]) -> bool:
    """Check whether a wheel is another version of one that was taken, for the same computers."""
    project, version, _, tags = parse_wheel_filename(name)
    others = (parse_wheel_filename(other) for other in wheels)
    return any(other == project and its > version and tags & fits for other, its, _, fits in others)


class _Downloads:
    """Downloads by pip into folders aside, a target after the other."""

    def __init__(self, own: Path, extras: tuple[str, ...], aside: Path, links: Path) -> None:
        self._own, self._extras, self._aside, self._links = own, extras, aside, links
        self._hints: dict[str, list[str]] = {}  # what pip had to be asked for beside, by the platform

    def wheels_for(self, target: Target) -> list[Path]:
        """Return the wheels that a target takes, own one included.

        Raises:
            FetchError: pip reached no index.
            DatasetError: There are no such wheels.
        """
        extras = f"[{','.join(self._extras)}]" if self._extras else ""
        wanted = [f"{NAME}{extras} @ {self._own.as_uri()}", *self._hints.get(target.platform, ())]
        links = [self._links.as_uri()]
        lacking: list[str] = []
        for number in range(ROUNDS):
            into = self._aside / f"{target.platform}-{target.python}-{number}"
            into.mkdir()
            platforms = [option for tag in PLATFORMS[target.platform].tags for option in ("--platform", tag)]
            where = [option for link in links for option in ("--find-links", link)]
            kind = ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
            pip("download", "--dest", str(into), *kind, *platforms, *where, *wanted, doing=f"for {target}")
            wheels = {wheel_facts(path).name: path for path in into.glob("*.whl")}
            needed, lacking = closure(wheels, target, self._extras)
            if not lacking:
                return [wheels[name] for name in sorted(needed)]
            wanted += lacking
            self._hints.setdefault(target.platform, []).extend(lacking)
            links.append(str(into))
        what = f"pip finds no set of packages for {target}: without end it lacks {', '.join(lacking)}"
        raise DatasetError(what, hint=f"Leave {target.platform} out, or Python {target.python}.")


def pip(*arguments: str, doing: str) -> None:
    """Run pip, by this Python.

    Raises:
        FetchError: It reached no index.
        DatasetError: It failed in another way.
    """
    command = [sys.executable, "-c", RUN_PIP, *arguments[:1], "--quiet", "--no-input", "--disable-pip-version-check"]
    process = subprocess.Popen(
        [*command, *arguments[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = None
    try:
        while output is None:
            check_cancelled()
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.2)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode == 0:
        return
    lines = [printable(line).strip() for line in output.decode(errors="replace").splitlines()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (lines[-1] if lines else f"it ended with {process.returncode}")
    what = f"pip could not {arguments[0]} packages {doing}: {reason}"
    if any("connection broken by" in line for line in lines):
        hint = "Look at the network, or have pip ask another index: it takes PIP_INDEX_URL."
        raise FetchError(what, hint=hint, file=WHEELS, tried=(), network_failed=True)
    raise DatasetError(what, hint="`--platform`, `--python` and `--extra` choose what is asked for.")


def closure(wheels: Mapping[str, Path], target: Target, extras: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return which of the wheels a target takes, by name, and what it requires that none of them is."""
    needed: set[tuple[str, str]] = set()
    lacking: dict[str, None] = {}
    waiting = [(str(canonicalize_name(NAME)), extra) for extra in ("", *map(canonicalize_name, extras))]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in needed:
            continue
        needed.add((name, extra))
        for required in wheel_facts(wheels[name]).requires:
            if not _applies(required, wheels[name], target, extra):
                continue
            if extra and _applies(required, wheels[name], target, ""):
                continue  # it is required without the extra, too
            other = str(canonicalize_name(required.name))
            version = wheel_facts(wheels[other]).version if other in wheels else None
            if version is None or not required.specifier.contains(version, prereleases=True):
                lacking[f"{required.name}{required.specifier}"] = None
            else:
                waiting += [(other, ""), *((other, canonicalize_name(each)) for each in required.extras)]
    return {name for name, _ in needed}, list(lacking)


def _applies(required: Requirement, wheel: Path, target: Target, extra: str) -> bool:
    try:
        return required.marker is None or required.marker.evaluate(target.environment(extra))
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        msg = f"{wheel.name} requires what cannot be understood: {printable(str(required))}"
        raise DatasetError(msg) from error


def own_wheel(into: Path) -> Path:
    """Make the wheel of this very package: in a clone as it is built for an index, elsewhere from what is installed.

    Raises:
        DatasetError: A file was changed since it was installed, or nobody knows which files it has.
    """
    into.mkdir()
    clone = Path(packaged_manifest()).parent
    if (clone / "pyproject.toml").is_file():
        pip("wheel", "--no-deps", "--wheel-dir", str(into), clone.as_uri(), doing=f"as {NAME} {VERSION}")
        return next(into.glob("*.whl"))
    for distribution in importlib.metadata.distributions(name=NAME):
        return installed_wheel(distribution, into)
    what = f"no wheel of {NAME} can be made: it is not installed"
    raise DatasetError(what, hint=INSTALL)


def installed_wheel(distribution: importlib.metadata.Distribution, into: Path) -> Path:
    """Put the files of a distribution, each with the hash that its RECORD has, into a wheel again.

    Raises:
        DatasetError: One is missing or was changed, so nobody knows what it would be.
    """
    path = into / f"{distribution.name.replace('-', '_')}-{distribution.version}-py3-none-any.whl"
    names = [file.as_posix() for file in distribution.files or () if file.name == "RECORD"]
    if not names:
        what = f"no wheel of {distribution.name} can be made: nothing lists its files"
        raise DatasetError(what, hint=INSTALL)
    lines = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(distribution.files or (), key=str):
            if ".." in file.parts or file.hash is None or file.name in ("INSTALLER", "REQUESTED", "direct_url.json"):
                continue  # what pip makes where it installs: commands, bytecode, and notes of its own
            try:
                data = read_file(Path(str(file.locate())))
            except OSError:
                data = b""
            found = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, data).digest()).rstrip(b"=").decode()
            if found != file.hash.value:
                what = f"no wheel of {distribution.name} can be made: {file.locate()} is not as it was installed"
                raise DatasetError(what, hint=INSTALL)
            archive.writestr(zipfile.ZipInfo(file.as_posix()), data, zipfile.ZIP_DEFLATED)
            lines.append(f"{file.as_posix()},{file.hash.mode}={found},{len(data)}\n")
        archive.writestr(zipfile.ZipInfo(names[0]), "".join(lines) + f"{names[0]},,\n", zipfile.ZIP_DEFLATED)
    return path
