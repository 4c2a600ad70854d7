"""Campaigns with faults: real runs of submit, whose processes do what `faults/sitecustomize.py` is told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from models import write_model
from runs import COMMAND, ROOT, TIMEOUT_S, drafts, table

import e2edist.demo.writer
from e2edist.demo import make_events
from e2edist.records.plan import read_plan
from e2edist.records.verify import verify

FAULTS = Path(__file__).with_name("faults")
#: Entries of a chunk in these tests.
CHUNK = 8
#: Events of each of the two files.
ENTRIES = 96


def until(true, seconds=TIMEOUT_S):
    """Wait for `true()` and return what it gave; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.02)
    return found


def stacks(process):
    """Stop a process that hangs and return what it said, with the stacks of its threads at the end."""
    process.send_signal(signal.SIGABRT)
    process.wait(20)
    return process.said.read_text()


class Lab:
    """A folder in which campaigns over one source meet faults; ends every process that it started."""

    def __init__(self, folder, source, model):
        self.folder, self.source, self.model = folder, source, model
        self.out, self.marks = folder / "out", folder / "marks"
        self.marks.mkdir(parents=True, exist_ok=True)
        self.started = []

    def start(self, *options, faults=(), workers=1, threads=1, fork=False, env=None, site=""):
        """Start a run; its output goes to a file, so that no full pipe stops it."""
        line = [*COMMAND, *self.arguments(*options, workers=workers, threads=threads, site=site)]
        return self.launch(line, self.environment(faults, fork) | (env or {}))

    def arguments(self, *options, workers=1, threads=1, site=""):
        """Write the site file and return the command line after the verb."""
        kind = "" if "kind" in site else "kind = 'local'\n"
        spec = f"{kind}workers = {workers}\nthreads = {threads}\n{site}"
        (self.folder / "site.toml").write_text(f"name = 'lab'\n[pools.cpu]\n{spec}", encoding="utf-8")
        inputs = ("--input", self.source, "--model", self.model, "--output", self.out)
        return ["--site", "site.toml", *inputs, "--chunk-events", CHUNK, *options]

    def launch(self, line, env):
        """Start a process in a group of its own, which ends with this lab at the latest."""
        with (self.folder / f"said.{len(self.started)}").open("w") as said:
            process = subprocess.Popen(
                list(map(str, line)),
                cwd=self.folder,
                env=env,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        process.said = Path(said.name)
        self.started.append(process)
        return process

    def environment(self, faults=(), fork=False):
        path = os.pathsep.join([str(FAULTS), str(ROOT)])
        found = os.environ | {"PYTHONPATH": path, "E2E_MARKS": str(self.marks), "COLUMNS": "200"}
        found |= {"PYTHONFAULTHANDLER": "1"} | ({"E2E_FORK": "1"} if fork else {})
        return found | {"E2E_FAULTS": json.dumps(list(faults))}

    def end(self, process, seconds=TIMEOUT_S):
        """Wait for the end and return (code, what was said); nobody may stay behind."""
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {seconds} s: {stacks(process)}") from None
        said = process.said.read_text()
        assert "Traceback" not in said, said
        until(lambda: not members(process.pid), 20)
        return code, said

    def run(self, *options, **how):
        return self.end(self.start(*options, **how))

    def hit(self, name):
        return (self.marks / f"{name}.hit").exists()

    def bad(self):
        """Return (file, start, stop) of all rows of bad.parquet, sorted."""
        rows = pq.read_table(self.out / "bad.parquet").to_pylist()
        return sorted((Path(row["url"]).name, row["start"], row["stop"]) for row in rows)

    def reasons(self):
        return pq.read_table(self.out / "bad.parquet")["reason"].to_pylist()

    def holds(self, clean, without=()):
        """Check that the output is the clean table less the entries of `without`: (file, start, stop)."""
        assert drafts(self.out) == []
        plan, wanted = read_plan(self.out), clean
        uuids = {Path(file.url).name: file.uuid for file in plan.files}
        for name, start, stop in without:
            inside = pc.and_(pc.greater_equal(wanted["entry"], start), pc.less(wanted["entry"], stop))
            wanted = wanted.filter(pc.invert(pc.and_(pc.equal(wanted["uuid"], uuids[name]), inside)))
        found = verify(self.out, plan)
        assert found.good, found
        assert found.given_up == sum(stop - start for _, start, stop in without)
        assert table(self.out).equals(wanted)

    def completes(self, clean, *options, **how):
        """Submit the same line again without faults: all of it must be there then."""
        code, said = self.run(*options, **how)
        assert code == 0, said
        assert self.bad() == []
        self.holds(clean)

    def clear_up(self):
        for process in self.started:
            end_group(process.pid)
            process.wait(10)


def members(group):
    """Return the living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def end_group(group):
    """Kill a process group that one of these tests started."""
    for process in members(group):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


@contextmanager
def small_disk(folder, size):
    """A RAM disk of `size` on `folder`."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def can_mount():
    return os.geteuid() == 0 and shutil.which("mount") and sys.platform == "linux"


@pytest.fixture(scope="session")
def chunky():
    """Return a function that makes files of clusters of some events."""

    def make(folder, events, cluster, files=2, seed=1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(e2edist.demo.writer, "CLUSTER", cluster)
            return make_events(folder, "eg", events, seed=seed, files=files)

    return make


@pytest.fixture(scope="session")
def source(tmp_path_factory, chunky):
    """Folder of two files a.root and b.root, each of 96 events in 12 chunks."""
    folder = tmp_path_factory.mktemp("source")
    for path, name in zip(chunky(folder, 2 * ENTRIES, CHUNK), ("a.root", "b.root"), strict=True):
        path.rename(folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "eg.onnx")


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory, source, tiny_model):
    """Output of a campaign that met no fault; don't write into it."""
    lab = Lab(tmp_path_factory.mktemp("clean"), source, tiny_model)
    try:
        code, said = lab.run()
    finally:
        lab.clear_up()
    assert code == 0, said
    return lab.out


@pytest.fixture(scope="session")
def clean(clean_folder):
    return table(clean_folder)


@pytest.fixture
def lab(tmp_path, source, tiny_model):
    one = Lab(tmp_path, source, tiny_model)
    yield one
    one.clear_up()
