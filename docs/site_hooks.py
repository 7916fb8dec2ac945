"""What the documentation site has beyond the pages in docs/: the catalog, and the files that pages link to."""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytorch_datasets import write_catalog

ROOT = Path(__file__).parents[1]
# Files of the repository outside of docs/ that pages link to are pages below this folder of the site.
OUTSIDE = "repository"
GUIDES = ("tutorial.md", "classroom.md")

_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2`* *$\n?", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
# What a catalog says of the disk that it was made from is not the reader's; how to install is said once on the site.
_DISK = re.compile(r'<li class="(?:here|away)">(?:not )?on disk</li>')
_INSTALL = re.compile(r"(?<=<code>)%?pip install [^\n]*\n")
_SAMPLES = re.compile(r"<p>Not on disk when this page was made: (<code.*?</code>) gets it\.</p>")
# What a page says on the site only, where it has the catalog to link to.
_SITE = re.compile(r"<!-- site:\n?(.*?)\n?-->", re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")
# Words of a link that are the name of a file: the site has the title of the page in their place.
_NAMED = re.compile(r"\[(?:[\w.-]+/)*[\w.-]+\.md\](?=\((?![a-z]+:)([^)#\s]+))")
_QUESTION = re.compile(r"^<!-- question: (.*) -->$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the catalog of the packaged manifests, and what the pages link to outside of docs/."""
    from mkdocs.structure.files import File, InclusionLevel

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "catalog")
        write_catalog(folder, manifest=ROOT / "datasets.yaml", home=Path(scratch, "home"))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            uri = path.relative_to(folder.parent).as_posix()
            content = path.read_bytes()
            if path.suffix == ".html":
                content = _as_page_of_the_site(uri, content.decode("utf-8")).encode("utf-8")
            files.append(File.generated(config, uri, content=content))
    for path in _linked([f"docs/{file.src_uri}" for file in files.documentation_pages()]):
        uri, content = _uri(path), _content(path)
        files.append(File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_nav(nav: Any, config: Any, files: Any) -> Any:
    """Put the catalog before the reference."""
    from mkdocs.structure.nav import Link

    nav.items.insert([item.title for item in nav.items].index("Reference"), Link("Data sets", "catalog/index.html"))
    return nav


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Show the question that a page answers, leave out what only cog reads, and lead links into the site."""
    uri = page.file.src_uri
    outside = uri.startswith(f"{OUTSIDE}/")
    path = uri.removeprefix(f"{OUTSIDE}/") if outside else f"docs/{uri}"
    question = _QUESTION.search(markdown)
    if page.is_homepage:  # its doors take the place of both
        page.meta["hide"] = ["navigation", "toc"]
    elif question:
        page.meta["description"] = question[1]
        markdown = markdown.replace(question[0], f"\n*{question[1]}*{{.question}}\n", 1)
    if uri.startswith("how-to/") or uri in GUIDES:  # who searches has a task, and the reference has every word
        page.meta["search"] = {"boost": 2}
    here = posixpath.dirname(uri) or "."
    pieces = []
    for is_code, piece in _pieces(markdown):
        if not is_code:
            piece = _COMMENT.sub("", _SITE.sub(r"\1", piece))
            piece = _NAMED.sub(lambda link: f"[{_title(_target(path, link[1]))}]", piece)
            piece = _LINK.sub(lambda link: posixpath.relpath(_uri(_target(path, link[1])), here), piece)
        pieces.append(piece)
    return "".join(pieces)


def _as_page_of_the_site(uri: str, page: str) -> str:
    """Return a page of the catalog with ways back, and without what is only so where the catalog was made."""
    up = posixpath.relpath(".", posixpath.dirname(uri))
    ways = (
        f'<a href="{up}/index.html">&larr; Documentation</a> &middot; <a href="{up}/tutorial.html#install">Install</a>'
    )
    trail, back = '<nav class="trail" aria-label="Way back">', '<nav class="trail" aria-label="Documentation">'
    page = page.replace("<header>\n", f"<header>\n{back}{ways}</nav>\n", 1).replace(
        f"{ways}</nav>\n{trail}", f"{ways} &middot; "
    )
    page = _INSTALL.sub("", _DISK.sub("", page))
    return _SAMPLES.sub(r"<p>This site has no samples of what is downloaded: \1 downloads it.</p>", page)


def _title(path: str) -> str:
    """Return the title of a page, which is its first heading."""
    match = re.search(r"^# (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else posixpath.basename(path)


def _pieces(markdown: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of a page, and whether each is a block of code."""
    end = 0
    for match in _FENCE.finditer(markdown):
        yield False, markdown[end : match.start()]
        yield True, match[0]
        end = match.end()
    yield False, markdown[end:]


def _linked(paths: list[str]) -> list[str]:
    """Return the files outside of docs/ that pages lead to, directly or from one to the next."""
    reached = dict.fromkeys(paths)
    waiting = [*paths]
    for path in waiting:
        if path.endswith(".md"):
            prose = (piece for is_code, piece in _pieces((ROOT / path).read_text(encoding="utf-8")) if not is_code)
            targets = [_target(path, link) for link in _LINK.findall(_COMMENT.sub("", "".join(prose)))]
            new = [target for target in targets if target not in reached and (ROOT / target).is_file()]
            reached |= dict.fromkeys(new)
            waiting += dict.fromkeys(new)
    return [path for path in reached if not path.startswith("docs/")]


def _target(path: str, link: str) -> str:
    """Return the file of the repository that a link on a page leads to; of a folder, its README."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return f"{target}/README.md" if (ROOT / target / "README.md").is_file() else target


def _uri(path: str) -> str:
    """Return where a file of the repository is in the sources of the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{OUTSIDE}/{path}" + ".md" * path.endswith((".yaml", ".json"))


def _content(path: str) -> str | bytes:
    """Return what the site has of a file outside of docs/: pages and pictures as they are, others as code."""
    content = (ROOT / path).read_bytes()
    if path == _uri(path).removeprefix(f"{OUTSIDE}/"):
        return content
    name, kind = posixpath.basename(path), path.rpartition(".")[2]
    return f"---\nsearch: {{exclude: true}}\n---\n# {name}\n\n````{kind}\n{content.decode('utf-8')}````\n"
