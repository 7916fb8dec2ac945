"""A server of S3 on this computer, and a proxy before it that cuts, refuses and counts what goes through.

    with S3Server() as s3:
        s3.client.create_bucket(Bucket="course")

The server is moto's, in a process of its own. The proxy is plain TCP: what it does to a connection, a network does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from types import TracebackType
from typing import Any

from tests.helpers.faulty_server import free_port, until

KEY, SECRET, REGION = "course", "of-course", "us-east-1"


class S3Server:
    """moto's server, and a client of boto3's for whoever fills its buckets."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._is_up, 60)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, "moto's server has ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
            return True
        return False

    def client(self, service: str = "s3") -> Any:
        """Return a client that may do everything."""
        import boto3

        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": REGION}
        return boto3.client(service, endpoint_url=self.url, **keys)

    def put(self, bucket: str, key: str, data: bytes, **more: Any) -> None:
        """Put an object into a bucket, which is made if it is not there."""
        client = self.client()
        with contextlib.closing(client):
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key=key, Body=data, **more)

    def ask_for_rights(self, *, after: str) -> None:
        """Ask for credentials after so many actions; "inf" for never."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset-auth", data=after.encode(), method="POST")
        request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=5):
            pass

    def __enter__(self) -> S3Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


class Proxy:
    """Passes connections on, each after what is next in `acts`: a number of bytes after which it is cut, or an answer.

    `answered` counts the bytes that went back to whoever asked; `asked` has the first line of each connection.
    """

    def __init__(self, to: str, *acts: int | bytes) -> None:
        host, _, port = to.removeprefix("http://").partition(":")
        self._to, self._acts = (host, int(port)), list(acts)
        self.answered, self.asked = 0, list[str]()
        self._guard = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                asking, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(asking,), daemon=True).start()

    def _serve(self, asking: socket.socket) -> None:
        with self._guard:
            act = self._acts.pop(0) if self._acts else None
        with asking, contextlib.suppress(OSError):
            if isinstance(act, bytes):
                asking.recv(2**16)
                asking.sendall(act)
                return
            with socket.create_connection(self._to) as server:
                threading.Thread(target=self._pass, args=(asking, server), daemon=True).start()
                left = act
                while data := server.recv(2**14):
                    data = data if left is None else data[:left]
                    asking.sendall(data)
                    with self._guard:
                        self.answered += len(data)
                    left = None if left is None else left - len(data)
                    if left == 0:
                        return

    def _pass(self, asking: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            is_first = True
            while data := asking.recv(2**14):
                if is_first:
                    self.asked.append(data.partition(b"\r\n")[0].decode())
                is_first = False
                server.sendall(data)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
