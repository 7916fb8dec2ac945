"""Mirror folders: verified copies, an index of wheels, and SHA256SUMS of both.

A mirror is a folder: ``<folder>/<file>`` of every data set, the manifest, and SHA256SUMS. It can be carried on a stick,
served over HTTP (`serve.py`), or copied to any web server; `get(..., mirror=...)` reads all of them.

Where packages were asked for (`packages.py`), ``packages/`` has their wheels, side by side, as `pip install
--find-links` takes them, and ``simple/`` pages of links to them, by which any web server is an index (PEP 503).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import html
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.policy import compat32
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from tinytorch_datasets import pipeline
from tinytorch_datasets.concurrency.executors import check_executor
from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DatasetError, FetchError, UsageError, printable
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.manifest.filenames import why_unsafe
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.files import are_right, copy_missing
from tinytorch_datasets.mirror.files import refuse_links as refuse_links
from tinytorch_datasets.pipeline.standin import refuse_standin
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.settings import Settings, absolute, is_installed, user_cache
from tinytorch_datasets.storage.files import read_file, reading, remove, whole_file, writing
from tinytorch_datasets.storage.lock import Waiting, hold_lock

if TYPE_CHECKING:
    from concurrent.futures import Executor

SUMS = "SHA256SUMS"
MOST_SUMS, MOST_LINES = 2**26, 2**20  # bytes and lines of one that is read: some hundred thousand files
TOO_LONG = f"has more than {MOST_SUMS:,} bytes or {MOST_LINES:,} lines, of which nothing was taken"
DELETE_SUMS = "See what it is, and delete it: it is written anew."
WHEELS = "packages"
INDEX = "simple"
MOST_METADATA = 4 << 20  # bytes; descriptions are long, and no wheel of ours has a tenth of it

_LISTED = re.compile(r"([0-9a-f]{64}) [ *]([^\0]+)")  # with a star `sha256sum` tells that it read bytes, not text


@dataclass(frozen=True)
class Mirrored:
    """What was done for one data set: files copied now, files that were there already, and bytes in all."""

    name: str
    copied: int
    kept: int
    bytes: int


@dataclass(frozen=True)
class Packaged:
    """What was done for the packages.

    Attributes:
        copied: How many wheels were written now.
        kept: How many were there already.
        bytes: Of all wheels of what was asked for, together.
        before: Bytes of all wheels that were there.
        left_over: Paths, in the folder, of wheels of the same libraries that nothing of what was asked for takes now.
        errors: Why there are no wheels for some of what was asked for.
    """

    copied: int
    kept: int
    bytes: int
    before: int
    left_over: tuple[str, ...]
    errors: tuple[DatasetError, ...] = field(repr=False)


def mirror(
    manifest: Manifest,
    folder: Path,
    names: Sequence[str],
    *,
    home: str | os.PathLike[str] | None = None,
    source: str | None = None,
    offline: bool | None = None,
    on_done: Callable[[Mirrored], None] = lambda mirrored: None,
    on_error: Callable[[DatasetError], None] | None = None,
    executor: Executor | None = None,
) -> list[Mirrored]:
    """Copy the verified files of the named data sets to a mirror folder; none named means all of the manifest itself.

    What is not on this computer is fetched first, in whichever of its containers can be had. A file that is in the
    folder already, with the right hash, is left alone, so an interrupted run goes on where it stopped. The same data
    sets give the same folder, byte for byte.

    Every data set is tried, and what was copied is listed, whatever became of the others. `on_error` is called with
    the error of each that could not be copied; without it, the first one is raised in the end.

    An `executor` copies and hashes, a file a task, as `audit` has it; its workers must see both folders as this process
    does. What is fetched is fetched from here.

    Raises:
        UsageError: A variable asks for stand-in data, or `executor` takes no tasks.
        FetchError: A file could not be fetched.
        VerifyError: A file on this computer is not the declared one.
        StorageError: The folder cannot be written to, or a file on this computer not be read.
    """
    refuse_standin("a mirror")
    if executor is not None:
        check_executor(executor)
    folder = Path(absolute(folder, name="folder"))
    settings = Settings.from_environment(offline=offline)
    placed = [pipeline.placed(manifest, name, home) for name in names or manifest.own]
    copies = copies_of(manifest)
    for name in (*copies, SUMS):
        refuse_links(folder / name, folder)
    results: list[Mirrored] = []
    errors, sums = list[DatasetError](), dict[str, str]()
    for plan, locations in placed:
        download = partial(
            fetch,
            folder=plan.folder,
            mirror=source or settings.mirror,
            stores=settings.stores,
            offline=settings.offline,
            locks=locations.cache / "locks",
            dataset=plan.name,
        )
        try:
            plan = _fetched(pipeline.containers(plan, locations, source or settings.mirror), folder, download, executor)
            copied = copy_missing(plan, folder, sums, executor)
            in_all = sum(file.bytes for file in plan.files)
            results.append(Mirrored(plan.name, copied, len(plan.files) - copied, in_all))
        except DatasetError as error:
            errors.append(error)
            if on_error is not None:
                on_error(error)
        else:
            on_done(results[-1])
    if sums or not errors:
        for name, layer in copies.items():
            write_if_changed(folder / name, read_file(layer.path))
        own = {name: layer.sha256 for name, layer in copies.items()}
        with holding_list(folder):
            with writing(folder / SUMS):
                listed = earlier(manifest, sums_in(folder))
            write_if_changed(folder / SUMS, format_sums({**listed, **sums, **own}))
    if errors and on_error is None:
        raise errors[0]
    return results


def copies_of(manifest: Manifest) -> dict[str, Manifest]:
    """Return the manifests that a mirror has copies of, by their paths in it: this one, and those it includes below."""
    root = manifest.path.parent
    return {
        layer.path.relative_to(root).as_posix(): layer
        for layer in manifest.layers
        # Who has the library has what is packaged with it, wherever that is installed.
        if layer is manifest or (layer.path.is_relative_to(root) and not is_installed(str(layer.path.parent)))
    }


@contextlib.contextmanager
def holding_list(folder: Path) -> Iterator[None]:
    """Keep other runs of this user from writing SHA256SUMS, while it is read and written with what came."""
    cache = user_cache()
    if cache.startswith("~"):  # a user without a home folder
        yield
        return
    label = f"mirror-{hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]}"
    with hold_lock(Path(cache) / "locks", label, Waiting(work="listing")):
        yield


def format_sums(sums: Mapping[str, str]) -> bytes:
    """Return the lines of SHA256SUMS, as `sha256sum` writes and checks them, of the sha256 of each file by its path."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())).encode()


def sums_in(folder: Path) -> dict[str, str]:
    """Return what SHA256SUMS in a mirror folder says: the sha256 of each file by its path. Empty without it.

    Raises:
        StorageError: It cannot be read.
    """
    missing = contextlib.suppress(FileNotFoundError, NotADirectoryError)
    with reading(folder / SUMS, where=None, hint=DELETE_SUMS), missing:
        return {line.name: line.sha256 for line in listed_in(folder) if line.name}
    return {}


class Listed(NamedTuple):
    """A line of SHA256SUMS, its number from 1; without `name` if it does not say the sha256 of a file."""

    number: int
    sha256: str
    name: str


def listed_in(folder: Path) -> list[Listed]:
    """Return the lines of SHA256SUMS in a mirror folder.

    Raises:
        OSError: It is not there, cannot be read, or is too long.
    """
    with open(folder / SUMS, "rb", opener=open_file) as stream:
        sums = stream.read(MOST_SUMS + 1)
    if is_too_long(sums):
        raise OSError(errno.EFBIG, f"it {TOO_LONG}")
    return lines_of(sums)


def is_too_long(sums: bytes) -> bool:
    """Check for more bytes or lines than any SHA256SUMS has: whoever wrote it decides, and each line is kept."""
    return len(sums) > MOST_SUMS or sums.count(b"\n") > MOST_LINES


def lines_of(sums: bytes) -> list[Listed]:
    """Return the lines of a SHA256SUMS."""
    listed = []
    lines = sums.decode("utf-8", "replace").removesuffix("\n")
    for number, line in enumerate(lines.split("\n") if lines else (), 1):
        parts = _LISTED.fullmatch(line.removesuffix("\r"))
        listed.append(Listed(number, parts[1], parts[2]) if parts else Listed(number, "", ""))
    return listed


def earlier(manifest: Manifest, listed: Mapping[str, str]) -> dict[str, str]:
    """Return what earlier runs listed: of other data sets, if this manifest still declares it so; and of packages."""
    declared = {file.path: file.facts.sha256 for file in manifest.files()}
    return {
        name: sha256
        for name, sha256 in listed.items()
        if declared.get(name) == sha256 or is_wheel(name) or is_index_page(name)
    }


def _fetched(plans: Sequence[Plan], folder: Path, download: Callable[..., object], executor: Executor | None) -> Plan:
    """Return the plan of the container to copy: the one that is in the folder, else the first that can be fetched."""
    for plan in plans:
        if plan.status == "shipped" or are_right(plan, folder, executor):
            return plan
    return first_that_can_be_had(plans, download)


def first_that_can_be_had(plans: Sequence[Plan], download: Callable[[Sequence[File], Path], object]) -> Plan:
    """Return the first plan, of the containers of a data set, whose files are here or can be fetched.

    Raises:
        FetchError: None can; it is the error of the first.
    """
    failed: FetchError | None = None
    for plan in plans:
        if plan.status == "shipped":
            return plan
        try:
            download(plan.files, plan.root)
        except FetchError as error:
            failed = failed or error
        else:
            return plan
    assert failed is not None
    raise failed


def write_if_changed(path: Path, data: bytes) -> None:
    """Write a small file, unless it is there already just so."""
    with writing(path):
        if path.is_file() and read_file(path) == data:
            return
    with whole_file(path) as out:
        out.write(data)


@dataclass(frozen=True)
class WheelFacts:
    """What a wheel says of itself."""

    name: str
    version: Version
    tags: frozenset[Tag]
    requires_python: str
    requires: tuple[Requirement, ...]
    extras: tuple[str, ...]


def refuse_clashes(manifest: Manifest) -> None:
    """Refuse a manifest with a data set in one of the folders that packages are in.

    Raises:
        UsageError: There is one.
    """
    for name, entry in manifest.datasets.items():
        if (entry.folder or name).casefold() in (WHEELS, INDEX):
            what = f"packages cannot be in a mirror of {manifest.path.name}: the folder of {name} has the same name"
            raise UsageError(what, hint="Mirror them without --with-packages.", where=manifest.where(name))


def wheel_facts(path: Path) -> WheelFacts:
    """Return what a wheel says of itself, in its name and in its metadata.

    Raises:
        DatasetError: It is no wheel.
    """
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
        with open(path, "rb", opener=open_file) as file, zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".dist-info/METADATA")]
            member = next(each for each in members if each.filename.count("/") == 1 and each.file_size <= MOST_METADATA)
            head = BytesHeaderParser(policy=compat32).parsebytes(archive.read(member))
        requires = tuple(Requirement(str(line)) for line in head.get_all("Requires-Dist", ()))
    except (InvalidWheelFilename, InvalidRequirement, StopIteration, OSError, ValueError) as error:
        msg = f"{path} is no wheel that can be read: {printable(str(error)) or 'it has no metadata'}"
        raise DatasetError(msg) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        msg = f"{path} is no wheel that can be read: {printable(str(error))}"
        raise DatasetError(msg) from error
    extras = tuple(canonicalize_name(str(extra)) for extra in head.get_all("Provides-Extra", ()))
    return WheelFacts(name, version, tags, str(head.get("Requires-Python", "")), requires, extras)


def is_wheel(name: str) -> bool:
    """Check whether a path of a mirror is of a wheel in it."""
    folder, _, file = name.rpartition("/")
    if folder != WHEELS or why_unsafe(name):
        return False
    try:
        parse_wheel_filename(file)
    except InvalidWheelFilename:
        return False
    return True


def is_index_page(name: str) -> bool:
    """Check whether a path of a mirror is of a page of its index; SHA256SUMS may be anybody's, and list any path."""
    return name.startswith(f"{INDEX}/") and Path(name).match("*/index.html") and not why_unsafe(name)


def write_index(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the index of the wheels that are listed and there, and list them and it in SHA256SUMS."""
    wheels = {name: sha256 for name, sha256 in sums.items() if is_wheel(name) and (folder / name).is_file()}
    pages = index_pages(folder, wheels)
    for name, page in pages.items():
        refuse_links(folder / name, folder)
        write_if_changed(folder / name, page)
    kept = {name: sha256 for name, sha256 in sums.items() if name.partition("/")[0] not in (WHEELS, INDEX)}
    for name in sums:
        if is_index_page(name) and name not in pages:
            refuse_links(folder / name, folder)
            remove(folder / name)
    hashes = {name: hashlib.sha256(page).hexdigest() for name, page in pages.items()}
    write_if_changed(folder / SUMS, format_sums({**kept, **wheels, **hashes}))


def index_pages(folder: Path, wheels: Mapping[str, str]) -> dict[str, bytes]:
    """Return the pages of the index, by their paths, of wheels with their sha256.

    Raises:
        DatasetError: One of them is no wheel.
    """
    links: dict[str, list[str]] = {}
    for name, sha256 in sorted(wheels.items()):
        facts, file = wheel_facts(folder / name), name.rpartition("/")[2]
        needs = f' data-requires-python="{html.escape(facts.requires_python)}"' if facts.requires_python else ""
        link = f'<a href="../../{WHEELS}/{quote(file)}#sha256={sha256}"{needs}>{html.escape(file)}</a><br>'
        links.setdefault(facts.name, []).append(link)
    pages = {f"{INDEX}/{name}/index.html": _page(f"Links for {name}", its) for name, its in links.items()}
    if pages:
        pages[f"{INDEX}/index.html"] = _page(
            "Simple index", [f'<a href="{name}/">{name}</a><br>' for name in sorted(links)]
        )
    return pages


def _page(title: str, lines: Sequence[str]) -> bytes:
    head = '<meta charset="utf-8">\n<meta name="pypi:repository-version" content="1.0">'
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n<title>{title}</title>\n</head>\n<body>\n'
        f"<h1>{title}</h1>\n{chr(10).join(lines)}\n</body>\n</html>\n"
    ).encode()
