"""What is imported before the files of a data set are asked for, and what while they come."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

import tinytorch_datasets
from tests.helpers.faulty_server import Act, Exchange, FaultyServer, serve, sha256
from tinytorch_datasets import load_manifest, pipeline
from tinytorch_datasets.fetch import DEFAULT_RETRY
from tinytorch_datasets.plan import DTYPES, Column

# Runs all stages for what is declared, as `get` does once it knows that; NumPy is as `prepare` makes it.
RUN = """
import pickle, sys
package, given, prepare = sys.argv[1:]
sys.path.insert(0, package)
exec(prepare)
from pathlib import Path
from tinytorch_datasets import pipeline
with open(given, "rb") as file:
    declared, locations, retry = pickle.load(file)
options = pipeline.Options(None, False, (), "auto", lambda *_: None, retry, lambda entry, arrays: sorted(arrays))
try:
    print(pipeline.run(declared, locations, options))
except Exception as error:
    print(type(error).__name__, str(error).splitlines()[0])
"""
BROKEN = "sys.modules['numpy'] = None"
NOTED = """
class Noted:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(name, flush=True)
sys.meta_path.insert(0, Noted())
"""


def npy(count: int) -> bytes:
    """A file of so many numbers."""
    out = io.BytesIO()
    np.save(out, np.arange(count))
    return out.getvalue()


FILES = {"train.npy": npy(3), "test.npy": npy(2)}


def begun(folder: Path, urls: dict[str, str], prepare: str) -> subprocess.Popen[str]:
    """A process that has neither the package nor NumPy yet, and fetches and decodes two files."""
    files = {name: {"bytes": len(data), "sha256": sha256(data), "urls": [urls[name]]} for name, data in FILES.items()}
    splits = {name: {"samples": count, "x": f"{name}.npy"} for name, count in (("train", 3), ("test", 2))}
    entry: dict[str, object] = {
        "title": "Made",
        "status": "remote",
        "license": "CC0",
        "source": "made here",
        "format": "npy",
    }
    entry |= {"files": files, "splits": splits, "fields": {"x": {"dtype": "int64", "shape": []}}}
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"made": entry}}), encoding="utf-8")
    manifest = load_manifest(path)
    given = folder / "given.pickle"
    given.write_bytes(
        pickle.dumps((manifest.declared("made"), pipeline.locations(manifest, folder / "home"), DEFAULT_RETRY))
    )
    package = str(Path(tinytorch_datasets.__file__).parent.parent)
    command = [sys.executable, "-c", RUN, package, str(given), prepare]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept_back(data: bytes, until: threading.Event, is_asked: threading.Event) -> Act:
    """A server that sends half of a file, and the rest when it may."""

    def act(exchange: Exchange) -> None:
        is_asked.set()
        exchange.head(200, {"Content-Length": len(data)})
        exchange.body(data[: len(data) // 2])
        until.wait(20)
        exchange.body(data[len(data) // 2 :])

    return act


def test_until_files_are_fetched_nothing_needs_numpy(server: FaultyServer, tmp_path: Path) -> None:
    """Where it cannot be imported, the files are kept, and the error is that of whoever decodes them."""
    urls = {name: server.at(f"/{name}", serve(data)) for name, data in FILES.items()}
    with begun(tmp_path, urls, BROKEN) as process:
        out, err = process.communicate(timeout=60)

    assert (out, err) == ("ModuleNotFoundError import of numpy halted; None in sys.modules\n", "")
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "home" / "made").iterdir()}
    assert fetched == FILES


def test_it_is_imported_while_files_come(server: FaultyServer, tmp_path: Path) -> None:
    """The rest of a file is sent when that has begun, and no sooner; it begins when something has come."""
    may_go_on, is_asked = threading.Event(), threading.Event()
    urls = {"train.npy": server.at("/train.npy", kept_back(FILES["train.npy"], may_go_on, is_asked))}
    urls["test.npy"] = server.at("/test.npy", serve(FILES["test.npy"]))
    with begun(tmp_path, urls, NOTED) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "numpy\n"
        assert server.log
        may_go_on.set()
        out, err = process.communicate(timeout=60)

    assert (out, err) == ("['test.x', 'train.x']\n", "")


def test_an_error_of_a_download_is_the_same(server: FaultyServer, tmp_path: Path) -> None:
    """What is imported beside it hides none, whether that can be imported or not."""
    urls = {name: server.at(f"/{name}", serve(b"\0" * len(data))) for name, data in FILES.items()}
    with begun(tmp_path, urls, NOTED) as sound, begun(tmp_path, urls, BROKEN) as broken:
        outputs = [process.communicate(timeout=60)[0].splitlines()[-1] for process in (sound, broken)]

    for output in outputs:
        assert output.startswith("FetchError ")
        assert output.endswith(".npy could not be downloaded from the one mirror:")


@pytest.mark.parametrize("dtype", sorted(set(DTYPES) - {"str"}))
def test_the_room_on_the_disk_is_that_of_numpys_own_arrays(dtype: str) -> None:
    """Though it is counted before NumPy is there."""
    column = Column("train", "x", dtype=dtype, shape=(2, 5), samples=3, file=Path("f"), key="")

    assert column.nbytes == np.zeros((3, 2, 5), dtype).nbytes
