"""The files given to `add`, downloaded or read where they are, and options.

A file is an address, or a path on this computer.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tinytorch_datasets import formats
from tinytorch_datasets.add import naming
from tinytorch_datasets.auditing.lint import BESIDE
from tinytorch_datasets.digests import digest, open_file
from tinytorch_datasets.errors import DecodeError, ManifestError, MissingFile, UsageError, did_you_mean
from tinytorch_datasets.fetch import download_address
from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES
from tinytorch_datasets.manifest.filenames import folded, has_credentials, secret_parameter, without_secrets
from tinytorch_datasets.manifest.format_options import check_format
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml
from tinytorch_datasets.progress import Progress
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.members import check_name
from tinytorch_datasets.readers.archives.source import is_litter, is_zip
from tinytorch_datasets.readers.archives.zip import Zip, opened_zip
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream
from tinytorch_datasets.settings import absolute
from tinytorch_datasets.storage.files import reading, whole_file

# Of an archive of data files, the most that are looked at: a data set of more is a file a sample.
MOST_MEMBERS = 1000


@dataclass(frozen=True)
class Source:
    """One file: its name below the data set's folder, where it is now, its size and sha256, and its address if any."""

    name: str
    path: Path
    bytes: int
    sha256: str
    url: str | None = None


class Unpacked:
    """The files of archives that hold no samples, but data files: each is copied out while it is looked at.

    All together, in however many archives, they come to at most `limit` bytes. They lie under numbers, whatever the
    members are called, in a folder that goes when `add` ends. `dropped` are the names of those that a person leaves
    out, `left_out` all that are no data files, each with why.
    """

    def __init__(self, scratch: Path, *, limit: int = INSPECTED_BYTES) -> None:
        self._folder = scratch / "members"
        self._limit = self._left = limit
        self._members: dict[Path, tuple[Path, str]] = {}
        self.dropped = set[str]()
        self.left_out = list[str]()

    def files(self, path: Path, dropped: Collection[str]) -> Iterator[tuple[str, Path]]:
        """Yield the name of each data file of an archive, and where it is now.

        Raises:
            DecodeError: It is damaged, or has too many files, or too large ones.
        """
        limit = max(INSPECTED_BYTES, path.stat().st_size)
        with ExitStack() as stack:
            archive = stack.enter_context(opened_zip(path)) if is_zip(path) else None
            if archive and sum(not _why_no_data(name) for name in archive.entries) > MOST_MEMBERS:
                _refuse_many(path)  # before the first of them is looked at
            for name, stream in _of_zip(archive) if archive else _of_tar(path, limit):
                if name in dropped:
                    self.dropped.add(name)
                if why := "left out by --drop" if name in dropped else _why_no_data(name):
                    self.left_out.append(f"{name}: {why}")
                    continue
                check_name(path, name)
                if len(self._members) == MOST_MEMBERS:
                    _refuse_many(path)
                copy = self._folder / str(len(self._members)) / (naming.safe_name(name) or "file")
                copy.parent.mkdir(parents=True)
                self._members[copy] = path, name
                with copy.open("xb") as out:
                    while piece := stream.some(OUTPUT_CHUNK):
                        self._left -= len(piece)
                        if self._left < 0:
                            stream.fail(f"the files up to here are more than {self._limit:,} bytes, {INSPECTED}")
                        out.write(piece)
                yield name, copy

    def let_name_its_archive(self, error: DecodeError) -> None:
        """Let an error name the archive that was given, and the members on the way, and no copy."""
        while error.path in self._members:
            error.path, name = self._members[error.path]
            error.reason = f"member {name!r}: {error.reason}"
            error.what = f"{error.path}: {error.reason}"


def _refuse_many(path: Path) -> NoReturn:
    reason = f"it is an archive of more than {MOST_MEMBERS:,} files, which are no samples of one format"
    raise DecodeError(path, reason, hint="Unpack it, and add the files that are one data set.")


def _of_zip(archive: Zip) -> Iterator[tuple[str, Stream]]:
    return ((name, archive.member(name, name, ())) for name, entry in archive.entries.items() if not entry.is_folder)


def _of_tar(path: Path, limit: int) -> Iterator[tuple[str, Stream]]:
    return tar.matching(path, lambda name: not is_litter(name), limit=limit, limit_reason=INSPECTED)


def _why_no_data(name: str) -> str:
    """Say why a file is no data; "" if it may be."""
    if is_litter(name):
        return "litter of a program"
    last = name.rpartition("/")[2].upper()
    return "stands beside data, and is none" if any(fnmatch.fnmatchcase(last, one.upper()) for one in BESIDE) else ""


def is_address(given: str) -> bool:
    """Check whether what was given is an address, and not a path."""
    return given.partition("://")[0].lower() in ("http", "https") and "://" in given


def refuse_other_addresses(given: str) -> None:
    """Refuse an address of a kind that is not fetched (ftp://, s3://): it is no path either.

    Raises:
        UsageError: It is one.
    """
    if "://" in given and not is_address(given) and not Path(given).exists():
        what = f"{without_secrets(given)}: only addresses that start with https:// or http:// are fetched"
        raise UsageError(what, hint="Download it by other means, and add the file.")


def refuse_secrets(address: str) -> None:
    """Refuse an address that carries a key of whoever copied it, or that ends on some day.

    Raises:
        UsageError: It does. The error does not show the secret.
    """
    shown = without_secrets(address)
    if has_credentials(address):
        what = f"{shown} was given with a user name or password, and a manifest is read by everyone"
        raise UsageError(what, hint="Use an address that everybody may read; or download the file, and add that.")
    if parameter := secret_parameter(address):
        what = (
            f"{shown}: {parameter} is a key or an expiry of whoever copied this address; a manifest is read by everyone"
        )
        hint = "Use the address that everybody is given; or download the file, and add that with --ship or --mirror."
        raise UsageError(what, hint=hint)


def list_files(given: str) -> tuple[list[Path], dict[Path, str]]:
    """List a path's data files, those of all folders below, or those that a pattern takes; and the rest, each with why.

    Raises:
        MissingFile: There is no file, or only what is no data.
    """
    path = Path(absolute(given))
    if path.is_file():
        return [path], {}
    # A pattern in quotes, or one on Windows, is expanded by no shell.
    if not path.exists():
        names = sorted(glob(str(path)))  # noqa: PTH207  # for Path.glob, some patterns are errors
        if taken := [file for file in map(Path, names) if file.is_file()]:
            return taken, {}
    paths, left_out = list[Path](), dict[Path, str]()
    for file in _walk(path):
        if why := _why_no_data(file.relative_to(path).as_posix()):
            left_out[file] = why
        else:
            paths.append(file)
    if not paths:
        what = f"{path} holds no data file" if path.is_dir() else f"{path} is missing"
        raise MissingFile(what, hint="Name a file, a folder of files, or an address.", path=path)
    return paths, left_out


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, in the order of their names, and each folder of litter as one."""
    if not folder.is_dir():
        return
    with reading(folder, where=None, hint="Name another folder."):
        inside = sorted(folder.iterdir())
    for path in inside:
        if path.is_dir() and not path.is_symlink() and not is_litter(path.name):
            yield from _walk(path)
        else:
            yield path


def read(path: Path, name: str | None = None) -> Source:
    """Hash a file on this computer, called by `name` or else by its own name.

    Raises:
        MissingFile: It is not there.
        StorageError: It cannot be read.
    """
    with reading(path, where=None, hint="Name another file."):
        hashed = digest(path)
    return Source(name or path.name, path, hashed.bytes, hashed.sha256)


class PassedOver(NamedTuple):
    """A file of a given folder that is no data: where it is, what it would be called, and why it is left out."""

    path: Path
    name: str
    why: str


def read_all(given: str) -> tuple[list[Source], list[PassedOver]]:
    """Hash a path's data files, each called by its path below the given folder; with those that are left out."""
    paths, left_out = list_files(given)
    root = Path(absolute(given))
    root = root if root.is_dir() else root.parent
    while has_magic(str(root)) and not root.exists():
        root = root.parent
    others = [PassedOver(path, path.relative_to(root).as_posix(), why) for path, why in left_out.items()]
    return [read(path, path.relative_to(root).as_posix()) for path in paths], others


def download(urls: Sequence[str], name: str, into: Path, *, progress: Progress | None) -> Source:
    """Download a file whose size and hash nobody knows yet, from the first of these addresses that gives it.

    Raises:
        FetchError: None did; `tried` has the reason of each.
    """
    file = download_address(urls, into / name, name=name, progress=progress)
    return Source(name, file.path, file.bytes, file.sha256, file.url)


def download_unnamed(url: str, into: Path, *, progress: Progress | None) -> Source:
    """Download a file that is named by its address, or else by what its host calls it.

    Raises:
        FetchError: It does not come.
    """
    name = naming.file_name(url)
    file = download_address([url], into / name, name=name, progress=progress)
    headers = {key.lower(): value for key, value in file.headers.items()}
    named = naming.file_name(url, headers.get("content-disposition", ""))
    if named != name and "content-encoding" in headers and _is_gzip(named) != _is_gzip(name):
        # Whether a body called gzip is a file's wrapping, or the file, is seen by the file's name.
        return download([url], named, into, progress=progress)
    return Source(named, file.path.replace(into / named), file.bytes, file.sha256, url)


def _is_gzip(name: str) -> bool:
    return name.lower().endswith((".gz", ".tgz"))


def with_distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Name files that would have one name by as much of their paths as tells them apart; a file given twice is one.

    Raises:
        UsageError: Nothing tells them apart.
    """
    unique = {(source.url or "", source.url or source.path): source for source in sources}
    groups: dict[str, list[Source]] = {}
    for source in unique.values():
        groups.setdefault(folded(source.name), []).append(source)
    names: dict[int, str] = {}
    for group in groups.values():
        for source, name in zip(group, _distinct(group), strict=True):
            names[id(source)] = name
    return [replace(source, name=names[id(source)]) for source in unique.values()]


def _distinct(group: Sequence[Source]) -> list[str]:
    names = [source.name for source in group]
    if len(group) == 1:
        return names
    above = [_parts_above(source) for source in group]
    for depth in range(1, max(map(len, above)) + 1):
        longer = ["/".join([*parts[-depth:], name]) for parts, name in zip(above, names, strict=True)]
        if len(set(map(folded, longer))) == len(group):
            return longer
    by_query = [naming.with_query(source.name, source.url or "") for source in group]
    if len(set(map(folded, by_query))) == len(group):
        return by_query
    both = " and ".join(without_secrets(source.url or str(source.path)) for source in group[:2])
    what = f"{both} are both files named {names[0]}"
    raise UsageError(what, hint="Rename one of them.")


def _parts_above(source: Source) -> list[str]:
    """List the folders that a file's path or address has above its name."""
    if source.url:
        return [part for part in naming.url_parts(source.url) if part != source.name]
    return list(source.path.parts[1 : len(source.path.parts) - len(source.name.split("/"))])


def place(source: Source, folder: Path) -> None:
    """Copy the file to a folder, under its own name, unless it is there."""
    target = folder / source.name
    if target.exists() and target.samefile(source.path):
        return
    with whole_file(target) as out, open(source.path, "rb", opener=open_file) as stream:
        shutil.copyfileobj(stream, out, 2**20)


def parse_options(form: str, typed: Mapping[str, str]) -> dict[str, Any]:
    """Return options of a format as the manifest has them, from what was typed.

    Raises:
        UsageError: The format has no such option, or it cannot be that.
    """
    known = formats.of(form).options
    for option in typed:
        if option not in known:
            there_are = f"; it has {', '.join(known)}" if known else "; it has none"
            what = f"--option {option}: format {form!r} has no such option{did_you_mean(option, known) or there_are}"
            raise UsageError(what, hint="Correct it, or leave it out.")
        if "dict" in str(known[option]) and formats.of(form).describe is None:
            by = " columns are chosen by --target and --drop" if option == "columns" else " it has parts"
            msg = f"--option {option}:{by}"
            raise UsageError(msg, hint="Leave it out, or declare it by hand.")
    options = {option: _typed(text, str(known[option])) for option, text in typed.items()}
    entry = {"format": form, "options": options, "fields": {}, "splits": {}}
    for keys, what in check_format(entry, formats):
        if len(keys) > 1:
            msg = f"--option {keys[1]}={typed[str(keys[1])]}: {what}"
            raise UsageError(msg, hint="Correct it.")
    return options


def _typed(text: str, annotation: str) -> Any:
    """Return a value as YAML would have it, where its option is no text."""
    if "dict" in annotation:
        try:
            return ParsedYaml(text, Path("option")).data
        except ManifestError:
            return text  # which is none of the option's values, and refused as such
    if "str" in annotation or "Literal" in annotation:
        return text.replace("\\t", "\t")
    if re.fullmatch(r"(?i)true|false", text):
        return text.lower() == "true"
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text) else text
