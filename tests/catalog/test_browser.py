"""Catalogs in a browser: what a person sees, on a telephone and on a projector, by day and by night."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.test_catalog import HOSTILE, HOSTILE_ROWS, made
from tests.conftest import Served
from tinytorch_datasets import Catalog, write_catalog

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = 6
BUDGETS_MS = (300_000, 3_000_000, 30_000_000)
HARNESS = Path(__file__).with_name("harness.html")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed; the package does not need it"),
]


def opened(address: str, profile: Path, *options: str, budget_ms: int) -> tuple[str, str]:
    """The page that chromium made of an address, and what it printed; no other host has an address."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    command += [f"--virtual-time-budget={budget_ms}", "--dump-dom", *options, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def paths_of(written: Catalog) -> list[str]:
    """The start page, and those of the first data sets: what ships is among them, and what is not on disk."""
    return ["index.html", *(f"catalog/{name}.html" for name in [*written.pages][:PAGES])]


def looked_at(written: Catalog, address: str, profile: Path, scheme: str) -> tuple[list[dict[str, Any]], str]:
    """What the harness notes of each page of a catalog, in each width, and what chromium printed."""
    shutil.copy(HARNESS, written.start.parent)
    paths = ",".join(paths_of(written))
    color = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    for budget_ms in BUDGETS_MS:
        page, printed = opened(f"{address}harness.html?{paths}", profile, color, budget_ms=budget_ms)
        (answer,) = re.findall(r'<pre id="answer">(.*?)</pre>', page, re.DOTALL)
        if answer:  # else the browser's own clock, ahead of a busy machine, ended before the pages were there
            break
    return json.loads(html.unescape(answer)), printed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_person_sees_all_of_it(serve: Callable[[Path], Served], tmp_path: Path, scheme: str) -> None:
    """At 360 and 1,400 pixels: nothing sideways, every picture, contrast of 4.5, search, filters, keys, no error."""
    written = write_catalog(tmp_path / "site", home=tmp_path / "home")
    address = serve(tmp_path / "site")
    paths = paths_of(written)
    answers, printed = looked_at(written, address, tmp_path / "profile", scheme)

    assert [(one["path"], one["width"]) for one in answers] == [
        (path, width) for path in paths for width in (360, 1400)
    ]
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
    answers, printed = looked_at(written, address, tmp_path / "profile", "light")

    assert [(one["sideways"], one["broken"], one["pale"]) for one in answers] == [(0, [], [])] * 4
    assert "CONSOLE" not in printed
    assert all(path.startswith(("/harness.html", "/index.html", "/catalog/")) for path in address.asked)
