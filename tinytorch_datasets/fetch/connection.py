"""Connections kept between requests; proxies and certificates.

No credentials are sent but those in the address itself: not those of ~/.netrc, whose `default` entry would go to every
mirror. Proxies and certificates are those that the environment names; what is wrong with them is found before any
address is asked, and named by its variable.

What requests knows of the environment, of certificates and of cookies is asked of requests, but for plain addresses
where no proxy is named: then there is nothing to ask, and importing it takes as long as fetching MNIST from nearby.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import urllib3
import urllib3.exceptions
import urllib3.util

from tinytorch_datasets.errors import NetworkSettingsError, printable
from tinytorch_datasets.fetch.body import Deadline, Link, Watchdog
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.verify.diagnose import quoted

if TYPE_CHECKING:
    from requests import PreparedRequest

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")  # in either case
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in the order in which requests looks
CA_VARIABLES_OF_OTHERS = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # of OpenSSL, which curl and httpx follow
SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
# An address that is asked for as it is written; whatever else may stand in one, requests puts right.
PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]+)?(/[A-Za-z0-9._~/-]*)")
PLAIN_HTTP_HOST = re.compile(r"http://([a-z0-9][a-z0-9.-]*)(?::([0-9]{1,5}))?/")
MOST_PORTS = 65_535
MOST_ORIGINS = 16  # whose connections are kept
DESCRIPTORS = 2  # of each connection
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]")


class Connections:
    """The connections of one run of fetching, each kept for the next file of its host and credentials.

    One is kept only if it gave a whole body. What was cut, cancelled or too slow is closed, and so are all in the end;
    and those of whom others were asked for since: each of thousands of files may be on a host of its own.
    """

    def __init__(self, at_once: int = 1, descriptors: int = sys.maxsize) -> None:
        self._at_once = at_once  # as many connections are kept of each origin
        self._most_origins = max(1, min(MOST_ORIGINS, descriptors // (at_once * DESCRIPTORS)))
        self._begin()

    def _begin(self) -> None:
        self._process, self._guard = os.getpid(), threading.Lock()
        self._origins: dict[str, _Origin] = {}
        self.links: WeakSet[Link] = WeakSet()
        self.watchdog = Watchdog()

    def deadline(self, seconds: float) -> Deadline:
        """Begin the time in which a request is to have the first byte of a body."""
        if os.getpid() != self._process:  # after a fork, the sockets are the parent's, and the thread is not here
            self._begin()
        deadline = Deadline(seconds, self.links, self.watchdog)
        self.watchdog.add(deadline)
        return deadline

    def ask(
        self,
        url: str,
        headers: dict[str, str],
        *,
        timeout: urllib3.Timeout,
        deadline: Deadline,
        cookies: Any = None,
        afresh: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Ask for an address, without following where it redirects to; on a connection that is kept, if there is one.

        With `afresh`, on a new one.

        Raises:
            NetworkSettingsError: A proxy or a certificate file that the environment names cannot be used.
        """
        key = "/".join(url.split("/", 3)[:3])  # with the credentials in it
        with self._guard:
            self._origins[key] = origin = self._origins.pop(key, None) or _Origin(url, self._at_once)
            longest_unused = next(iter(self._origins))
            unused = self._origins.pop(longest_unused) if len(self._origins) > self._most_origins else None
        if unused is not None:
            unused.retire()
        if afresh:
            origin.forget()
        return origin.ask(url, headers, timeout, deadline, cookies)

    def close(self) -> None:
        """Close what is kept."""
        self.watchdog.close()
        for origin in tuple(self._origins.values()):
            origin.forget()
            origin.pool.close()
        for link in tuple(self.links):
            link.leave(None)  # those that a request still has are closed by it


class _Origin:
    """Scheme, host, port and credentials of addresses: what the environment says of them is read once."""

    def __init__(self, url: str, at_once: int) -> None:
        self._proxies: Mapping[str, str] = {}
        self._is_direct, host = True, PLAIN_HTTP_HOST.match(url)
        # Over https, requests has the certificates, and some programs add those of the system to it.
        if host and int(host[2] or 80) <= MOST_PORTS and not _may_have_proxies():
            self.pool: Any = urllib3.PoolManager(maxsize=at_once).connection_from_host(
                host[1], int(host[2] or 80), "http"
            )
        else:
            self.pool = self._pool_of_environment(url, at_once)
        self.pool.ConnectionCls = type("Watched", (_Watched, self.pool.ConnectionCls), {})

    def _pool_of_environment(self, url: str, at_once: int) -> Any:
        import requests
        from requests.adapters import HTTPAdapter
        from requests.utils import select_proxy

        check_environment(url)
        request = _prepared(url)
        with requests.Session() as session:
            settings = session.merge_environment_settings(request.url or url, {}, True, None, None)
        adapter, self._proxies = HTTPAdapter(pool_maxsize=at_once), settings["proxies"]
        verify, cert = settings["verify"], settings["cert"]
        pool = adapter.get_connection_with_tls_context(request, verify, self._proxies, cert)
        adapter.cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
        self._is_direct = select_proxy(request.url or url, self._proxies) is None
        return pool

    def ask(
        self, url: str, headers: dict[str, str], timeout: urllib3.Timeout, deadline: Deadline, cookies: Any
    ) -> urllib3.BaseHTTPResponse:
        plain = PLAIN.fullmatch(url) if self._is_direct and not cookies else None
        if plain and "/." not in plain[1]:
            target = plain[1]
        else:
            from requests.adapters import HTTPAdapter

            request = _prepared(url, headers, cookies)
            target = HTTPAdapter().request_url(request, self._proxies)
            headers = request.headers  # type: ignore[assignment]
        _asking.deadline = deadline
        how: dict[str, Any] = {"redirect": False, "assert_same_host": False, "retries": urllib3.Retry(0, read=False)}
        how |= {"preload_content": False, "decode_content": False, "timeout": timeout}
        for is_last in (False, False, True):
            try:
                reply: urllib3.BaseHTTPResponse = self.pool.urlopen("GET", target, headers=headers, **how)
            except urllib3.exceptions.HTTPError as error:
                # The server may have closed the connection while it was kept: that says nothing of this request.
                is_silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
                if is_last or is_silent or not deadline.is_reused or deadline.is_shut:
                    raise
            else:
                if is_last or reply.status not in (400, 408) or not deadline.is_reused:  # which say the same
                    return reply
                reply.close()
            self.forget()
        raise AssertionError

    def retire(self) -> None:
        """Close what is kept, and what a request still has, when it ends."""
        self.pool.ConnectionCls.is_retired = True
        self.forget()

    def forget(self) -> None:
        """Close what is kept."""
        with suppress(Empty, AttributeError):  # the pool is closed
            while True:
                if (connection := self.pool.pool.get(block=False)) is not None:
                    connection.close()
                    if connection.link is not None:
                        connection.link.leave(None)


_asking = threading.local()  # `deadline`, of the request that this thread makes


class _Final(http.client.HTTPResponse):
    """An answer without those of 1xx before it, of which http.client passes over 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status in (100, 101) or not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Watched:
    """A connection of whatever kind, whose sockets the deadline of the request watches that has it."""

    link: Link | None = None
    sock: Any
    is_retired = False  # of all connections of an origin, whose class is its own
    response_class = _Final

    def _new_conn(self) -> socket.socket:
        if self.link is not None:  # the server has closed it
            self.link.leave(None)
        self.link = _asking.deadline.connect(super()._new_conn, self)  # type: ignore[misc]
        return self.link.original

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if self.link is not None and (version := getattr(self.sock, "version", None)):
            self.link.tls = _asking.deadline.tls = version() or ""

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None and self.link is not None:
            _asking.deadline.watch(self.link)
        super().request(*args, **kwargs)  # type: ignore[misc]


def _may_have_proxies() -> bool:
    """Check whether a variable may name a proxy, or the settings of the system, as on Windows and macOS."""
    names = (name.lower() for name, value in os.environ.items() if value)
    return os.name == "nt" or sys.platform == "darwin" or any(n.endswith("_proxy") and n != "no_proxy" for n in names)


def _prepared(url: str, headers: dict[str, str] | None = None, cookies: Any = None) -> PreparedRequest:
    import requests

    return requests.Request("GET", url, headers=headers, cookies=cookies, auth=_credentials_of_address).prepare()


def keep_cookies(cookies: Any, url: str, reply: urllib3.BaseHTTPResponse) -> Any:
    """Return the cookies of a chain of redirects, with those that a reply sets: some sites go by them."""
    if cookies is None and "Set-Cookie" not in reply.headers:
        return None
    from requests.cookies import RequestsCookieJar, extract_cookies_to_jar

    jar = RequestsCookieJar() if cookies is None else cookies
    extract_cookies_to_jar(jar, _prepared(url), reply)  # type: ignore[no-untyped-call]
    return jar


def fields_of(reply: urllib3.BaseHTTPResponse) -> Mapping[str, str]:
    """Return the header fields of a reply, each with all of its values in one."""
    return urllib3.HTTPHeaderDict({name: reply.headers[name] for name in reply.headers})


def end(reply: urllib3.BaseHTTPResponse) -> None:
    """End a request: its connection is kept if the whole body was read, which may have no bytes, and closed if not."""
    if reply.connection is not None and reply.length_remaining == 0:
        reply.read1(1)
    reply.close()


def _credentials_of_address(request: PreparedRequest) -> PreparedRequest:
    from requests.auth import HTTPBasicAuth
    from requests.utils import get_auth_from_url

    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user or password else request


def proxy_variable(url: str) -> tuple[str, str] | None:
    """Return the variable that names the proxy for an address, and its value; None if there is no proxy."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    names = (url.partition(":")[0].lower() + "_proxy", "all_proxy")
    variables = (name for name, value in os.environ.items() if name.lower() in names and value == proxy)
    return next(variables, "the system's proxy setting"), proxy


def check_environment(url: str) -> None:
    """Check what the environment names for requests to an address.

    Raises:
        NetworkSettingsError: A proxy or a certificate file cannot be used.
    """
    if proxy := proxy_variable(url):
        _check_proxy(*proxy)
    if url.lower().startswith("https:"):
        name = next((name for name in CA_VARIABLES if os.environ.get(name)), None)
        if name:
            _check_certificates(name, os.environ[name])


def network_variables() -> Iterator[tuple[str, str, NetworkSettingsError | None]]:
    """Yield each variable of proxies and certificates that is set, its value without a password, and what is wrong."""
    for name, value in sorted(os.environ.items()):
        check: Callable[[str, str], None] | None = None
        if name.lower() in PROXY_VARIABLES:
            check = _check_proxy
        elif name in CA_VARIABLES:
            check = _check_certificates
        elif name.lower() != "no_proxy" and name not in CA_VARIABLES_OF_OTHERS:
            continue
        if not value:
            continue
        error = None
        try:
            if check is not None:
                check(name, value)
        except NetworkSettingsError as wrong:
            error = wrong
        shown = without_secrets(value.rpartition("@")[2]) if name.lower() in PROXY_VARIABLES else value
        yield name, printable(shown), error


def unread_certificates() -> str:
    """Return a remark on a variable that names certificates for others, and none for requests; "" without one."""
    variable = next((name for name in CA_VARIABLES_OF_OTHERS if os.environ.get(name)), "")
    if not variable or any(os.environ.get(name) for name in CA_VARIABLES):
        return ""
    path = os.environ[variable]
    missing = "" if Path(path).exists() else f" names {quoted(path)}, which is missing, and"
    return f"{variable}{missing} is not read here: set REQUESTS_CA_BUNDLE"


def _check_proxy(variable: str, value: str) -> None:
    from requests.utils import prepend_scheme_if_needed

    example = f"Set {variable} to something like http://proxy.example.org:3128, or unset it."
    shown = quoted(value.rpartition("@")[2])  # without its password
    try:
        proxy = urllib3.util.parse_url(prepend_scheme_if_needed(value, "http"))  # type: ignore[no-untyped-call]
    except (ValueError, urllib3.exceptions.LocationValueError):
        proxy = None
    if proxy is None or not HOST.fullmatch(proxy.host or "") or (proxy.path or "/") != "/":
        raise _settings_error(variable, f"is {shown}, which is not the address of a proxy", example)
    if proxy.scheme in SOCKS:
        try:
            import socks  # type: ignore[import-untyped]  # noqa: F401
        except ImportError as error:
            hint = f"Run `pip install PySocks`, or unset {variable}."
            raise _settings_error(variable, f"is {shown}, and PySocks is not installed", hint) from error
    elif proxy.scheme not in ("http", "https"):
        reason = f"is {shown}, a proxy of a kind that is not supported: {quoted(proxy.scheme or '')}"
        raise _settings_error(variable, reason, example)


def _check_certificates(variable: str, path: str) -> None:
    hint = f"Set {variable} to a file of certificates in PEM, or unset it."
    if not Path(path).exists():
        raise _settings_error(variable, f"names {quoted(path)}, which is missing", hint)
    try:
        folder = Path(path).is_dir()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cafile=None if folder else path, capath=path if folder else None
        )
    except OSError as error:  # of which ssl's own are
        reason = f"names {quoted(path)}, which has no certificates that can be read"
        raise _settings_error(variable, reason, hint) from error


def _settings_error(variable: str, reason: str, hint: str) -> NetworkSettingsError:
    what = f"{variable} {reason}; no address can be asked"
    return NetworkSettingsError(what, hint=hint, variable=variable, file="", tried=())
