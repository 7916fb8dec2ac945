"""Pages in a browser: what a person sees, on a telephone and on a projector, by day and by night."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BUDGETS_MS = (300_000, 3_000_000, 30_000_000)
HARNESS = Path(__file__).with_name("harness.html")
SCHEMES = ("light", "dark")
WIDTHS = (360, 1400)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed; the package does not need it")


def opened(address: str, profile: Path, *options: str, budget_ms: int) -> tuple[str, str]:
    """The page that chromium made of an address, and what it printed; no other host has an address."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    command += [f"--virtual-time-budget={budget_ms}", "--dump-dom", *options, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def looked_at(
    folder: Path, address: str, paths: Sequence[str], profile: Path, scheme: str, notes: str = ""
) -> tuple[list[dict[str, Any]], str]:
    """What the harness notes of pages of a folder that is served, in each width, and what chromium printed.

    A script may set ``notes`` to a function of a page and of its note, which adds to the note.
    """
    (folder / "harness.html").write_text(HARNESS.read_text(encoding="utf-8").replace("// NOTES", notes), "utf-8")
    color = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    for budget_ms in BUDGETS_MS:
        page, printed = opened(f"{address}harness.html?{','.join(paths)}", profile, color, budget_ms=budget_ms)
        (answer,) = re.findall(r'<pre id="answer">(.*?)</pre>', page, re.DOTALL)
        if answer:  # else the browser's own clock, ahead of a busy machine, ended before the pages were there
            break
    return json.loads(html.unescape(answer)), printed
