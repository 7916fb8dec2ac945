"""Secrets that an address may carry: keys, signatures, passwords and expiries.

What refuses them (`add`), warns of them (`audit`) and hides them in messages (`fetch`) goes by one list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus, urlsplit

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
    shown = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", address)
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
