"""BibTeX: how a data set is cited, for a bibliography."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from tinytorch_datasets.exporting import states
from tinytorch_datasets.exporting.declared import answered, is_address
from tinytorch_datasets.manifest.filenames import IN_A_PATH

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry


@states("bibtex", ending=".bib")
def bibtex(name: str, entry: Entry) -> str:
    """BibTeX: the citation that the entry declares, as one entry of a bibliography.

    Of a citation in words, the title in quotes, the year, a DOI, and authors written with their initials first are
    taken where there is no doubt; the words themselves are the note. What is not known is left out. One that is BibTeX
    already is given as it is.
    """
    entry = answered(name, entry)
    cited = (entry.citation or "").strip()
    if re.match(r"@\w+\s*\{", cited):
        return cited + "\n"
    facts = {
        "author": _escaped(_authors(cited)),
        "title": _escaped(_quoted(cited) or entry.title),
        "year": _year(cited),
    }
    doi = re.search(r"https?://(?:dx\.)?doi\.org/(10\.\S+?)[.,;)]*(?=\s|$)", cited)
    facts["title"] = f"{{{facts['title']}}}"  # a second pair keeps its capitals
    lines = [f"  {key} = {{{fact}}}" for key, fact in facts.items() if fact]
    if doi:
        lines.append(f"  doi = {{{doi[1]}}}")
    if is_address(entry.source):
        lines.append(f"  url = {{{quote(entry.source, safe=IN_A_PATH + '?#%[]')}}}")
    if cited:
        lines.append(f"  note = {{{_escaped(cited)}}}")
    return "@misc{" + ",\n".join([name, *lines]) + "\n}\n"


_NAME = re.compile(r"(?:[^\W\d_]\.(?: |-)?)+[^\W\d_][^\d_,\"]*")


def _quoted(cited: str) -> str:
    quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]", cited)
    return quoted[0].rstrip(",. ") if len(quoted) == 1 else ""


def _authors(cited: str) -> str:
    """Return the names before the title, as BibTeX joins them; none if one is not initials and a name."""
    before, quote_sign, _ = cited.replace("“", '"').partition('"')
    names = [name.strip() for name in re.split(r",| and | & ", before) if name.strip()]
    is_list = bool(quote_sign) and all(map(_NAME.fullmatch, names))
    return " and ".join(names) if is_list else ""


def _year(cited: str) -> str:
    """Return the one year that a citation names as such, outside of its title and addresses; none if there are two."""
    rest = re.sub(r"https?://\S+|[\"“][^\"“”]*[\"”]", "", cited)
    years = set(re.findall(r"(?:,\s*|\(|^)((?:19|20)\d\d)(?=[).,;]|\s*$)", rest))
    return years.pop() if len(years) == 1 else ""


def _escaped(text: str) -> str:
    r"""Return a text as TeX reads it.

    >>> _escaped("5% of A & B_1")
    '5\\% of A \\& B\\_1'
    """
    # A brace counts for BibTeX, which knows no TeX, whatever stands before it: so none may stand alone.
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    signs |= {"{": r"\textbraceleft{}", "}": r"\textbraceright{}", **{sign: f"\\{sign}" for sign in "&%$#_"}}
    return "".join(signs.get(sign, sign) for sign in " ".join(text.split()))
