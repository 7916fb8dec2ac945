"""After a power cut the next get is right: whatever was not synced is lost, and no lost byte is a value."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fresh_process import python
from tests.helpers.power_cut import Loss, Moment, rebuild, watch, why_not
from tinytorch_datasets.storage.memmap import stat_signature

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

# How many states are tried; 0 for all of them, which takes some minutes.
STATES = int(os.environ.get("TINYTORCH_DATASETS_POWER_CUTS", "80"))

GET = """
import sys
import numpy as np
from tinytorch_datasets import get
numbers = get("numbers", manifest=sys.argv[1])
print(int(numbers.train.images.sum()), int(numbers.train.labels.sum()), "".join(numbers.train.words))
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and no word about it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Path]:
    """A folder that is served; `address` in it has the address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / "address").write_text(f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()


def write_manifest(mirror: Path, manifest: Path) -> str:
    """Serve a data set of numbers and texts, none of them zero; return what `GET` prints of it."""
    images = np.arange(1, 1 + 40 * 64, dtype="<i4").reshape(40, 8, 8)
    labels, names = np.arange(40) % 4 + 1, [f"sample {number}" for number in range(40)]
    np.savez(mirror / "numbers.npz", images=images, labels=labels, names=np.array(names))
    data = (mirror / "numbers.npz").read_bytes()
    manifest.write_text(
        f"""version: 1
download_to: home
datasets:
  numbers:
    title: Numbers
    status: remote
    format: npz
    license: CC0-1.0
    source: https://example.org/
    fields:
      images: {{dtype: int32, shape: [8, 8]}}
      labels: {{dtype: int64}}
      words: {{dtype: str}}
    splits:
      train: {{samples: 40, file: numbers.npz, images: images, labels: labels, words: names}}
    mirrors: ["{(mirror / "address").read_text()}"]
    files:
      numbers.npz: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}
"""
    )
    return f"{images.sum()} {labels.sum()} {''.join(names)}"


def states(moments: list[Moment]) -> list[tuple[int, Moment, dict[str, Loss]]]:
    """Every moment with all files at a loss, and with some; or a part of those, and the last ones in any case."""
    chance = random.Random(20)
    every: list[tuple[int, Moment, dict[str, Loss]]] = []
    for number, moment in enumerate(moments):
        files = [name for name, file in moment.names.items() if file is not None]
        losses: tuple[Loss, ...] = ("none", "short", "zeros")
        every += [(number, moment, dict.fromkeys(files, loss)) for loss in losses]
        for _ in range(3):  # a file system keeps no order between the data of files
            every.append((number, moment, {name: chance.choices(losses, (5, 1, 4))[0] for name in files}))
    if not STATES or len(every) <= STATES:
        return every
    last = len(every) - STATES // 3
    return chance.sample(every[:last], STATES - STATES // 3) + every[last:]


def watched(home: Path, manifest: Path, log: Path) -> tuple[dict[str, str], list[Moment], dict[str, list[int]]]:
    """Get the data set while it is watched; the environment, the moments, and each file as it was in the end."""
    env = {**os.environ, "TINYTORCH_DATASETS_HOME": str(home)}
    home.mkdir()
    moments = watch(home, [sys.executable, "-c", GET, str(manifest)], env, log)
    files = [path for path in home.rglob("*") if path.is_file()]
    return env, moments, {str(path.relative_to(home)): stat_signature(path) for path in files}


def test_the_next_get_is_right(mirror: Path, tmp_path: Path) -> None:
    """At any moment of fetching, decoding and writing, with whatever is not synced kept, cut off or zeros."""
    manifest, home = tmp_path / "datasets.yaml", tmp_path / "home"
    right = write_manifest(mirror, manifest)
    env, moments, noted = watched(home, manifest, tmp_path / "log")
    assert any(name.endswith(".npy") for name in moments[-1].names), "the arrays were written"

    for number, moment, losses in states(moments):
        rebuild(home, moment, losses, noted)
        done = python("-c", GET, str(manifest), env=env)
        assert (done.returncode, done.stdout.strip()) == (0, right), (number, losses, done.stderr[-1500:])


def test_the_rebuilt_states_are_what_a_get_trusts(mirror: Path, tmp_path: Path) -> None:
    """The last state, with nothing lost, is opened as it is: what is tried above is no cold start each time."""
    manifest, home = tmp_path / "datasets.yaml", tmp_path / "home"
    right = write_manifest(mirror, manifest)
    env, moments, noted = watched(home, manifest, tmp_path / "log")
    rebuild(home, moments[-1], {}, noted)
    array = next(home.rglob("train.images.npy"))
    about = array.stat()

    done = python("-c", GET, str(manifest), env=env)

    assert done.stdout.strip() == right
    assert next(home.rglob("train.images.npy")).stat().st_ino == about.st_ino, "the arrays were decoded again"


def test_a_file_that_is_written_anew_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """What people edit, such as a manifest, is never lost: it is whole, before or after."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "datasets.yaml").write_bytes(b"old" * 3000)
    code = "import sys; from pathlib import Path; from tinytorch_datasets.storage.files import whole_file\n"
    code += "with whole_file(Path(sys.argv[1])) as out:\n    out.write(b'new' * 3000)"

    moments = watch(folder, [sys.executable, "-c", code, str(folder / "datasets.yaml")], os.environ, tmp_path / "log")

    results = set()
    for moment in moments:
        file = moment.names["datasets.yaml"]
        assert file is not None
        results |= {left[file] for left in moment.left.values()}
    assert results == {b"old" * 3000, b"new" * 3000}
