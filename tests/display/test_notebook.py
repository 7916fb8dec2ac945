"""A real notebook, run by a real kernel: what is shown there, and what moves while bytes come."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.helpers.faulty_server import FaultyServer, serve
from tests.test_get import facts
from tinytorch_datasets import RaggedArray, Split, get
from tinytorch_datasets.storage.string_array import StringArray

pytest.importorskip("ipykernel", reason="a notebook's kernel is not installed; the package does not need it")
pytestmark = pytest.mark.slow  # a kernel takes seconds to start


@pytest.fixture
def slow_manifest(tmp_path: Path, server: FaultyServer, home: Path) -> Path:
    """A manifest of one data set, of which a server sends 64 kB each twentieth of a second."""
    data = tmp_path / "train.npy"
    np.save(data, np.zeros((1000, 32, 32), np.uint8))
    url = server.at("/train.npy", serve(data.read_bytes(), piece=64 * 1024, pause_s=0.05))
    entry = {
        "title": "slow <b>",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "made here",
        "fields": {"images": {"dtype": "uint8", "shape": [32, 32], "range": [0, 255]}},
        "splits": {"train": {"samples": 1000, "images": "train.npy"}},
        "files": {"train.npy": {**facts(data), "urls": [url]}},
    }
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"slow": entry}}))
    return path


@pytest.fixture
def kernel(home: Path) -> Iterator[Any]:
    """A kernel that runs what it is given."""
    manager_of = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_of.start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def messages(kernel: Any, code: str) -> list[tuple[str, dict[str, Any]]]:
    """What a notebook gets to show while a cell runs: the kinds of messages, and what they hold."""
    got: list[tuple[str, dict[str, Any]]] = []

    def keep(message: dict[str, Any]) -> None:
        got.append((message["header"]["msg_type"], message["content"]))

    reply = kernel.execute_interactive(code, output_hook=keep, timeout=60)
    assert reply["content"]["status"] == "ok", got
    return [(kind, content) for kind, content in got if kind in ("display_data", "update_display_data", "stream")]


RECORDINGS = """
import numpy
from tinytorch_datasets import RaggedArray, Split
tones = RaggedArray.of([numpy.sin(numpy.arange(count) / 3) for count in (900, 1200)], dtype="float32")
tones.rate = 8000
recordings = Split("train", {"recordings": tones}, declared={"recordings": {"rate": 8000}})
recordings
"""

HOSTILE_CLASSES = """Split(
    "train",
    {"images": numpy.zeros((2, 4, 4), numpy.uint8), "labels": numpy.array([0, 1])},
    declared={"labels": {"classes": ["<script>alert(1)</script>", chr(0x202E) + "txt.exe"]}},
)"""


class TestProgress:
    """One place below the cell, which is updated as bytes come."""

    def test_one_display_that_moves(self, kernel: Any, slow_manifest: Path) -> None:
        """A megabyte in nearly a second: several updates, and in the end the whole size; nothing on stderr."""
        shown = messages(
            kernel, f"from tinytorch_datasets import get; d = get('slow', manifest={str(slow_manifest)!r})"
        )

        kinds = [kind for kind, _ in shown]
        assert kinds.count("display_data") == 1
        assert kinds.count("update_display_data") >= 4
        assert "stream" not in kinds  # nor is there a warning of a library that looks for widgets
        assert len({content["transient"]["display_id"] for _, content in shown}) == 1
        parts = [re.search(r'value="(\d+)" max="1024128"', content["data"]["text/html"]) for _, content in shown]
        counts = [int(part[1]) for part in parts if part]
        assert counts == sorted(counts)
        assert len(set(counts)) >= 4
        assert shown[-1][1]["data"]["text/plain"].endswith("train.npy: 1.0 MB")
        assert "slow: 1.0 MB to download" in shown[-1][1]["data"]["text/html"]

    def test_fields_are_pages_and_what_is_made_of_them_is_not(self, kernel: Any) -> None:
        """A slice, a copy and a memory map of somebody else's are NumPy's."""
        code = """
import numpy, os, tempfile
from tinytorch_datasets import get
images = get("tinydigits").train.images
numpy.save(os.path.join(tempfile.mkdtemp(), "own.npy"), images)
display(images, images[:2], images + 1, numpy.memmap(tempfile.TemporaryFile(), shape=3))
"""

        shown = [content["data"] for _, content in messages(kernel, code)]

        assert ["text/html" in data for data in shown] == [True, False, False, False]

    def test_what_is_here_shows_nothing(self, kernel: Any) -> None:
        """A data set that ships comes without a bar."""
        assert messages(kernel, "from tinytorch_datasets import get; d = get('tinydigits')") == []


class TestPages:
    """Run by nbconvert, as whole courses are."""

    def test_a_notebook(self, tmp_path: Path, home: Path) -> None:
        """Each cell that ends in a name shows a page, and a line for those who read text."""
        nbformat = pytest.importorskip("nbformat")
        nbconvert = pytest.importorskip("nbconvert")
        cells = [
            "from tinytorch_datasets import get, load_manifest\ndigits = get('tinydigits')\ndigits",
            "digits.train",
            "digits.train.show(5, seed=1, where=digits.train.labels == 3)",
            "get('tinytalks').train",
            "get('tinytalks').train.questions",
            "load_manifest().datasets['mnist']",
            "digits.train.images",
            "digits.train.labels",
            RECORDINGS,
            "recordings.recordings",
            f"photographs = {HOSTILE_CLASSES}\nphotographs",
        ]
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])

        pytest.importorskip("nbconvert.preprocessors").ExecutePreprocessor(timeout=60).preprocess(book, {})

        for cell in book.cells:
            (output,) = cell.outputs
            assert set(output.data) == {"text/html", "text/plain"}
            assert len(output.data["text/html"]) < 20_000
        for pictures in (book.cells[1], book.cells[6]):
            assert "data:image/png;base64," in pictures.outputs[0].data["text/html"]
        assert "train.labels: int64[1000]" in book.cells[7].outputs[0].data["text/html"]
        page, _ = nbconvert.HTMLExporter().from_notebook_node(book)
        assert page.count("tex2jax_ignore mathjax_ignore") == len(cells)
        assert page.count("data:audio/wav;base64,") == 2
        of_classes = book.cells[-1].outputs[0].data["text/html"]
        assert "<script" not in of_classes
        assert (
            of_classes.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
        )  # below its picture, and among the classes
        assert of_classes.count("\\u202e") == 2


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

REPORT = """<pre id="report"></pre><script>
setTimeout(() => { report.textContent = JSON.stringify({
    pictures: [...document.images].map(image => [image.naturalWidth, image.naturalHeight]),
    sounds: [...document.querySelectorAll("audio")].map(audio => audio.error ? null : audio.duration),
    colors: [...new Set([...document.querySelectorAll("#pages *")].map(one => getComputedStyle(one).color))],
    fetched: performance.getEntriesByType("resource").map(one => one.name).filter(name => !name.startsWith("data:")),
    title: document.title,
    text: document.getElementById("pages").innerText,
}) }, 2000)
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed; any browser shows the pages")
class TestInABrowser:
    """A real one, asked for what it made of the pages."""

    @pytest.mark.parametrize(("ink", "paper"), [("rgb(20, 20, 20)", "#fff"), ("rgb(240, 240, 240)", "#111")])
    def test_pictures_sounds_and_hostile_texts(self, tmp_path: Path, home: Path, ink: str, paper: str) -> None:
        """Pictures and sounds are read, nothing is fetched or run, and texts have the color of the page around them."""
        hostile = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
        pictures = Split(
            "train",
            {"images": np.zeros((2, 8, 6), np.uint8), "labels": np.array([0, 1])},
            declared={"labels": {"classes": [hostile, "\u202etxt.exe"]}},
        )
        recordings = RaggedArray.of([np.sin(np.arange(count) / 3) for count in (4000, 12_000)], dtype="float32")
        recordings.rate = 8000
        sounds = Split("train", {"recordings": recordings}, declared={"recordings": {"rate": 8000}})
        texts = Split("train", {"texts": StringArray.of([hostile])})
        shown: list[Any] = [get("tinydigits"), get("tinydigits").train, pictures, sounds.show(), texts]
        pages = "".join(one._repr_html_() for one in shown)
        page = tmp_path / "pages.html"
        page.write_text(
            f'<meta charset="utf-8"><title>ours</title><body style="color:{ink};background:{paper}">'
            f'<div id="pages">{pages}</div>{REPORT}',
            encoding="utf-8",
        )

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
        command = [str(BROWSER), *options, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
        written = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        (reported,) = re.findall(r'<pre id="report">(.*?)</pre>', written, re.DOTALL)
        report = json.loads(html.unescape(reported))

        assert report["pictures"] == [[98, 8], [14, 8], [240, 28], [240, 28]]
        assert report["sounds"] == [0.5, 1.5]
        assert report["colors"] == [ink]
        assert report["fetched"] == []
        assert report["title"] == "ours"
        assert report["text"].replace("\n", "").count("<script>document.title='ran'</script>") == 3
        assert "\\u202etxt.exe" in report["text"]
