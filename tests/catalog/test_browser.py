"""Catalogs in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalog.test_catalog import HOSTILE, HOSTILE_ROWS, made
from tests.conftest import Served
from tests.helpers.browser import SCHEMES, WIDTHS, looked_at, needs_chromium
from tinytorch_datasets import Catalog, write_catalog

PAGES = 6
FILTERS = Path(__file__).with_name("filters.js").read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, needs_chromium]


def paths_of(written: Catalog) -> list[str]:
    """The start page, and those of the first data sets: what ships is among them, and what is not on disk."""
    return ["index.html", *(f"catalog/{name}.html" for name in [*written.pages][:PAGES])]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_person_sees_all_of_it(serve: Callable[[Path], Served], tmp_path: Path, scheme: str) -> None:
    """At 360 and 1,400 pixels: nothing sideways, every picture, contrast of 4.5, search, filters, keys, no error."""
    written = write_catalog(tmp_path / "site", home=tmp_path / "home")
    address = serve(tmp_path / "site")
    paths = paths_of(written)
    answers, printed = looked_at(tmp_path / "site", address, paths, tmp_path / "profile", scheme, FILTERS)

    assert [(one["path"], one["width"]) for one in answers] == [(path, width) for path in paths for width in WIDTHS]
    for one in answers:
        assert (one["sideways"], one["broken"], one["pale"]) == (0, [], []), one
        assert one["dark"] == (scheme == "dark")
    for start in answers[:2]:
        assert start["focused"] == "q"
        assert start["all"] == list(written.pages)
        assert "cifar10" in start["searched"]
        assert "mnist" not in start["searched"]
        assert start["count"] == f"{len(start['searched']):,} of {len(written.pages):,} data sets"
        assert "tinytalks" in start["filtered"]
        assert "cifar10" not in start["filtered"]
        assert (start["both"], start["none"]) == ([], True)
    assert "CONSOLE" not in printed
    beside = {"catalog/catalog.css", "catalog/catalog.js"}
    assert {path.partition("?")[0][1:] for path in address.asked} == {"harness.html", *paths, *beside}


def test_hostile_and_endless_texts_do_nothing(serve: Callable[[Path], Served], tmp_path: Path) -> None:
    """No script of theirs runs, nothing is asked for, and no word without end widens the page."""
    written = made(tmp_path, HOSTILE.replace("alert(1)", "x" * 300), **{"data.jsonl": HOSTILE_ROWS})
    address = serve(written.start.parent)
    folder = written.start.parent
    answers, printed = looked_at(folder, address, paths_of(written), tmp_path / "profile", "light", FILTERS)

    assert [(one["sideways"], one["broken"], one["pale"]) for one in answers] == [(0, [], [])] * 4
    assert "CONSOLE" not in printed
    assert all(path.startswith(("/harness.html", "/index.html", "/catalog/")) for path in address.asked)
