"""Connections: deadlines no drip outlasts, proxies and certificates.

No credentials are sent but those in the address itself: not those of ~/.netrc, whose `default` entry would go to every
mirror. Proxies and certificates are those that the environment names; what is wrong with them is found before any
address is asked, and named by its variable.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import urllib3.exceptions
import urllib3.util
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url, get_environ_proxies, prepend_scheme_if_needed, select_proxy

from tinytorch_datasets.errors import NetworkSettingsError, printable
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.verify.diagnose import quoted

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")  # in either case
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in the order in which requests looks
CA_VARIABLES_OF_OTHERS = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # of OpenSSL, which curl and httpx follow
POLL_S = 0.05  # how soon a wait for a connection ends that is not wanted any more
SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]")


class Deadline:
    """Ends a request whose server keeps it busy and gives nothing of the body.

    A socket's timeout is for one read. Whoever sends a byte a second of a status line, a header, `100 Continue`, a
    chunk's extension or a trailer never meets it. So a thread shuts the sockets, which ends any read at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._originals: list[socket.socket] = []
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._is_shut = False
        self.is_past = False
        self.is_connected = False
        self.tls = ""  # the version that the last connection speaks
        with suppress(RuntimeError):  # no thread is left: then a socket's timeout has to do
            threading.Thread(target=self._wait, name="tinytorch-datasets-deadline", daemon=True).start()

    def postpone(self) -> None:
        """Count from now on: some of the body came."""
        self._until = time.monotonic() + self._seconds

    def connect(self, connect: Callable[[], socket.socket]) -> socket.socket:
        """Return a new connection, watched; raise TimeoutError once it is not wanted any more.

        Nothing ends a resolver that waits for its name server, so it waits in a thread of its own.
        """
        made: list[socket.socket | BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                made.append(connect())
            except BaseException as error:  # raised again by whoever waits for the connection
                made.append(error)
            done.set()
            if self._is_shut and isinstance(made[0], socket.socket):
                made[0].close()  # nobody waits for it

        try:
            threading.Thread(target=run, name="tinytorch-datasets-connect", daemon=True).start()
        except RuntimeError:  # no thread is left
            run()
        while not done.wait(POLL_S):
            if self._is_shut:
                raise TimeoutError
        if isinstance(made[0], BaseException):
            raise made[0]
        self.watch(made[0])
        self.is_connected = True
        return made[0]

    def watch(self, connection: socket.socket) -> None:
        """Shut that socket as well. By a descriptor of our own: TLS takes the other one over."""
        with self._guard:
            self._sockets.append(connection.dup())
            self._originals.append(connection)
        if self._is_shut:
            self.shut()

    def shut(self) -> None:
        """End every read of these sockets now."""
        self._is_shut = True
        with self._guard:
            for connection in self._sockets:
                with suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the sockets. Until then none of them is closed, whoever else closes it."""
        self._ended.set()
        with self._guard:
            for connection in self._sockets:
                connection.close()
            for connection in self._originals:
                # After some failures http.client leaves it open, or closed but for a file that was made of it.
                with suppress(OSError):
                    socket.close(connection.detach())  # a descriptor of -1, where TLS took it over, is an error
            self._sockets.clear()
            self._originals.clear()

    def _wait(self) -> None:
        while not self._ended.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.is_past = True
                self.shut()
                return


def open_session(deadline: Deadline) -> requests.Session:
    """Open a session whose connections the deadline watches."""
    session = requests.Session()
    session.auth = _credentials_of_address
    for scheme in ("http://", "https://"):
        session.mount(scheme, _WatchedAdapter(deadline))
    return session


class _WatchedAdapter(HTTPAdapter):
    """The usual adapter; also of proxies, whatever kind of connection these have."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool for a request, whose new connections are watched."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _watched(pool.ConnectionCls, self._deadline)
        return pool


def _watched(connection_class: Any, deadline: Deadline) -> Any:
    class Watched(connection_class):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return deadline.connect(super()._new_conn)

        def connect(self) -> None:
            super().connect()
            version = getattr(self.sock, "version", None)
            deadline.tls = (version() or "") if version else ""

    return Watched


def _credentials_of_address(request: requests.PreparedRequest) -> requests.PreparedRequest:
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user or password else request


def proxy_variable(url: str) -> tuple[str, str] | None:
    """Return the variable that names the proxy for an address, and its value; None if there is no proxy."""
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
