"""Manifests, read from YAML or as they were compiled, and checked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tinytorch_datasets import formats, settings
from tinytorch_datasets.concurrency import collection_paused
from tinytorch_datasets.digests import digest
from tinytorch_datasets.errors import DatasetError, HashMismatch, OfflineError
from tinytorch_datasets.manifest import generated, kept
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.plan import Declared
from tinytorch_datasets.storage.files import exists, whole_file

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.yaml_reader import ParsedYaml

_Answer = TypeVar("_Answer")

# What `get` makes can be made again.
IGNORE = "# Downloads and decoded arrays of tinytorch-datasets. `tinytorch-datasets clean` removes them.\n*\n"


def read(path: Path, *, offline: bool | None = None, aside: Path | None = None) -> Manifest:
    """Read the manifest in that file, and check it against the known formats; what it includes may be `downloaded`."""
    from tinytorch_datasets.manifest import loading  # and with it YAML and Pydantic

    return loading.load(path, formats, partial(downloaded, offline=offline, aside=aside))


def check(parsed: ParsedYaml) -> Manifest:
    """Check a manifest that was read before, and may stand in no file yet."""
    from tinytorch_datasets.manifest import loading

    return loading.check_parsed(parsed, formats, downloaded)


def downloaded(url: str, sha256: str, *, offline: bool | None = None, aside: Path | None = None) -> Path:
    """Return where the manifest of that address is, downloaded unless it was before: to the cache, or below `aside`.

    Raises:
        FetchError: The address did not give it.
        HashMismatch: It gave another one.
    """
    from tinytorch_datasets.fetch import download_address
    from tinytorch_datasets.manifest.yaml_reader import MAX_BYTES

    path = Path(settings.user_cache(), settings.DOWNLOADED, sha256, settings.MANIFEST_NAME)
    if path.is_file() and digest(path).sha256 == sha256:
        return path
    if settings.Settings.from_environment(offline=offline).offline:
        what = f"{without_secrets(url)} is included, and no socket may be opened"
        hint = f"Unset {settings.OFFLINE}." if offline is None else "Read it once online: it is kept."
        raise OfflineError(what, hint=hint, file=path.name, tried=(), missing=())
    if aside is not None:
        path = aside.joinpath(*path.parts[-4:])
    with tempfile.TemporaryDirectory(prefix="tinytorch-datasets-", ignore_cleanup_errors=True) as folder:
        download = download_address([url], Path(folder, path.name), name=path.name, at_most=MAX_BYTES)
        if download.sha256 != sha256:
            what = f"{without_secrets(url)} has sha256\n    {download.sha256}, declared is\n    {sha256}"
            hint = "Look at what it says now; if that is what you want to include, declare its sha256."
            raise HashMismatch(what, hint=hint, path=path, expected=sha256, actual=download.sha256)
        with whole_file(path) as out:
            out.write(download.path.read_bytes())
    return path


def name_included(path: Path, top: Path) -> str:
    """Return what an included manifest is called in messages to whoever uses the one on top: its path from there.

    Several files of one name are the usual case. One that is installed is in no folder of theirs: its whole path.
    """
    if not settings.is_installed(str(path.parent)):
        with suppress(ValueError):  # on Windows, of another drive
            return Path(os.path.relpath(path, top.parent)).as_posix()
    return str(path)


@contextmanager
def naming_included(declared: Declared) -> Iterator[None]:
    """Let errors name the lines of an included manifest with its path, and not with the name that most of them have."""
    try:
        yield
    except DatasetError as error:
        name, _, line = (error.where or "").rpartition(":")
        if declared.included_by and name == declared.manifest.name:
            error.where = f"{name_included(declared.manifest, Path(next(iter(declared.included_by))))}:{line}"
        raise


def declared(path: Path, name: str, *, offline: bool | None = None) -> Declared:
    """Return what the manifest in that file declares of a data set: as it was compiled or kept, or else read now."""
    known = generated.declared(path, name) or kept.declared(path, name, formats)
    return known or _of_read(path, lambda manifest: manifest.declared(name), offline)


def names(path: Path) -> list[str]:
    """Return the names of the data sets of the manifest in that file: as it was compiled or kept, or else read now."""
    return [*generated.every(path)] or kept.names(path) or _of_read(path, lambda manifest: [*manifest.datasets])


def _of_read(path: Path, ask: Callable[[Manifest], _Answer], offline: bool | None = None) -> _Answer:
    """Return what somebody asks of the manifest in that file, which is read, kept for the next time, and let go."""
    with collection_paused():  # which would look at all of it once it is switched on, so it is gone by then
        loaded = read(path, offline=offline)
        kept.keep(loaded)
        answer = ask(loaded)
        del loaded
    return answer


def compiled(path: Path) -> dict[Path, bytes]:
    """Return the compiled form of the manifest in that file, and of those it includes, by where each is kept.

    They are read and checked now.
    """
    forms = {generated.compiled_path(layer.path): layer for layer in read(path).layers}
    return {beside: generated.format_compiled(layer) for beside, layer in forms.items() if beside is not None}


def make_home(home: Path) -> None:
    """Make the folder for downloads that a manifest has beside it, such that Git leaves it alone."""
    if not exists(home):
        with suppress(OSError):  # whoever writes into it will say why that cannot be
            home.mkdir(parents=True)
            (home / ".gitignore").write_bytes(IGNORE.encode())
