"""Servers on this machine alone that serve a folder, and fail as told."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from base64 import b64decode
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LOOPBACK = "127.0.0.1"
_CONFIG = """\
xrd.port {port}
xrd.allow host {loopback}
xrd.network nodnr
all.export /
oss.localroot {data}
all.adminpath {admin}
all.pidpath {admin}
{more}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


@dataclass
class XRootD:
    """The real server; it serves ``folder/data`` as the user nobody where we are root, which it refuses."""

    folder: Path
    more: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"root://{LOOPBACK}:{self.port}/"

    def start(self) -> None:
        admin = self.folder / f"admin-{self.port}"
        data = self.folder / "data"
        for path in (admin, data):
            path.mkdir(exist_ok=True)
        config = self.folder / f"{self.port}.cfg"
        config.write_text(
            _CONFIG.format(port=self.port, loopback=LOOPBACK, data=data, admin=admin, more=self.more)
        )
        drop = {}
        if os.geteuid() == 0:
            shutil.chown(admin, "nobody")
            drop = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        with (self.folder / f"{self.port}.log").open("a") as log:
            self.process = subprocess.Popen(
                ["xrootd", "-c", str(config)], stdout=log, stderr=log, cwd=admin, **drop
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError((self.folder / f"{self.port}.log").read_text()[-2000:])

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None


class Web:
    """An http server that knows ranges. `faults`: what the next whole-file or range answers do instead.

    With `tokens` it wants one of them, anywhere behind the path or as a password; `by_parameter`: ``?file=``
    names the file.
    """

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        self.folder, self.host = folder, host
        self.faults: list[str] = []
        self.tokens: set[str] = set()
        self.by_parameter = False
        self.ranges = True
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer((host, 0), partial(_Handler, self))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server.server_port}"

    def away(self) -> bool:
        """Whether the next request is refused."""
        return False

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


class Proxy(Web):
    """A proxy that gives files of a folder, whatever their host is called; `asked` holds its requests."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, web: Web, *rest) -> None:
        self.web = web
        super().__init__(*rest)

    def log_message(self, *_):
        """Keep the test's output clean."""

    def do_CONNECT(self):
        self.web.asked.append(f"CONNECT {self.path}")
        self.send_error(502)

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        if self.web.away():
            self.send_error(503)
            return
        url = urlsplit(self.path)
        if url.netloc:  # as proxies are asked
            self.web.asked.append(self.path)
        name = parse_qs(url.query)["file"][0] if self.web.by_parameter else unquote(url.path)
        path = self.web.folder / name.lstrip("/")
        password = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if self.web.tokens and not any(token in f"{url.query} {password}" for token in self.web.tokens):
            self.send_error(403)
            return
        if not path.is_file():
            self.send_error(404)
            return
        fault = self.web.faults.pop(0) if body and self.web.faults else ""
        if fault == "silent":
            self.web.closing.wait(30)
            return
        if fault == "503":
            self.send_error(503)
            return
        data = path.read_bytes()
        start, stop = self._range(len(data))
        part = stop - start < len(data) or "Range" in self.headers
        self.send_response(206 if part and self.web.ranges else 200)
        if self.web.ranges:
            self.send_header("Accept-Ranges", "bytes")
            if part:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if body:
            cut = (stop - start) // 2 if fault == "cut" else stop - start
            self.wfile.write(data[start : start + cut])

    def _range(self, size):
        asked = self.headers.get("Range", "")
        if not self.web.ranges or not asked.startswith("bytes="):
            return 0, size
        first, _, last = asked.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1 if last else size)


class Wire:
    """A tcp way to `port` that is cut after so many bytes of answers, once per entry of `cuts`."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.target, self.cuts, self.cut = port, cuts, 0
        self.listener = socket.create_server((LOOPBACK, 0))
        self.listener.settimeout(0.1)
        self.port = self.listener.getsockname()[1]
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self._serve)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join(10)
        self.listener.close()

    def _serve(self):
        while not self.done.is_set():
            try:
                near, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.threads.append(threading.Thread(target=self._carry, args=(near,)))
            self.threads[-1].start()

    def _carry(self, near):
        left = self.cuts.pop(0) if self.cuts else None
        with near, socket.create_connection((LOOPBACK, self.target)) as far:
            ends = {near: far, far: near}
            for end in ends:
                end.settimeout(0.02)
            while not self.done.is_set():
                for source, sink in ends.items():
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    except OSError:
                        return
                    if not data:
                        return
                    if source is far and left is not None:
                        left -= len(data)
                        if left < 0:
                            self.cut += 1
                            return
                    try:
                        sink.sendall(data)
                    except OSError:
                        return
