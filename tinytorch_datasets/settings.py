"""Environment variables, and the folders they choose.

What every `get` asks is answered with a str: pathlib takes as long to import as all that this package needs to hand
over a data set a second time. What only the first one asks is answered with a Path.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


HOME = "TINYTORCH_DATASETS_HOME"
MANIFEST = "TINYTORCH_DATASETS_MANIFEST"
MIRROR = "TINYTORCH_DATASETS_MIRROR"
OFFLINE = "TINYTORCH_DATASETS_OFFLINE"

_PACKAGE = os.path.dirname(os.path.realpath(__file__))
_MANIFEST_NAME = "datasets.yaml"
_NAME = "tinytorch-datasets"
DOWNLOAD_TO = "milestones/datasets"


class Settings(NamedTuple):
    """What the environment says, read afresh at every call so that a test or a notebook may change it."""

    homes: tuple[str, ...]
    manifest: str | None
    mirror: str | None
    offline: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the four variables; an empty one counts as not set."""
        homes = environment.get(HOME, "").split(os.pathsep)
        manifest = environment.get(MANIFEST, "")
        return cls(
            homes=tuple(absolute(home) for home in homes if home),
            manifest=absolute(manifest) if manifest else None,
            mirror=environment.get(MIRROR) or None,
            offline=environment.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no", "off"),
        )


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that a person gave, spelled out from the root."""
    told = os.fspath(path)
    if os.path.isabs(told) and os.path.normpath(told) == told:
        return told
    from pathlib import Path

    return str(Path(told).expanduser().absolute())


def packaged_manifest() -> str:
    """The manifest that came with this package: inside it in a wheel, beside it in a clone."""
    inside = os.path.join(_PACKAGE, _MANIFEST_NAME)
    return inside if os.path.exists(inside) else os.path.join(os.path.dirname(_PACKAGE), _MANIFEST_NAME)


def manifest_path(given: str | os.PathLike[str] | None) -> str:
    """The manifest to use: the one given, else the environment's, else the packaged one."""
    if given is not None:
        return absolute(given)
    return Settings.from_environment().manifest or packaged_manifest()


class Locations(NamedTuple):
    """The folders that a manifest's data lives in.

    `shipped` is only read. `homes` are searched for downloads in order; the first that can be written to
    takes new ones and the decoded arrays.
    """

    shipped: Path
    homes: tuple[Path, ...]

    def files(self, folder: str, *, shipped: bool, names: tuple[str, ...]) -> Path:
        """The folder that holds a data set's files, or will: the first home that has them all, else `home`."""
        if shipped:
            return self.shipped / folder
        for home in self.homes:
            if len(self.homes) > 1 and all((home / folder / name).is_file() for name in names):
                return home / folder
        return self.home / folder

    @property
    def home(self) -> Path:
        """The folder that takes downloads and decoded arrays.

        Raises:
            StorageError: None of several can be written to.
        """
        if len(self.homes) == 1:
            return self.homes[0]
        for home in self.homes:
            if _writable(home):
                return home
        listed = ", ".join(map(str, self.homes))
        what = f"none of the folders in {HOME} can be written to: {listed}"
        raise StorageError(what, hint="Add one of your own at the end of the list.", path=self.homes[0])

    @property
    def cache(self) -> Path:
        """The folder that takes decoded arrays, stamps, receipts and locks."""
        return self.home / ".cache"

    @property
    def caches(self) -> tuple[Path, ...]:
        """Every folder that may have decoded arrays, in the order to look."""
        return tuple(home / ".cache" for home in self.homes)


def locations(manifest: Path, home: str | None = None, *, download_to: str, shipped_in: str) -> Locations:
    """The folders of the manifest at that path, which declares the two given folders; `home` overrules it."""
    from pathlib import Path

    homes = _homes(str(manifest), home, lambda: download_to, _user_cache)
    return Locations(shipped=manifest.parent / shipped_in, homes=tuple(map(Path, homes)))


def likely_homes(manifest: str, home: str | None = None) -> tuple[str, ...]:
    """Where the manifest's downloads most likely are, found without reading it as YAML.

    A wrong guess costs time and nothing else: the receipts there do not fit, or there are none.
    """
    return _homes(manifest, home, lambda: _hinted(manifest), _likely_cache)


def _homes(
    manifest: str, home: str | None, download_to: Callable[[], str], user_cache: Callable[[], str]
) -> tuple[str, ...]:
    if home is not None:
        return (home,)
    if homes := Settings.from_environment().homes:
        return homes
    folder = os.path.dirname(manifest)
    return (user_cache() if folder == _PACKAGE else os.path.join(folder, download_to()),)


def _hinted(manifest: str) -> str:
    try:
        with open(manifest, encoding="utf-8", errors="replace") as lines:
            for line in itertools.islice(lines, 50):
                if line.startswith("download_to:"):
                    return line.removeprefix("download_to:").split("#")[0].strip(" \n\"'")
    except OSError:
        pass
    return DOWNLOAD_TO


def _user_cache() -> str:
    # An installed package lies in site-packages, where downloads do not belong. This is the folder that
    # pooch.os_cache gives; asked for directly, because importing pooch takes longer than a cached `get`.
    import platformdirs

    return platformdirs.user_cache_dir(_NAME)


def _likely_cache() -> str:
    """The same folder, mostly: importing platformdirs takes as long as all else that a cached `get` does."""
    if sys.platform != "linux":
        return _user_cache()
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), _NAME)


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return False
    # Windows' own answer is of one attribute alone, and knows nothing of who may write.
    return _takes_a_file(folder) if os.name == "nt" else os.access(folder, os.W_OK | os.X_OK)


def _takes_a_file(folder: Path) -> bool:
    # Not by tempfile, which on Windows tries thousands of names in a folder that takes none.
    probe = folder / f".{_NAME}-{os.getpid()}-{time.monotonic_ns()}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True
