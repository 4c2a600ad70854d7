"""A file system that counts, waits and fails as told, and a worker process that stages from it.

``slow:///path`` is the local file ``/path``.
"""

import os
import resource
import sys
import time
from pathlib import Path
from typing import ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem


class SlowFS(AbstractFileSystem):
    """Local files by ``slow://`` urls."""

    protocol = "slow"
    cachable = False
    #: seconds that reading a piece takes
    delay: ClassVar[float] = float(os.environ.get("SLOWFS_DELAY", "0"))
    #: file to which every whole read is noted
    journal: ClassVar[str] = os.environ.get("SLOWFS_JOURNAL", "")
    #: what comes instead of an answer, first ones first: an error, or a number of bytes to which it is cut
    faults: ClassVar[list[Exception | int]] = []
    #: paths of which there is nothing but errors
    dead: ClassVar[set[str]] = set()

    def info(self, path, **_):
        if path in self.dead:
            raise ConnectionError("no route to host")
        return {"name": path, "size": Path(path).stat().st_size, "type": "file"}

    def cat_file(self, path, start=None, end=None, **_):
        if path in self.dead:
            raise ConnectionError("no route to host")
        with Path(path).open("rb") as stream:
            stream.seek(start or 0)
            data = stream.read(-1 if end is None else end - (start or 0))
        if len(data) <= 20:  # the header alone
            return data
        if self.journal:
            with Path(self.journal).open("a") as notes:
                notes.write(f"{os.getpid()} {path} {start}\n")
        time.sleep(self.delay)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        return data if fault is None else data[:fault]


fsspec.register_implementation("slow", SlowFS, clobber=True)


def fake_root(path: Path, size: int, mark: int = 7) -> Path:
    """Write a file that has the header of a ROOT file and `mark` for the rest."""
    head = b"root" + (1_062_406).to_bytes(4, "big") + (100).to_bytes(4, "big") + size.to_bytes(8, "big")
    path.write_bytes(head + bytes([mark]) * (size - len(head)))
    return path


def main() -> None:
    """Stage urls one after another, hold each for a moment, and see that it stays whole."""
    from e2edist.storage.read_inputs import InputOptions, stage

    if limit := int(os.environ.get("SLOWFS_LIMIT", "0")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    scratch, cache_gib, hold, *urls = sys.argv[1:]
    options = InputOptions(stage="always", scratch=scratch, cache_gib=float(cache_gib), backoff_s=0.01)
    for url in urls:
        with stage(url, options) as path:
            print("staged", flush=True)
            time.sleep(float(hold))
            assert path.read_bytes() == Path(url.removeprefix("slow://")).read_bytes()


if __name__ == "__main__":
    main()
