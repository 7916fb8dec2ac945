"""Catalogs: a static site of every data set, read here as a browser's parser reads it."""

from __future__ import annotations

import base64
import json
import re
import textwrap
import time
import wave
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.helpers.audit_world import World
from tests.helpers.faulty_server import sha256
from tinytorch_datasets import Catalog, load_manifest, write_catalog
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import UsageError

VOID = {"meta", "link", "img", "br", "input"}
SHAPES = {"path", "rect", "circle"}


class Page(HTMLParser):
    """A page as it was parsed; elements that are not closed, or closed in another order, fail the test."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.open = path, list[str]()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; no attribute comes twice."""
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a shape of a drawing."""
        assert tag in SHAPES
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text by the element that it is in."""
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of each such element."""
        return [its for name, its in self.elements if name == tag and attributes.items() <= its.items()]

    def words(self, tag: str) -> list[str]:
        """Each text that is in such an element."""
        return [text for text in self.texts.get(tag, ()) if text.strip()]


def catalog(world: World, folder: Path, *arguments: str) -> Result:
    """`tinytorch-datasets catalog FOLDER`."""
    return CliRunner().invoke(main, ["catalog", str(folder), "--manifest", str(world.manifest), *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(folder: Path, entries: str, **files: bytes) -> Catalog:
    """The catalog of a manifest of these entries, whose files ship; `@name` in them is the bytes and hash of one."""
    data = folder / "data"
    for name, content in files.items():
        for path in (data / "datasets" / entry for entry in re.findall(r"^(\w+):$", entries, re.MULTILINE)):
            path.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        entries = entries.replace(f"@{name}", f"{name}: {{bytes: {len(content)}, sha256: {sha256(content)}}}")
    text = "version: 1\ndownload_to: home\ndatasets:\n" + textwrap.indent(entries, "  ")
    (data / "datasets.yaml").write_text(text, encoding="utf-8")
    return write_catalog(folder / "site", manifest=data / "datasets.yaml")


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalog of the packaged manifest, with what ships."""
    return write_catalog(tmp_path_factory.mktemp("site"), home=tmp_path_factory.mktemp("home"))


def pages_of(written: Catalog) -> Iterator[Page]:
    """Every page of a catalog, parsed."""
    return map(Page, (written.start, *written.pages.values()))


class TestEveryPage:
    """Valid, self-contained, and to be used without eyes or a mouse."""

    def test_links_lead_somewhere(self, packaged: Catalog) -> None:
        """Each id is there once, and each link within the site has its file and its place."""
        for page in pages_of(packaged):
            ids = [its["id"] for _, its in page.elements if "id" in its]
            assert len(ids) == len(set(ids))
            for its in (*page.all("a"), *page.all("link"), *page.all("script")):
                file, _, place = (its.get("href") or its.get("src", "")).partition("#")
                if file.startswith(("http://", "https://", "data:")) or not (file or place):
                    continue
                assert (page.path.parent / file).exists()
                assert not place or place in ids

    def test_nothing_is_loaded_from_elsewhere(self, packaged: Catalog) -> None:
        """An address of the web is one that a person clicks, and nothing else."""
        style = (packaged.start.parent / "catalog/catalog.css").read_text()
        script = (packaged.start.parent / "catalog/catalog.js").read_text()
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|innerHTML|eval", style + script)
        for page in pages_of(packaged):
            for tag, its in page.elements:
                loaded = {name: value for name, value in its.items() if name in ("src", "href", "srcset", "style")}
                assert tag == "a" or not any("//" in value.partition(",")[0] for value in loaded.values()), its
                assert not any(name.startswith("on") for name in its)

    def test_it_can_be_read_aloud(self, packaged: Catalog) -> None:
        """A language, one title, landmarks, headings, captions, and a text for each picture that says something."""
        for page in pages_of(packaged):
            assert page.all("html") == [{"lang": "en"}]
            assert len(page.all("h1")) == len(page.all("main")) == len(page.all("header")) == 1
            assert page.all("a", **{"class": "skip", "href": "#main"})
            regions = page.all("div", **{"class": "scroll", "role": "region", "tabindex": "0"})
            assert len(page.all("caption")) == len(regions)
            assert all(its["aria-label"] for its in regions)
            assert all("alt" in its for its in page.all("img"))
            assert {its.get("scope") for its in page.all("th")} <= {"row", "col"}

    def test_programs_read_what_it_is(self, packaged: Catalog) -> None:
        """The head has the data set's Croissant metadata."""
        text = packaged.pages["mnist"].read_text(encoding="utf-8")
        (facts,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', text)

        assert json.loads(facts)["name"] == "mnist"
        assert json.loads(facts)["@type"] == "sc:Dataset"


class TestTheStartPage:
    """A card a data set, with all that the script searches and filters by."""

    def test_it_lists_every_data_set(self, packaged: Catalog) -> None:
        """By name and title, in the manifest's order, without any script."""
        page = Page(packaged.start)
        cards = page.all("li", **{"class": "card"})
        filters = [tuple(card[f"data-{key}"] for key in ("kind", "size", "status", "license")) for card in cards]

        assert [its["href"] for its in page.all("a") if "catalog/" in its["href"]] == [
            f"catalog/{name}.html" for name in load_manifest().datasets
        ]
        assert filters[:5] == [
            ("pictures", "small", "shipped", "BSD-3-Clause"),
            ("text", "small", "shipped", "CC-BY-4.0"),
            ("pictures", "medium", "remote", "not stated by the authors"),
            ("pictures", "large", "remote", "not stated by the authors"),
            ("pictures", "medium", "remote", "MIT"),
        ]

    def test_controls_without_a_script_are_hidden(self, packaged: Catalog) -> None:
        """What does nothing is not shown."""
        assert Page(packaged.start).all("form") == [{"class": "filters", "role": "search", "hidden": ""}]


class TestTheSamples:
    """Of what is on disk, as what they are."""

    def test_pictures_have_the_pixels_of_the_data(self, packaged: Catalog) -> None:
        """Forty of TinyDigits, four of each class, as PNG files whose text says what they are."""
        from PIL import Image

        from tinytorch_datasets import get

        train = get("tinydigits").train
        pictures = Page(packaged.pages["tinydigits"]).all("img", **{"class": "pixels"})
        first = train.labels.tolist().index(9)
        wanted = next(its for its in pictures if its["alt"] == f"sample {first:,}: 9")
        pixels = np.asarray(Image.open(BytesIO(base64.b64decode(wanted["src"].partition(",")[2]))))

        assert [its["alt"].rpartition(" ")[2] for its in pictures] == [str(number // 4) for number in range(40)]
        assert pixels.tolist() == (train.images[first] * 255).round().astype(np.uint8).tolist()

    def test_texts_are_texts(self, packaged: Catalog) -> None:
        """Each field of a sample by its name, and the beginning of a text of the whole split."""
        page = Page(packaged.pages["tinytalks"])

        assert page.words("dd")[:3] == ["Hello!", "Hello, and welcome! What would you like to talk about?", "1"]
        assert page.words("dt")[:3] == ["questions", "answers", "levels"]
        assert page.words("pre")[0].startswith("Q: Hello!\nA: Hello, and welcome!")

    def test_tables_are_tables(self, world: World, tmp_path: Path) -> None:
        """A row a sample, a column a feature, labels by their classes."""
        catalog(world, tmp_path / "site")
        page = Page(tmp_path / "site/catalog/flowers.html")

        assert page.all("div", **{"aria-label": "Values"}) == [
            {"class": "scroll", "role": "region", "aria-label": "Values", "tabindex": "0"}
        ]
        assert page.words("th")[:4] == ["sample", "features[0]", "features[1]", "labels"]
        assert {"rose", "tulip"} <= set(page.words("td"))

    def test_recordings_can_be_played(self, tmp_path: Path) -> None:
        """A WAV file with the frames of the data, below its waveform."""
        frames = (np.sin(np.arange(800) / 5) * 20_000).astype("<i2")
        with BytesIO() as file, wave.open(file, "wb") as out:
            out.setparams((1, 2, 8000, 800, "NONE", ""))
            out.writeframes(frames.tobytes())
            out.close()
            recording = file.getvalue()
        entry = """\
            spoken:
              title: Spoken
              status: shipped
              format: audio
              options: {rate: 8000}
              license: CC0-1.0
              source: https://example.org/spoken
              fields: {recordings: {dtype: int16, shape: [null]}}
              splits: {train: {samples: 1, members: ["*.wav"]}}
              files:
                @one.wav
            """
        written = made(tmp_path, textwrap.dedent(entry), **{"one.wav": recording})
        page = Page(written.pages["spoken"])
        (player,) = page.all("audio")
        with wave.open(BytesIO(base64.b64decode(player["src"].partition(",")[2]))) as played:
            assert played.readframes(800) == frames.tobytes()

        assert written.errors == ()
        assert player["aria-label"] == "sample 0: 0.10 s"
        assert [its["alt"] for its in page.all("img")] == ["waveform of sample 0: 0.10 s"]

    def test_the_histogram_counts_every_sample(self, world: World, tmp_path: Path) -> None:
        """Of each class, in each split; the bars are measured by the largest."""
        catalog(world, tmp_path / "site")
        text = (tmp_path / "site/catalog/flowers.html").read_text()
        bars = re.findall(r'<span class="bar" style="--share:([0-9.]+)"></span>([0-9,]+)', text)

        assert bars == [("1.0000", "10"), ("0.5000", "5")] * 2

    def test_a_large_picture_is_made_smaller(self, tmp_path: Path) -> None:
        """To at most 128 pixels, in proportion."""
        from PIL import Image

        with BytesIO() as file:
            Image.new("RGB", (3000, 1500), (200, 100, 50)).save(file, "PNG")
            photograph = file.getvalue()
        entry = """\
            photos:
              title: Photos
              status: shipped
              format: images
              license: CC0-1.0
              source: https://example.org/photos
              fields: {images: {dtype: uint8, shape: [null, null, 3], range: [0, 255]}}
              splits: {train: {samples: 1, members: ["*.png"]}}
              files:
                @one.png
            """
        written = made(tmp_path, textwrap.dedent(entry), **{"one.png": photograph})
        (shown,) = Page(written.pages["photos"]).all("img")
        pixels = Image.open(BytesIO(base64.b64decode(shown["src"].partition(",")[2]))).convert("RGB")

        assert written.errors == ()
        assert (pixels.size, pixels.getpixel((60, 30))) == ((128, 64), (200, 100, 50))

    def test_the_lines_to_type_name_the_manifest_where_it_is_needed(
        self, packaged: Catalog, world: World, tmp_path: Path
    ) -> None:
        """What comes with the package, in whichever file, needs none."""
        catalog(world, tmp_path / "site")
        codes = Page(tmp_path / "site/catalog/talk.html").words("code")

        assert len(lines := [text for text in codes if "from tinytorch_datasets" in text]) == 2  # a script, a notebook
        assert all('get("talk", manifest="datasets.yaml")' in line for line in lines)
        for name in ("mnist", "fashion-mnist"):
            assert f'data = get("{name}")' in "".join(Page(packaged.pages[name]).words("code"))

    def test_an_open_question_is_no_title(self, tmp_path: Path) -> None:
        """Until somebody gives it one, a data set is shown by its name; and nobody is told a question mark."""
        entry = """\
            mine:
              title: "?"
              status: shipped
              format: csv
              options: {columns: {labels: kind}}
              license: "?"
              source: "?"
              fields: {labels: {dtype: int64, classes: [rose]}}
              splits: {train: {samples: 1, file: mine.csv}}
              files:
                @mine.csv
            """
        written = made(tmp_path, textwrap.dedent(entry), **{"mine.csv": b"kind\nrose\n"})

        assert written.errors == ()
        assert Page(written.start).words("a").count("mine") == 1
        assert Page(written.pages["mine"]).words("h1") == ["mine"]
        assert Page(written.pages["mine"]).words("title") == ["mine"]
        for page in (written.start, *written.pages.values()):
            assert '"?"' not in page.read_text("utf-8")
            assert ">?<" not in page.read_text("utf-8")

    def test_what_is_not_on_disk_has_a_page_too(self, packaged: Catalog, no_network: None) -> None:
        """With the line that gets it, and everything that is declared."""
        page = Page(packaged.pages["cifar10"])

        assert packaged.with_samples == ("tinydigits", "tinytalks")
        assert "tinytorch-datasets get cifar10" in page.words("code")
        assert "pip install tinytorch-datasets" not in page.words("code"), "no index has it"
        assert {"airplane", "truck"} <= set(page.words("li"))
        assert any("6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce" in w for w in page.words("code"))


HOSTILE = """\
evil:
  title: </title><script>alert(1)</script>
  description: "<b>bold</b> & 'quoted' \\"twice\\""
  status: shipped
  format: jsonl
  license: '"><img src=x onerror=alert(2)>'
  source: javascript:alert(3)
  citation: </code></pre><script>alert(4)</script>
  fields:
    text: {dtype: str}
    labels: {dtype: int64, classes: ["</td><script>alert(5)</script>", "' onclick='x"]}
  splits:
    train: {samples: 2, file: data.jsonl, labels: label}
  files:
    @data.jsonl
"""


HOSTILE_ROWS = b"".join(
    json.dumps(row).encode() + b"\n"
    for row in (
        {"text": "</dd></dl></script><script>alert(6)</script><!--", "label": "</td><script>alert(5)</script>"},
        {"text": "a\u0000b\u202e]]>&lt;", "label": "' onclick='x"},
    )
)


class TestHostileTexts:
    """Whatever stands in a manifest or in data is shown as text, and does nothing."""

    def test_they_are_no_elements(self, tmp_path: Path) -> None:
        """Not in the head, in JSON-LD, in attributes, nor in samples."""
        written = made(tmp_path, HOSTILE, **{"data.jsonl": HOSTILE_ROWS})
        page, start = Page(written.pages["evil"]), Page(written.start)

        assert written.errors == ()
        assert page.words("h1") == ["</title><script>alert(1)</script>"]
        assert "</dd></dl></script><script>alert(6)</script><!--" in page.words("dd")
        assert "</td><script>alert(5)</script>" in page.words("th")
        assert not [its for its in page.all("a") if "javascript" in its["href"]]
        for one in (page, start):
            scripts = [its.get("src") or its["type"] for its in one.all("script")]
            assert [name.rpartition("/")[2] for name in scripts] in (["catalog.js", "ld+json"], ["catalog.js"])
            assert not one.all("b") + one.all("i")
            assert all(its["src"].startswith("data:image/png;base64,") for its in one.all("img"))
            assert not any(name.startswith("on") for _, its in one.elements for name in its)
        assert "\u202e" not in written.pages["evil"].read_text(encoding="utf-8")


class TestTheFolder:
    """The same pages every time, and nobody else's file touched."""

    def test_it_is_the_same_every_time(self, world: World, tmp_path: Path) -> None:
        """Byte for byte; a second run writes nothing anew."""
        catalog(world, tmp_path / "a")
        catalog(world, tmp_path / "b")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
        catalog(world, tmp_path / "a")

        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before

    def test_pages_of_what_is_gone_go(self, world: World, tmp_path: Path) -> None:
        """Those that the catalog wrote itself, by that name; a copy of one, and any other file, stay."""
        site = tmp_path / "site"
        catalog(world, site)
        page = (site / "catalog/talk.html").read_bytes()
        (site / "catalog/copy of talk.html").write_bytes(page)
        (site / "catalog/notes.html").write_text("mine")
        text = world.manifest.read_text()
        world.manifest.write_text(text[: text.index("  talk:")] + text[text.index("  digits:") :])
        result = catalog(world, site)

        assert result.stderr == f"removed: {site / 'catalog/talk.html'}, whose data set is gone\n"
        assert {path.name for path in (site / "catalog").glob("*.html")} == {
            "copy of talk.html",
            "digits.html",
            "flowers.html",
            "notes.html",
        }

    @pytest.mark.parametrize("name", ["index.html", "catalog/talk.html", "catalog/catalog.css"])
    def test_a_file_of_somebody_else_is_not_replaced(self, world: World, tmp_path: Path, name: str) -> None:
        """It is reported before anything is written."""
        (tmp_path / "site/catalog").mkdir(parents=True)
        (tmp_path / "site" / name).write_text("mine")
        with pytest.raises(UsageError) as raised:
            write_catalog(tmp_path / "site", manifest=world.manifest)

        assert str(raised.value) == (
            f"{tmp_path / 'site' / name} is in the way: no catalog wrote it\n  Name another folder, or move it away."
        )
        assert contents(tmp_path / "site") == {name: b"mine"}

    def test_files_that_are_not_as_declared_are_reported(self, world: World, tmp_path: Path) -> None:
        """The other pages are written, that one has no samples, and the exit code says it; no path of this computer."""
        world.flip(world.file("talk/talk.txt"))
        result = catalog(world, tmp_path / "site")

        assert result.exit_code == 1
        assert result.stdout.endswith("index.html: 3 data sets, 2 with samples\n")
        assert "talk.txt" in result.stderr
        assert Page(tmp_path / "site/catalog/talk.html").words("p")[0] == (
            "Its files are on disk, and could not be read when this page was made: "
            "`tinytorch-datasets audit talk` says why."
        )
        assert str(tmp_path).encode() not in b"".join(contents(tmp_path / "site").values())

    def test_programs_read_what_was_written(self, world: World, tmp_path: Path) -> None:
        """With --json."""
        result = catalog(world, tmp_path / "site", "--json")
        listed: dict[str, Any] = json.loads(result.stdout)

        assert listed["start"] == str(tmp_path / "site/index.html")
        assert [(one["name"], one["samples"]) for one in listed["pages"]] == [
            ("flowers", True),
            ("talk", True),
            ("digits", True),
        ]


@pytest.mark.slow
def test_a_thousand_entries_take_less_than_a_minute(tmp_path: Path) -> None:
    """With a page each, and samples of the tenth of them that is on disk."""
    row = b"".join(b"%d,%d,%s\n" % (n, n * n % 7, [b"rose", b"tulip"][n % 2]) for n in range(20))
    entries = "".join(
        f"""\
flowers{number:04}:
  title: Flowers {number}
  status: {"remote" if number % 10 else "shipped"}
  format: csv
  options: {{header: false, columns: {{labels: 2}}}}
  license: CC0-1.0
  source: https://example.org/flowers
  folder: flowers
  fields:
    features: {{dtype: float32, shape: [2]}}
    labels: {{dtype: int64, classes: [rose, tulip]}}
  splits: {{train: {{samples: 20, file: data.csv}}}}
  mirrors: [https://example.org/]
  files:
    @data.csv
"""
        for number in range(1000)
    )
    (tmp_path / "data/datasets/flowers").mkdir(parents=True)
    (tmp_path / "data/datasets/flowers/data.csv").write_bytes(row)
    file = f"data.csv: {{bytes: {len(row)}, sha256: {sha256(row)}}}"
    text = "version: 1\ndownload_to: home\ndatasets:\n" + textwrap.indent(entries.replace("@data.csv", file), "  ")
    (tmp_path / "data/datasets.yaml").write_text(text)
    started = time.monotonic()
    written = write_catalog(tmp_path / "site", manifest=tmp_path / "data/datasets.yaml")

    assert time.monotonic() - started < 60
    assert (len(written.pages), len(written.with_samples)) == (1000, 100)
