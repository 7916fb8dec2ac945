"""Arrays that are returned may be written to by code that ignores their flag, and no one else sees it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fresh_process import python
from tinytorch_datasets import get
from tinytorch_datasets.storage.memmap import NO_RESERVE, Part, open_map

# Each gives arrays of `tinydigits` or `tinytalks` as a user may come by them.
ARRAYS = {
    "a field": "[get('tinydigits').train.images]",
    "labels": "[get('tinydigits').train.labels]",
    "a slice of a field": "[get('tinydigits').train.images[5:9, 1:3]]",
    "a slice of a split": "get('tinydigits').train[5:9].arrays()",
    "labels beside what is converted": "[get('tinydigits').train.arrays(dtype='float16')[1]]",
    "a batch that is not shuffled": "next(iter(get('tinydigits').train.batches(32)))",
    "the last batch": "list(get('tinydigits').train.batches(300))[-1]",
    "a view of another dtype": "[get('tinydigits').train.labels.view('uint8')]",
    "the bytes of strings": "[get('tinytalks').train.questions._buffer]",
    "the offsets of strings": "[get('tinytalks').train.questions._starts, get('tinytalks').train.questions._ends]",
    "what was pickled": "pickle.loads(pickle.dumps(get('tinydigits').train)).arrays()",
    "a part that was pickled": "pickle.loads(pickle.dumps(get('tinydigits').train[3:9])).arrays()",
    "strings that were pickled": "[pickle.loads(pickle.dumps(get('tinytalks').train)).questions._buffer]",
    "no samples at all": "get('tinydigits').train[:0].arrays()",
    "what arrays of PyTorch's kind are made of": "[np.asarray(get('tinydigits').train.images)]",
    "DLPack": "[np.from_dlpack(get('tinydigits').train.images)]",
}
# NumPy before 2.1 gives no read-only array away by DLPack, so there is nothing that could be written to.
if np.lib.NumpyVersion(np.__version__) < "2.1.0":
    del ARRAYS["DLPack"]

# Fills memory as a library does that knows an address and a length, and no flag.
WRITING = """
import ctypes, pickle
import numpy as np
from tinytorch_datasets import get
for array in {arrays}:
    array = np.ascontiguousarray(array) if not array.flags.c_contiguous else array
    start, stop = np.lib.array_utils.byte_bounds(array) if hasattr(np.lib, "array_utils") else np.byte_bounds(array)
    ctypes.memset(start, 0xFF, stop - start)
    assert not array.size or array.tobytes() == b"\\xff" * array.nbytes
images = get('tinydigits').train.images
print(images.flags.writeable, images.sum(dtype=np.float64), sum(map(len, get('tinytalks').train.questions)))
"""


@pytest.fixture
def sums(home: Path) -> str:
    """What is printed of data sets that nobody wrote to."""
    images, questions = get("tinydigits").train.images, get("tinytalks").train.questions
    return f"False {images.sum(dtype=np.float64)} {sum(map(len, questions))}\n"


@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_nothing_faults_and_no_other_reader_sees_it(arrays: str, home: Path, sums: str) -> None:
    """The process lives on; a later `get` in it has the values of the files, and so has every file."""
    files = {path: path.read_bytes() for path in (home / ".cache" / "arrays").rglob("*.npy")}
    mapped = get("tinydigits").train.images  # another process's
    done = python("-c", WRITING.format(arrays=arrays))

    assert (done.returncode, done.stdout, done.stderr) == (0, sums, "")
    assert {path: path.read_bytes() for path in files} == files
    assert f"{mapped.sum(dtype=np.float64)}" == sums.split()[1]


def test_pytorch_writes_in_place(home: Path, sums: str) -> None:
    """The student's line: a tensor that shares the array's memory is divided in place."""
    pytest.importorskip("torch", reason="PyTorch is not installed; the package does not need it")
    code = """
import warnings; warnings.simplefilter("ignore")
import torch
from tinytorch_datasets import get
import numpy as np
for share in (torch.from_numpy, torch.as_tensor, torch.from_dlpack):
    share(get("tinydigits").train.images).div_(2)
images = get('tinydigits').train.images
print(images.flags.writeable, images.sum(dtype=np.float64), sum(map(len, get('tinytalks').train.questions)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == sums


def test_writing_by_numpy_is_still_refused(home: Path) -> None:
    """The flag says read-only, and NumPy heeds it."""
    split = get("tinydigits").train
    for array in (split.images, split.labels, split[2:4].images, split[:0].images, next(iter(split.batches(8)))[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


# Lets a process have so many bytes more of memory of its own than it has, as `ulimit -d` does.
LIMITED = """
import ctypes, re, resource
import numpy as np
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage.memmap import Part, open_map
def limit(more):
    in_use = int(re.search(r"VmData:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (in_use + more, resource.RLIM_INFINITY))
"""


def limited(code: str) -> str:
    """What a process prints that can limit itself."""
    done = subprocess.run([sys.executable, "-c", LIMITED + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a limit that Linux keeps")
class TestUnderALimitOnMemory:
    """Pages of one's own count against `ulimit -d`; pages for reading alone do not, but there a write would fault."""

    def test_what_is_larger_is_refused(self, tmp_path: Path) -> None:
        """In a sentence, with the file and the bytes, whoever opens it."""
        np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (2**28,))
        printed = limited(f"""
limit(2**26)
try:
    open_map({str(tmp_path)!r}, Part("large.npy", "|u1", (2**28,), 128))
except StorageError as error:
    print(error, error.path, error.errno, sep="\\n")
""")

        assert printed == (
            f"{tmp_path}/large.npy cannot be opened: a limit on this process's memory leaves no room for 268,435,584 "
            "bytes\n  Raise the limit (`ulimit -d` and `ulimit -v` show two of them), or open fewer arrays at once.\n"
            f"{tmp_path}/large.npy\n{errno.ENOMEM}\n"
        )

    def test_what_has_room_on_the_heap_is_read_and_may_be_written_to(self, tmp_path: Path) -> None:
        """Neither faults, and the file stays as it was; it is pickled by its file as any map is."""
        values = np.arange(12_000, dtype="<i8")
        np.save(tmp_path / "small.npy", values)
        printed = limited(f"""
import pickle
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
room = [bytearray(2**16) for _ in range(64)]
del room[:-1]  # which leaves it on the heap, for the last one stands above it
limit(0)
array = open_map({str(tmp_path)!r}, Part("small.npy", "<i8", (12_000,), 128))
again = from_pickle(pickle.loads(pickle.dumps(to_pickle(array[5:]))))
ctypes.memset(array.ctypes.data, 0xFF, array.nbytes)
print(type(array._mmap).__name__, array.flags.writeable, array[-1], again[0], again[-1])
""")

        assert printed == "bytearray False -1 5 11999\n"
        assert np.array_equal(np.load(tmp_path / "small.npy"), values)

    def test_get_says_so_without_trying_further(self, home: Path) -> None:
        """By its cache entry, and without."""
        printed = limited(
            """
from tinytorch_datasets import get, pipeline
split = get("tinytalks").train
for remove in (False, True):
    get("tinydigits")
    if remove:
        import shutil
        shutil.rmtree(HOME + "/.cache/entries")
    limit(2**22)
    hoard = []
    try:
        while True:
            hoard.append(bytearray(250_000))  # so that what is left, on the heap too, is smaller than the array
    except MemoryError:
        pass
    try:
        get("tinydigits")
    except StorageError as error:
        print(error.what.split("/")[-1])
    hoard.clear()
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
""".replace("HOME", repr(str(home)))
        )

        what = "train.images.npy cannot be opened: a limit on this process's memory leaves no room for 256,128 bytes\n"
        assert printed == 2 * what


@pytest.mark.skipif(not NO_RESERVE, reason="no such flag is known of this system")
def test_an_array_larger_than_memory_is_mapped(tmp_path: Path) -> None:
    """Pages that are never written need no room in the swap: a sparse file of a TiB."""
    with (tmp_path / "huge.npy").open("wb") as file:
        file.truncate(2**40)
    values = open_map(tmp_path, Part("huge.npy", "|u1", (2**40,), 0))

    assert (values[-1], values.shape) == (0, (2**40,))
