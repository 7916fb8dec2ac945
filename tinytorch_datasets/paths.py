"""Where are the manifest, the shipped bytes, the downloads and the cache?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinytorch_datasets.errors import StorageError

HOME = "TINYTORCH_DATASETS_HOME"
MANIFEST = "TINYTORCH_DATASETS_MANIFEST"
MIRROR = "TINYTORCH_DATASETS_MIRROR"
OFFLINE = "TINYTORCH_DATASETS_OFFLINE"

_PACKAGE = Path(__file__).resolve().parent
_MANIFEST_NAME = "datasets.yaml"


@dataclass(frozen=True)
class Settings:
    """What the environment says, read afresh at every call so that a test or a notebook may change it."""

    homes: tuple[Path, ...]
    manifest: Path | None
    mirror: str | None
    offline: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the four variables; an empty one counts as not set."""
        homes = environment.get(HOME, "").split(os.pathsep)
        manifest = environment.get(MANIFEST, "")
        return cls(
            homes=tuple(Path(home).expanduser().absolute() for home in homes if home),
            manifest=Path(manifest).expanduser().absolute() if manifest else None,
            mirror=environment.get(MIRROR) or None,
            offline=environment.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no", "off"),
        )


def packaged_manifest() -> Path:
    """The manifest that came with this package: inside it in a wheel, beside it in a clone."""
    inside = _PACKAGE / _MANIFEST_NAME
    return inside if inside.exists() else _PACKAGE.parent / _MANIFEST_NAME


def manifest_path(given: str | os.PathLike[str] | None) -> Path:
    """The manifest to use: the one given, else the environment's, else the packaged one."""
    if given is not None:
        return Path(given).expanduser().absolute()
    return Settings.from_environment().manifest or packaged_manifest()


@dataclass(frozen=True)
class Places:
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
        raise StorageError(what, mend="Add one of your own at the end of the list.", path=self.homes[0])

    @property
    def cache(self) -> Path:
        """The folder of decoded arrays, stamps and locks."""
        return self.home / ".cache"


def places(manifest: Path, *, download_to: str, shipped_in: str) -> Places:
    """The folders of the manifest at that path, which declares the two given folders."""
    homes = Settings.from_environment().homes
    if not homes:
        homes = (_user_cache(),) if manifest.parent == _PACKAGE else (manifest.parent / download_to,)
    return Places(shipped=manifest.parent / shipped_in, homes=homes)


def _user_cache() -> Path:
    # An installed package lies in site-packages, where downloads do not belong. This is the folder that
    # pooch.os_cache gives; asked for directly, because importing pooch takes longer than a cached `get`.
    import platformdirs

    return Path(platformdirs.user_cache_dir("tinytorch-datasets"))


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
