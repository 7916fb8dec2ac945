"""The documentation site, as it is built, followed, and looked at in a browser."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT, Served
from tests.helpers.browser import SCHEMES, WIDTHS, looked_at, needs_chromium, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("material") is None,
        reason="Material for MkDocs, of the extra 'docs', is not installed",
    ),
]

NOTES = Path(__file__).with_name("site.js").read_text(encoding="utf-8")

# What a newcomer wants: in which words, by which links from the front page, where it is answered, and by what.
TASKS = {
    "validation split": (["a validation split"], "how-to/validation-split.html", "divide("),
    "my own CSV": (["my own CSV"], "how-to/my-csv.html", "ttds add"),
    "no network": (["no network"], "how-to/firewall.html", "doctor"),
    "a class of thirty": (["a class of thirty"], "classroom.html", "--serve"),
    "PyTorch DataLoader": (["PyTorch"], "how-to/pytorch.html", "DataLoader"),
    "where are my files": (["where the files are"], "tutorial.html", "TINYTORCH_DATASETS_HOME"),
    "how do I cite": (["citing a data set"], "how-to/science.html", "bibtex"),
    "which data sets there are": (["which data sets there are"], "repository/datasets/index.html", "tinydigits"),
    "hash mismatch error": (["errors by message"], "errors.html", "HashMismatch"),
    "Colab notebook": (["notebooks and Colab"], "how-to/notebook.html", "Colab"),
    "30 students in a class": (["a class of thirty"], "classroom.html", "--serve"),
    "audit in CI": (["an audit in CI"], "how-to/ci.html", "audit"),
}


class Page(HTMLParser):
    """What a page links to, with the words of each link; its anchors, its words, and how many of each element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.main: list[str] = []
        self.words = ""
        self._in_main = 0
        self._words: list[str] = []
        self._link: str | None = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        its = {name: value or "" for name, value in attributes}
        self.anchors |= {its[name] for name in ("id", "name") if name in its}
        if tag == "article" or self._in_main:
            self._in_main += tag == "article"
            self.main.append(tag)
        if tag == "a" and "href" in its:
            self._link, self._words = its["href"], []
        elif "src" in its or (tag == "link" and its.get("rel") in ("stylesheet", "icon", "preconnect", "preload")):
            self.loads.append(its.get("src", its.get("href", "")))
        elif tag == "link" and "href" in its:
            self.links.append((its["href"], ""))

    def handle_data(self, data: str) -> None:
        """Note words."""
        self._words.append(data)
        if self._in_main:
            self.words += data

    def handle_endtag(self, tag: str) -> None:
        """Note where a link ends."""
        self._in_main -= tag == "article"
        if tag == "a" and self._link is not None:
            self.links.append((self._link, " ".join("".join(self._words).split())))
            self._link = None


@functools.cache
def page(path: Path) -> Page:
    """What is on a page."""
    return Page(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def pages_of(site: Path) -> list[str]:
    """Every page of text, and one of code; the tests of catalogs open those of the catalog."""
    paths = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    left_out = re.compile(r"catalog/|404\.html|harness\.html|repository/(?!datasets\.yaml).*\.yaml\.html")
    return [path for path in paths if not left_out.match(path)]


def test_every_link_leads_somewhere(site: Path) -> None:
    """To a page and an anchor of the site; those to other hosts are whole addresses, which nobody asks here."""
    for path in site.rglob("*.html"):
        for link in [link for link, _ in page(path).links] + page(path).loads:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                assert re.fullmatch(r"https?://[\w.-]+\.[a-z]+(:\d+)?(/[^\s<>]*)?", link), (path, link)
            elif not parts.scheme:
                # The page for what is not there is shown below any path, so its links begin at the root.
                above = site if parts.path.startswith("/") and path.name == "404.html" else path.parent
                target = above / unquote(parts.path).lstrip("/") if parts.path else path
                assert target.is_file(), (path, link)
                # Python-Markdown's own skip link and its like begin with two underscores.
                if parts.fragment and not parts.fragment.startswith("__"):
                    assert unquote(parts.fragment) in page(target.resolve()).anchors, (path, link)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture; what a script would ask for is seen by the test with a browser."""
    for path in site.rglob("*.html"):
        assert not [link for link in page(path).loads if urlsplit(link).scheme not in ("", "data")], path
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?https?:|@import", path.read_text(encoding="utf-8")), path


def test_a_page_has_on_the_site_what_it_has_on_github(site: Path) -> None:
    """As many tables, lists and blocks of code: readers of Markdown differ in where they need a blank line."""
    reader = MarkdownIt("commonmark").enable("table")
    names = {"table_open": "table", "bullet_list_open": "ul", "ordered_list_open": "ol", "fence": "pre"}
    for source in sorted((ROOT / "docs").rglob("*.md")):
        text = source.read_text(encoding="utf-8")
        expected = [names[token.type] for token in reader.parse(text) if token.type in names]
        built = page((site / source.relative_to(ROOT / "docs")).with_suffix(".html"))
        found = [tag for tag in built.main if tag in names.values()]

        assert {tag: found.count(tag) for tag in names.values()} == {
            tag: expected.count(tag) for tag in names.values()
        }, source


def test_the_catalog_is_part_of_the_site(site: Path) -> None:
    """Each page of it leads back, and says nothing of the disk that it was built from, or of an index of packages."""
    paths = sorted(site.glob("catalog/**/*.html"))
    for path in paths:
        words = dict(page(path).links)
        text = path.read_text(encoding="utf-8")
        assert "Documentation" in words[posixpath.relpath("index.html", path.parent.relative_to(site).as_posix())]
        assert not re.search("pip install|(?i:on disk)", text), path
    assert len(paths) > 50
    assert "This site has no samples" in (site / "catalog/catalog/mnist.html").read_text(encoding="utf-8")


def test_words_of_a_link_are_no_file_of_the_repository(site: Path) -> None:
    """Of a page that is one of the site: `manifest.md` is what it is on GitHub."""
    for path in pages_of(site):
        if not path.startswith("repository/CHANGELOG"):
            assert not [words for _, words in page(site / path).links if re.fullmatch(r"[\w/.-]+\.md", words)], path


@pytest.mark.parametrize("phrase", TASKS)
def test_what_a_newcomer_wants_is_two_clicks_away(site: Path, phrase: str) -> None:
    """By links whose own words have to do with it."""
    clicks, where, answer = TASKS[phrase]
    path = "index.html"
    for click in clicks:
        wanted, offered = ({word[:3].lower() for word in re.findall(r"\w+", text)} for text in (phrase, click))
        assert (wanted & offered) - {"a", "in", "own", "the", "are", "of"}, click
        targets = {link.partition("#")[0] for link, words in page(site / path).links if words == click}
        assert len(targets) == 1, click
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), *targets))

    assert len(clicks) <= 2
    assert path == where
    assert answer in page(site / path).words


@needs_chromium
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_person_sees_all_of_it(serve: Callable[[Path], Served], site: Path, tmp_path: Path, scheme: str) -> None:
    """At 360 and 1,400 pixels: nothing sideways, every picture, contrast of 4.5, keys and search, no error."""
    address = serve(site)
    # By day each page is looked at in the colors of the night, too; that a browser's own wish is heeded shows on one.
    paths = pages_of(site) if scheme == "light" else ["index.html"]
    phrases = [*TASKS] if scheme == "light" else []  # a search finds the same by night
    notes = NOTES.replace("PHRASES", json.dumps(phrases))
    answers, printed = looked_at(site, address, paths, tmp_path / "profile", scheme, notes)

    assert [(one["path"], one["width"]) for one in answers] == [(path, width) for path in paths for width in WIDTHS]
    for one in answers:
        assert (one["sideways"], one["broken"], one["pale"], one["cut"], one["small"]) == (0, [], [], [], []), one
        assert one["dark"] == (scheme == "dark")
        assert one["skips"]
        if one["path"] == "tutorial.html":  # what the button of each block copies
            assert all(words in one["copied"] for words in ("pip install", "ttds --version\n", "for images, labels"))
            assert ">>>" not in one["copied"]
            assert "900, 100" not in one["copied"]
    (front,) = (one for one in answers if "results" in one)
    assert front["focused"]
    for phrase in phrases:
        where = TASKS[phrase][1]
        found = dict.fromkeys(urlsplit(link).path.removeprefix("/") for link in front["results"][phrase])
        assert where in [*found][:3], (phrase, found)
    assert "CONSOLE" not in printed
    # The server has seen every request: no other host has an address.
    assert {path.partition("?")[0][1:] for path in address.asked} <= {
        path.relative_to(site).as_posix() for path in site.rglob("*")
    }


@needs_chromium
def test_it_is_read_and_searched_from_a_stick(site: Path, tmp_path: Path) -> None:
    """By the address of a file, where a browser starts no worker and fetches nothing."""
    shown, printed = opened(
        f"{(site / 'index.html').as_uri()}?q=validation+split", tmp_path / "profile", budget_ms=300_000
    )

    assert "how-to/validation-split.html" in "".join(re.findall(r'href="([^"]*)" class="md-search-result__link', shown))
    assert "CONSOLE" not in printed
