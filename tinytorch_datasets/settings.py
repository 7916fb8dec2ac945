"""Environment variables, and the folders they choose.

What every `get` asks is answered with a str: pathlib takes as long to import as all that this package needs to return
a data set a second time. What only the first one asks is answered with a Path.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HOME = "TINYTORCH_DATASETS_HOME"
MANIFEST = "TINYTORCH_DATASETS_MANIFEST"
MIRROR = "TINYTORCH_DATASETS_MIRROR"
OFFLINE = "TINYTORCH_DATASETS_OFFLINE"
STANDIN = "TINYTORCH_DATASETS_STANDIN"

_PACKAGE = os.path.dirname(os.path.realpath(__file__))
MANIFEST_NAME = "datasets.yaml"
PACKAGED = "packaged"  # what `include` calls the manifest that came with this package
_NAME = "tinytorch-datasets"
_HEAD_BYTES = 64 * 1024  # of a file, for what makes it a manifest: long comments may stand above
DOWNLOADED = "manifests"  # the folder of downloaded ones, in the user's cache: each in a folder named by its sha256
_INSTALLED = ("site-packages", "dist-packages")  # folders of installed packages, where nothing is ever written
_HINT_LINES = 50  # of a manifest, for where downloads and included manifests may be
_AROUND = " \n\"'[]"
DOWNLOAD_TO = "downloaded-datasets"  # beside a manifest that does not say it: named after what is in it
STORES = ("s3", "gs", "az", "hf", "memory")  # schemes of addresses whose files fsspec reads
_ADDRESS = rf"[a-z][a-z0-9+.-]*://|({'|'.join(STORES)}):/"  # whose compiling takes as long as opening the arrays


class Settings(NamedTuple):
    """The environment variables, read at every call so that a test or a notebook may change them."""

    homes: tuple[str, ...]  # on this computer
    manifest: str | None
    mirror: str | None
    offline: bool
    standin: bool
    stores: tuple[str, ...] = ()  # those of the homes that are addresses of stores

    @classmethod
    def from_environment(cls, *, offline: bool | None = None) -> Settings:
        """Read the five variables; an empty one counts as not set. `offline`, if given, overrules its own."""
        given, manifest = os.environ.get(HOME), os.environ.get(MANIFEST)
        folders, stores = _split_homes(given) if given else ((), ())
        return cls(
            homes=tuple([absolute(folder, name=HOME) for folder in folders]),
            manifest=absolute(manifest, name=MANIFEST) if manifest else None,
            mirror=os.environ.get(MIRROR) or None,
            offline=_is_on(OFFLINE) if offline is None else offline,
            standin=_is_on(STANDIN),
            stores=stores,
        )


@lru_cache(maxsize=8)  # every `get` asks
def _split_homes(given: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the folders in a list of homes, as they are spelled, and the addresses of stores."""
    if "@" in given and re.search(rf"({'|'.join(STORES)}):/+[^/]*@", given, re.IGNORECASE):
        msg = f"{HOME} has credentials in it, which are of its store's configuration"
        raise UsageError(msg, hint="Leave them out, and configure the library of that store.")
    homes = re.split(f"{re.escape(os.pathsep)}(?!//)", given)  # an address has a colon
    stores = tuple(home for home in homes if scheme_of(home) in STORES)
    return tuple(home for home in homes if home and home not in stores), stores


def scheme_of(address: str) -> str:
    """Return the scheme of an address, in lower case, of a store's with one slash as well; "" for a path."""
    return address.partition(":/")[0].lower() if ":/" in address and re.match(_ADDRESS, address, re.I) else ""


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def absolute(path: str | os.PathLike[str], *, name: str = "the path") -> str:
    """Spell out, from the root, a path that a person gave. Errors call it by `name`.

    Raises:
        UsageError: It is no path of this computer, has a NUL in it, or begins with the home folder of nobody known.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise _no_path(name, f"{name} is a path, not {path!r}") from None
    if "\0" in text:
        raise _no_path(name, f"{name} has a NUL character in it: {text!r}")
    if os.path.isabs(text) and os.path.normpath(text) == text:
        return text
    if scheme := scheme_of(text):
        if scheme != "file":
            hint = "Only `get` reads a home in a store, as text, and `mirror` writes to one; download a file first."
            raise _no_path(name, f"{name} is an address of {scheme}://, where a path is needed", hint)
        from urllib.request import url2pathname  # slow to import

        if (host := text[len("file://") :].partition("/")[0]).lower() not in ("", "localhost"):
            raise _no_path(name, f"{name} is on another computer, {host}; file:/// has three slashes")
        text = url2pathname(text[len("file://") + len(host) :])
    from pathlib import Path

    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:
        what = f"{name} is {text}, and nobody knows a home folder for {text.split(os.sep)[0]}"
        raise _no_path(name, what, "Write the path from the root on.") from None
    except OSError as error:
        what = f"{name} is {text}, and the current folder is gone"
        raise StorageError(what, hint="Go to a folder that is there.", path=Path(text), errno=error.errno) from error


def _no_path(name: str, what: str, hint: str | None = None) -> UsageError:
    return UsageError(what, hint=hint, arguments={name: name})


def packaged_manifest() -> str:
    """Return the manifest that came with this package: inside it in a wheel, beside it in a clone."""
    inside = os.path.join(_PACKAGE, MANIFEST_NAME)
    return inside if os.path.exists(inside) else os.path.join(os.path.dirname(_PACKAGE), MANIFEST_NAME)


def manifest_path(given: str | os.PathLike[str] | None, environment: Settings | None = None) -> str:
    """Return the manifest to use: the one given, else the environment's, else this folder's, else the packaged one."""
    return chosen_manifest(given, environment)[0]


def chosen_manifest(given: str | os.PathLike[str] | None, environment: Settings | None = None) -> tuple[str, str]:
    """Return the manifest to use, and why it is that one: "given", "variable", "found" or "packaged".

    The environment is read, unless it was read already.

    Raises:
        StorageError: The one of this folder or above cannot be read: whether it is a manifest, nobody knows.
    """
    if given is not None:
        return absolute(given, name="manifest"), "given"
    if named := (environment or Settings.from_environment()).manifest:
        return named, "variable"
    found = next((path for path, why_not in files_above() if not why_not), None)
    return (found, "found") if found else (packaged_manifest(), "packaged")


def files_above() -> Iterator[tuple[str, str]]:
    """Yield each `datasets.yaml` in the current folder and above, the nearest first, and why it is not taken, if so.

    What everybody may write to is nobody's in particular, so none is taken from there. Nor is one that says nothing of
    a manifest's: others call their files `datasets.yaml`, too.

    Raises:
        StorageError: One of them cannot be read.
    """
    try:
        paths = _places_above(os.getcwd())
    except OSError:  # it is gone
        return
    for path in paths:
        if os.path.lexists(path) and not os.path.isdir(path):
            yield path, why_not_taken(path)


@lru_cache(maxsize=8)  # every `get` asks
def _places_above(folder: str) -> list[str]:
    """Return where a `datasets.yaml` of that folder would be, and those of the folders above."""
    folders = [folder]
    while (above := os.path.dirname(folders[-1])) != folders[-1]:
        folders.append(above)
    return [os.path.join(each, MANIFEST_NAME) for each in folders]


def why_not_taken(path: str) -> str:
    """Return why the `datasets.yaml` at a path is in force nowhere, unless it is named; "" if it is.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        for place, name in ((os.path.dirname(path), "its folder"), (path, "it")):
            if os.stat(place).st_mode & stat.S_IWOTH:
                return f"every user may write to {name}"
        return "" if _is_manifest(_head(path)) else "it has neither version nor include, and no mapping of datasets"
    except OSError as error:
        from pathlib import Path

        what = f"{path} cannot be read ({error.strerror}), and may be the manifest of this folder"
        hint = f"Name the one to use: manifest=, --manifest or {MANIFEST}."
        raise StorageError(what, hint=hint, path=Path(path), errno=error.errno, action="read") from error


@lru_cache(maxsize=8)  # every `get` asks
def _is_manifest(head: bytes) -> bool:
    """Check for the keys of a manifest; also quoted, in braces, indented or in UTF-16, which its reader refuses."""
    text = b"\n".join([b"", *head.splitlines()])
    has_list = text.partition(b"\ndatasets:")[2].lstrip()[:1] in (b"-", b"[")  # as files of other programs have
    if b"\nversion:" in text or b"\ninclude:" in text or (b"\ndatasets:" in text and not has_list):
        return True
    text = re.sub(rb"(?m)^[ \t]*([#%].*|---.*)?\n", b"", text.replace(b"\0", b"").strip(b"\xff\xfe\n") + b"\n")
    begin = rb"[{,\s]" if text.lstrip()[:1] == b"{" else rb"(?m)^" + text[: len(text) - len(text.lstrip())]
    return re.search(begin + rb"([\"']?)(version|include)\1[ \t]*:", text) is not None


class Locations(NamedTuple):
    """The folders that a manifest's data lives in.

    `shipped` is only read. `homes` are searched for downloads in order; the first that can be written to
    takes new ones and the decoded arrays. `user_cache` is the user's own cache folder, where no home was given.
    """

    shipped: Path
    homes: tuple[Path, ...]
    user_cache: Path | None = None

    def files(self, folder: str, *, shipped: bool, names: tuple[str, ...]) -> Path:
        """Return the folder that holds a data set's files, or will: the first home that has them all, else `home`.

        Where no home can be written to, it is in the first one.
        """
        if shipped:
            return self.shipped / folder
        for home in self.homes:
            # Not by pathlib, which does not take a folder that may not be looked into for one without the file.
            if len(self.homes) > 1 and all(os.path.isfile(home / folder / name) for name in names):
                return home / folder
        try:
            return self.home / folder
        except StorageError:
            return self.homes[0] / folder

    @property
    def home(self) -> Path:
        """The folder that takes downloads and decoded arrays.

        Raises:
            StorageError: None of several can be written to, or this user has no home folder to put one into.
        """
        if len(self.homes) == 1:
            if not self.homes[0].is_absolute():
                what = f"{self.homes[0]} cannot be written: nobody knows a home folder for this user"
                raise StorageError(what, hint=f"Set {HOME} to a folder.", path=self.homes[0], errno=errno.ENOENT)
            return self.homes[0]
        for home in self.homes:
            if is_writable(str(home)):
                return home
        what = f"none of the folders in {HOME} can be written to: {', '.join(map(str, self.homes))}"
        hint = "Add one of your own at the end of the list."
        raise StorageError(what, hint=hint, path=self.homes[0], errno=errno.EACCES)

    @property
    def cache(self) -> Path:
        """The folder that takes decoded arrays, cache entries and locks."""
        return self.home / ".cache"

    @property
    def caches_of_including(self) -> tuple[Path, ...]:
        """Every folder for the cache entries of manifests that include this one; the first takes new ones.

        Whoever may write beside an included manifest could give its values another one's name, if they were kept there.
        """
        if self.user_cache is None:
            return self.caches
        return (self.user_cache / ".cache",) if self.user_cache.is_absolute() else ()

    @property
    def caches(self) -> tuple[Path, ...]:
        """Every folder that may have decoded arrays, in the order to look."""
        return tuple(home / ".cache" for home in self.homes if home.is_absolute())


def locations(manifest: Path, home: str | None = None, *, download_to: str, shipped_in: str) -> Locations:
    """Return the folders of the manifest at that path, which declares the two given folders; `home` overrules it."""
    from pathlib import Path

    given = given_homes(home)
    homes = tuple(map(Path, given or (_home_beside(str(manifest), download_to, user_cache),)))
    return Locations(manifest.parent / shipped_in, homes, user_cache=None if given else Path(user_cache()))


def likely_homes(manifest: str, home: str | None = None) -> tuple[str, ...]:
    """Guess where a manifest's downloads are, without YAML: a wrong guess costs time alone, for no cache entry fits."""
    return given_homes(home) or tuple(dict.fromkeys(_homes_of_layers(manifest, set())))


def included_path(item: str, including: str) -> str:
    """Return the file that an item of `include` stands for; "" for the name by which a package registers its own."""
    if item == PACKAGED:
        return packaged_manifest()
    if "/" not in item and item.strip(".") and not item.lower().endswith((".yaml", ".yml")):
        return ""
    # From where the including file really is: of a link to its folder, `..` is another folder.
    return os.path.realpath(os.path.join(os.path.dirname(including), item))


def _homes_of_layers(manifest: str, met: set[str]) -> Iterator[str]:
    if manifest in met or len(met) >= _HINT_LINES:
        return
    met.add(manifest)
    try:
        download_to, included = _hinted(manifest)
    except OSError:  # whoever reads it will say so
        return
    yield _home_beside(manifest, download_to, likely_cache)
    for item in included:
        path = included_path(item, manifest)  # none of an installed package, or of one that was downloaded
        yield from _homes_of_layers(path, met) if path else (likely_cache(),)


def given_homes(home: str | None) -> tuple[str, ...]:
    """Return the home that was given, else those of the environment; none if there are none."""
    return (home,) if home is not None else Settings.from_environment().homes


def _home_beside(manifest: str, download_to: str, user_cache: Callable[[], str]) -> str:
    folder = os.path.dirname(manifest)
    return user_cache() if is_installed(folder) else os.path.join(folder, download_to)


def is_installed(folder: str) -> bool:
    """Check whether a manifest's folder is of an installed package, or of downloaded manifests: nobody writes there."""
    parts = folder.split(os.sep)
    return folder == _PACKAGE or not set(_INSTALLED).isdisjoint(parts) or parts[-3:-1] == [_NAME, DOWNLOADED]


def _hinted(manifest: str) -> tuple[str, list[str]]:
    """Return what the first lines of a manifest say of its folder for downloads, and of the manifests it includes."""
    download_to, in_list, included = DOWNLOAD_TO, False, list[str]()
    for line in _head(manifest).splitlines()[:_HINT_LINES]:
        key, _, value = line.decode(errors="replace").partition(":")
        if key == "datasets":
            break
        if key == "download_to":
            download_to = value.split("#")[0].strip(_AROUND)
        in_list = key == "include" or (in_list and line[:1] in (b" ", b"-", b"]"))
        if in_list:
            items = value if key == "include" else line.decode(errors="replace").lstrip(" -")
            included += filter(None, (item.strip(_AROUND) for item in items.split("#")[0].split(",")))
    return download_to, included


def _head(path: str) -> bytes:
    """Return what a file begins with; nothing of what is no regular file, such as a pipe, which would wait for ever."""
    about = os.stat(path) if os.path.isfile(path) else None
    return _read_head(path, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino) if about else b""


@lru_cache(maxsize=64)  # every `get` asks, of all files of its manifest
def _read_head(path: str, *_: int) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")


def user_cache() -> str:
    """Return the user's cache folder, which begins with ``~`` where no home folder of that user is known."""
    import platformdirs  # as pooch.os_cache does; importing pooch takes longer than a cached `get`

    try:
        return platformdirs.user_cache_dir(_NAME)
    except RuntimeError:  # what some of its versions raise for a user whom nobody knows
        return os.path.join("~", ".cache", _NAME)


def likely_cache() -> str:
    """Return the same folder, mostly: importing platformdirs takes as long as all else that a cached `get` does."""
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(own, _NAME) if sys.platform == "linux" else user_cache()


def is_writable(folder: str) -> bool:
    """Check whether files can be written to a folder, or to the nearest one above that is there."""
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    # Windows' own answer is of one attribute alone, and knows nothing of who may write.
    takes_files = write_test(folder) is None if os.name == "nt" else os.access(folder, os.W_OK | os.X_OK)
    return takes_files and os.path.isdir(folder)


def write_test(folder: str, contents: bytes = b"") -> OSError | None:
    """Write a file into a folder, and remove it; return the error if that cannot be done."""
    # Not by tempfile, which on Windows tries thousands of names in a folder that takes none.
    probe = os.path.join(folder, f".{_NAME}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        file = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            os.write(file, contents)
        finally:
            os.close(file)
            os.unlink(probe)
        return None
    except OSError as error:
        return error
