"""Writers of small files in published layouts, and the table of all stand-ins."""

from __future__ import annotations

import importlib.util
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

Values = dict[str, dict[str, Any]]


@dataclass
class StandIn:
    """The files of a data set, small, and what each field of each split must be.

    `places` are laid over the splits of the entry, because there are fewer samples: rows, and how many are stored.
    """

    files: dict[str, bytes]
    values: Values
    places: dict[str, dict[str, Any]] = field(default_factory=dict)


class Draw:
    """Random values, the same for the same name."""

    def __init__(self, name: str) -> None:
        self._random = np.random.default_rng(zlib.crc32(name.encode()))

    def pixels(self, *shape: int, high: int = 256, dtype: str = "u1") -> np.ndarray:
        """Whole numbers from 0."""
        return self._random.integers(0, high, shape).astype(dtype)

    def floats(self, *shape: int, dtype: str = "f8") -> np.ndarray:
        """Numbers around 0, of four decimals, so that text has them exactly."""
        return self._random.normal(size=shape).round(4).astype(dtype)

    def labels(self, count: int, classes: int) -> np.ndarray:
        """Numbers of classes; the first and the last are among them."""
        return np.array([0, classes - 1, *self._random.integers(0, classes, count - 2)])

    def picture(self, kind: str, height: int, width: int, mode: str = "RGB") -> bytes:
        """A picture of random blocks, as Pillow writes it, opaque."""
        small = Image.fromarray(self.pixels(4, 4, 3)).resize((width, height), Image.Resampling.NEAREST)
        image = small.convert(mode)
        file = io.BytesIO()
        image.save(file, kind)
        return file.getvalue()


MAKERS: dict[str, Callable[[Draw], StandIn]] = {}


def stand_in(*names: str) -> Callable[[Callable[[Draw], StandIn]], Callable[[Draw], StandIn]]:
    """Enter a maker under the names of the entries that it is for."""

    def enter(make: Callable[[Draw], StandIn]) -> Callable[[Draw], StandIn]:
        assert not MAKERS.keys() & set(names)
        MAKERS.update(dict.fromkeys(names, make))
        return make

    return enter


def decoded(data: bytes, mode: str = "") -> np.ndarray:
    """What Pillow makes of a picture."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert(mode) if mode else image)


def sklearn_folder() -> Path:
    """Where the package of scikit-learn has its files; it is not imported, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets"


def tarred(members: Mapping[str, bytes], kind: Literal["gz", ""] = "gz") -> bytes:
    """A tar archive, its folders in it as `tar c` writes them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz" if kind else "w:") as archive:
        for name in sorted({*members, *_folders(members)}):
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if name in members else tarfile.DIRTYPE
            info.size = len(members.get(name, b""))
            archive.addfile(info, io.BytesIO(members.get(name, b"")))
    return file.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip archive, its folders in it as Info-ZIP writes them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for folder in _folders(members):
            archive.writestr(f"{folder}/", b"")
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _folders(members: Mapping[str, bytes]) -> list[str]:
    return sorted({name[:end] for name in members for end in range(len(name)) if name[end] == "/"})
