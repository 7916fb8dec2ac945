"""Portable file names and addresses: what is refused, clashes, or is a secret."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

from tinytorch_datasets.errors import Keys, Problems, UsageError, nearest
from tinytorch_datasets.settings import OFFLINE, STORES, Settings, scheme_of

# What fetching keeps beside a file while it is on its way: the bytes so far, and a note of which mirror gave them.
PART, NOTE = BESIDE = (".part", ".part.json")

# Most file systems store a name in at most so many bytes; fetching adds a few of its own.
LONGEST_NAME = 255 - max(map(len, BESIDE))
LONGEST_PATH = 1024

# What stands for itself in the path of an address (RFC 3986, 3.3), but for "+", which some servers take for a blank.
IN_A_PATH = "/~!$&'()*,;=:@"

_DEVICE = re.compile(r"(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?")
# Most paths are of these characters alone, of which nothing but a device's name or their number is to be feared.
_PLAIN = re.compile(r"(?:[\w-]+(?:\.[\w-]+)*/)*[\w-]+(?:\.[\w-]+)*", re.ASCII)
_BLANK_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def why_unsafe(path: str) -> str | None:
    """Return what makes a path leave its folder, or mean something else on another machine; None if nothing does.

    >>> why_unsafe("splits/train.txt"), why_unsafe("../train.txt"), why_unsafe("aux.txt")
    (None, "leaves its folder: '../train.txt'", "is a device's name on Windows: 'aux.txt'")
    """
    parts = path.split("/")
    if len(path) <= LONGEST_NAME and _PLAIN.fullmatch(path) and not any(map(_DEVICE.fullmatch, parts)):
        return None
    if not path or path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path):
        return f"must be a path below the folder, with forward slashes; is {path!r}"
    if ".." in parts:
        return f"leaves its folder: {path!r}"
    if any(part in ("", ".") or part != part.strip(" ") or part.endswith(".") for part in parts):
        return f"has an empty or dotted part: {path!r}"
    if any(unicodedata.category(c).startswith("C") for c in path) or any(c in '<>:"|?*' for c in path):
        return f"has a character that not every disk can store: {path!r}"
    if unicodedata.normalize("NFC", path) != path:
        return f"is not in Unicode's composed form (NFC), so another disk would store it otherwise: {path!r}"
    if any(_DEVICE.fullmatch(part) for part in parts):
        return f"is a device's name on Windows: {path!r}"
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        return f"is longer than every disk can store: {LONGEST_NAME} bytes a name, {LONGEST_PATH:,} in all"
    return None


def why_hidden(folder: str) -> str | None:
    """Return what is wrong with a folder that begins with a dot: the cache is kept in such a one.

    >>> why_hidden(".cache"), why_hidden("cifar-10")
    ("begins with a dot; such names are reserved for .cache: '.cache'", None)
    """
    return f"begins with a dot; such names are reserved for .cache: {folder!r}" if folder[:1] == "." else None


def clashes(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield names that are in each other's way on disk, each with why: as a folder, or where one is downloaded."""
    names = {folded(name): name for name in files}
    for fold, name in names.items():
        parts = fold.split("/")
        above = ["/".join(parts[:i]) for i in range(1, len(parts))]
        if way := next((names[a] for a in above if a in names), None):
            yield name, f"{way!r} is a file, so it cannot be a folder too"
        if not fold.endswith(BESIDE):
            continue
        beside = [fold.removesuffix(suffix) for suffix in BESIDE if fold.endswith(suffix)]
        if way := next((names[b] for b in beside if b in names), None):
            yield name, f"is where {way!r} is kept while it is downloaded; give it another name"


def folded(name: str) -> str:
    """Return what a name is on a disk that folds letter case and composes letters: equal for one file's names.

    >>> folded("Cafe\\u0301") == folded("caf\\u00e9")
    True
    """
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value, or an empty mapping if it is none."""
    return value if isinstance(value, dict) else {}


def repeats(values: Any, kind: str) -> Iterator[tuple[int, str]]:
    """Yield the positions in a list of texts at which one stands again, each with what is wrong."""
    if not isinstance(values, list):
        return
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        if isinstance(value, str) and first.setdefault(value, i) != i:
            yield i, f"the {kind} {value!r} is there twice"


def check_addresses(addresses: list[Any], kind: str) -> Iterator[tuple[int, str]]:
    """Yield the positions of addresses that are none, or not safe to share, each with what is wrong."""
    yield from repeats(addresses, kind)
    for i, address in enumerate(addresses):
        if not isinstance(address, str):
            continue
        try:
            parts = urlsplit(address)
            secret, _ = "@" in parts.netloc, parts.port
        except ValueError as error:
            yield i, f"not an address: {error}"
            continue
        if parts.scheme not in ("http", "https", "file", *STORES):
            meant = nearest(parts.scheme, STORES) if parts.netloc else None
            guess = f"; did you mean '{meant}://'?" if meant else ""
            yield i, f"must start with https:// or http://, is {without_secrets(address)!r}{guess}"
        elif parts.scheme == "file" and parts.netloc:  # on Windows, its name and a password's hash would be sent there
            yield i, f"names another computer, is {without_secrets(address)!r}; file:/// has three slashes"
        elif not parts.hostname and parts.scheme not in ("file", "memory"):
            yield i, f"names no host, is {without_secrets(address)!r}"
        if secret:
            yield i, "carries a user name or password; a manifest is read by everyone"
        if kind != "mirror" and is_store(address) and (sign := next((sign for sign in "?#" if sign in address), "")):
            yield i, f"has a {sign!r} in it; an address of a store has no query, and no key belongs into a manifest"
        if kind == "mirror" and not address.endswith("/"):
            yield i, f"must end in '/', because a file's name is appended to it: {without_secrets(address)!r}"
        if kind == "mirror" and (sign := next((sign for sign in "?#" if sign in address), "")):
            yield i, f"has a {sign!r} in it, after which a file's name would be no part of the path; write whole urls"
        if _BLANK_OR_CONTROL.search(address):
            yield i, "has a blank or control character in it"


def address_on(mirror: str, path: str) -> str:
    """Return the address of a file on a mirror; in a store, names are not written in any code."""
    return mirror + (path if is_store(mirror) else quote(path, safe=IN_A_PATH))


def is_store(address: str) -> bool:
    """Check whether an address is of a store, whose files fsspec reads.

    >>> is_store("s3://bucket/mnist/"), is_store("https://example.org/mnist/"), is_store("/srv/mnist")
    (True, False, False)
    """
    return scheme_of(address) in STORES


def is_remote(address: str) -> bool:
    """Check whether whoever reads an address may open a socket.

    >>> is_remote("s3://bucket/mnist/"), is_remote("memory://mnist/"), is_remote("/srv/mnist")
    (True, False, False)
    """
    return scheme_of(address) not in ("", "file", "memory")


def refuse_offline(asked: str, *, argument: str = "", offline: bool | None = None, hint: str) -> None:
    """Refuse what opens a socket, where the call or else the variable forbids it.

    `asked` is what opens it, and `argument` the name of the argument by which that was asked for.

    Raises:
        UsageError: One of them does.
    """
    if Settings.from_environment(offline=offline).offline:
        forbids, way_out = (OFFLINE, "Unset it") if offline is None else ("offline=True", "Leave it out")
        what = f"{asked} opens sockets, and {forbids} forbids it"
        arguments = {asked: argument, forbids: "offline"} if offline is not None else {asked: argument}
        raise UsageError(what, hint=f"{way_out}, or {hint}", arguments=arguments)


def check_shared_files(datasets: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the files of several data sets in one folder: the same, or in no other's way."""
    owners: dict[str, list[tuple[Keys, str, Any]]] = {}
    for dataset, entry in datasets.items():
        folder = mapping(entry).get("folder") or dataset
        for keys, file in _files_of(entry):
            if isinstance(folder, str) and not why_unsafe(path := f"{folder}/{keys[-1]}"):
                facts = mapping(file).get("sha256"), mapping(file).get("bytes")
                owners.setdefault(folded(path), []).append((("datasets", dataset, *keys), path, facts))
    for (first, _, facts), *others in owners.values():
        for at, path, other_facts in others:
            if at[1] != first[1] and facts != other_facts:
                yield at, f"{path} is another file in {first[1]!r}; give one of them a `folder`"
    for path, what in clashes(listed[0][1] for listed in owners.values()):
        yield from ((at, what) for at, _, _ in owners[folded(path)])


def _files_of(entry: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the keys of each file of an entry and its variants, and what is declared of it."""
    of_variants = [(("variants", name), variant) for name, variant in mapping(mapping(entry).get("variants")).items()]
    for at, container in [((), entry), *of_variants]:
        for name, file in mapping(mapping(container).get("files")).items():
            yield (*at, "files", name), file


# A manifest is read by everyone, and for years. An address that carries the key of whoever copied it, or that ends on
# some day, does not belong into it; and it is shown nowhere, because what is shown is pasted into reports.
# Words of a parameter's name: X-Amz-Signature, downloadToken, access_token, sasExpiry.
_SECRET_WORDS = frozenset({
    "signature", "sig", "token", "jwt", "bearer", "secret", "password", "passwd", "pwd", "credential",
    "credentials", "auth", "authorization", "oauth", "apikey", "authkey", "accesskey", "accesskeyid", "hmac",
    "session", "sessionid", "ticket", "expires", "expiry", "expiration",
})  # fmt: skip
# Whole names: CloudFront's, Azure's expiry, Akamai's; and pairs of words that mean a key only together.
_SECRET_NAMES = frozenset({
    "keypairid", "policy", "se", "awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "accesskeyid", "apikey",
    "authkey", "privatekey", "secretkey", "securitykey", "sessionkey", "signkey", "userkey", "hdnea", "hdnts",
    "hdntl", "hdnt", "gda",
})  # fmt: skip
# What a key looks like, as against the name or the number of a file.
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_=+-]{16,}")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_PARAMETER = re.compile(r"(?P<name>[^=&;?#]*)=(?P<value>[^&;#]*)")


def secret_parameter(address: str) -> str:
    """Return the name of the first parameter that is a key, a signature or an expiry; "" if there is none.

    >>> secret_parameter("https://example.org/x.csv?X-Amz-Signature=1f0a"), secret_parameter("http://h/get?file=x.csv")
    ('X-Amz-Signature', '')
    """
    return next((name for name, value in _parameters(address) if _is_secret(name, value)), "")


def without_secrets(address: str) -> str:
    """Return an address as it may be shown: without a user's name and password, and with "..." for each secret.

    >>> without_secrets("https://ada:pw@example.org/x.csv?v=2&sig=1f0a")
    'https://example.org/x.csv?v=2&sig=...'
    """
    shown = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^/?#]*@", r"\1", address)
    path, sign, query = _split(shown)
    return path + sign + _PARAMETER.sub(_hide, query)


def _hide(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    name_read, value_read = unquote_plus(name), unquote_plus(value)
    return f"{name}=..." if _is_secret(name_read, value_read) or (value and _is_key(name_read)) else match[0]


def _parameters(address: str) -> Iterator[tuple[str, str]]:
    for match in _PARAMETER.finditer(_split(address)[2]):
        yield unquote_plus(match["name"]), unquote_plus(match["value"])


def _split(address: str) -> tuple[str, str, str]:
    """Split an address before its query or fragment, whichever comes first: a token may be in either."""
    at = min((i for sign in "?#" if (i := address.find(sign)) >= 0), default=len(address))
    return address[:at], address[at : at + 1], address[at + 1 :]


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_key(name: str) -> bool:
    """Check whether a parameter may be a key: it may be a file's name as well, but need not be shown."""
    return _words(name)[-1:] == ["key"]


def _is_secret(name: str, value: str) -> bool:
    words = _words(name)
    if not value:
        return False
    if "".join(words) in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(words):
        return True
    return _is_key(name) and _RANDOM.fullmatch(value) is not None


def has_credentials(address: str) -> bool:
    """Check whether an address carries a user's name or password.

    >>> has_credentials("https://ada:pw@example.org/"), has_credentials("https://example.org/@ada")
    (True, False)
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return "@" in parts.netloc


def selected(members: Sequence[str], files: Iterable[str]) -> list[str]:
    """Return the declared files that are the members of a split, which names no archive, in order.

    >>> selected(["*/*.txt"], ["pos/2.txt", "neg/1.txt", "README.txt"])
    ['neg/1.txt', 'pos/2.txt']
    """
    from tinytorch_datasets.readers.archives.members import Selection

    found = Selection(Path(), {"": members})
    return [name for _, name in found.ordered(files, need_all=False)]
