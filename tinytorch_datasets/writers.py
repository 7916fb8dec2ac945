"""How are a column's blocks written so that they can be memory-mapped?"""

from __future__ import annotations

import array
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from tinytorch_datasets.plan import Column


class Numbers:
    """One .npy file, written in large pieces at their places."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._stream: IO[bytes] = (folder / f"{column}.npy").open("wb")
        shape = (column.samples, *column.shape)
        dtype = np.dtype(column.dtype)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)
        self._begin = self._at = self._stream.tell()
        self._stride = column.nbytes // column.samples

    def write(self, start: int, values: np.ndarray) -> None:
        """Put a run of samples, the first of which is `start`, in its place."""
        at = self._begin + start * self._stride
        if at != self._at:
            self._stream.seek(at)
        self._stream.write(np.ascontiguousarray(values).data)
        self._at = at + values.nbytes

    def close(self) -> None:
        """No more comes."""
        self._stream.close()


class Strings:
    """A buffer of UTF-8 bytes and the places where strings begin and end, as two .npy files."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._folder, self._column = folder, column
        # Grows with what comes: a manifest may promise more strings than there is room to count.
        self._places = array.array("q", [0])
        self._stream: IO[bytes] = (folder / f"{column}.utf8").open("w+b")

    def write(self, start: int, values: Sequence[str]) -> None:
        """Put strings behind those before; the first is sample `start`."""
        if start != len(self._places) - 1:
            msg = f"{self._column}: strings come in order, but sample {start} follows {len(self._places) - 2}"
            raise ValueError(msg)
        for text in values:
            encoded = text.encode()
            self._stream.write(encoded)
            self._places.append(self._places[-1] + len(encoded))

    def close(self) -> None:
        """No more comes: where each begins and ends is known now."""
        with self._stream as raw, (self._folder / f"{self._column}.utf8.npy").open("wb") as out:
            size = raw.tell()
            raw.seek(0)
            header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(out, header)
            shutil.copyfileobj(raw, out, 2**20)
        (self._folder / f"{self._column}.utf8").unlink()
        np.save(self._folder / f"{self._column}.places.npy", np.array(self._places, np.int64))
