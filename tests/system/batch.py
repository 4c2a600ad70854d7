"""Campaigns on throw-away clusters of real batch systems: see containers/test-clusters."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab, until
from runs import ROOT

#: What their daemons are called, and where else they may have been unpacked.
_DAEMONS = {"slurm": ("slurmctld", "slurmd", "munged"), "htcondor": ("condor_master",)}
_UNPACKED = Path(os.environ.get("E2EDIST_TEST_HTCONDOR", "/var/tmp/e2edist-test/htcondor"))


def _installed(kind):
    if kind == "htcondor" and (_UNPACKED / "complete").exists():
        return True
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return all(shutil.which(daemon, path=path) for daemon in _DAEMONS[kind])


class Cluster:
    """A running cluster.

    Attributes
    ----------
    kind : str
        slurm or htcondor.
    env : dict
        What its commands need.
    """

    def __init__(self, kind, base):
        self.kind, self.base = kind, base
        self._script = ROOT / "containers" / "test-clusters" / kind
        self.env = {}

    def verb(self, *words, check=True):
        line = ["bash", str(self._script), "--base", str(self.base), *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def up(self, *options):
        self.verb("up", *options)
        said = subprocess.run(
            ["bash", "-c", f"unset BASH_ENV; . {self.base}/env.sh && env -0"], capture_output=True, check=True
        )
        pairs = (item.split("=", maxsplit=1) for item in said.stdout.decode().split("\0") if "=" in item)
        self.env = {k: v for k, v in pairs if os.environ.get(k) != v and k not in ("_", "SHLVL", "PWD")}

    def call(self, *words, text=None, check=True):
        """Run a command of the batch system and return what it printed."""
        done = subprocess.run(
            [*map(str, words)],
            env=os.environ | self.env,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def break_(self, node, how):
        self.verb("break", node, how)


@contextmanager
def cluster(kind, *options):
    """A cluster of the test's own; skips where there is none, unless E2EDIST_REQUIRE names it."""
    if kind not in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        if not _installed(kind):
            pytest.skip(f"{kind} is not installed: bash containers/test-clusters/{kind} install")
        if os.geteuid():
            pytest.skip("the test clusters need root")
    one = Cluster(kind, Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp")))
    try:
        one.up(*options)
        yield one
    finally:
        one.verb("down", check=False)
        shutil.rmtree(one.base, ignore_errors=True)


class BatchLab(Lab):
    """A lab whose workers are jobs. Its chunks wait at the gate until `open_gate`."""

    def __init__(self, folder, source, model, cluster):
        super().__init__(folder, source, model)
        self.cluster, self.gate = cluster, folder / "go"

    def arguments(self, *options, workers, threads, site):
        (self.folder / "site.toml").write_text(f"name = 'lab'\n{site}", encoding="utf-8")
        inputs = ("--input", self.source, "--model", self.model, "--output", self.out)
        return ["--site", "site.toml", *inputs, "--chunk-events", 8, *options]

    def environment(self, faults=(), fork=False):
        waits = {"at": "start", "do": "wait", "until": str(self.gate)}
        return super().environment([waits, *faults], fork) | self.cluster.env

    def begin(self, site, *, workers, seconds=90):
        """Start a campaign, and return its process when so many workers have joined."""
        process = self.start(site=site)

        def joined():
            assert process.poll() is None, process.said.read_text()
            return self.joined() >= workers

        until(joined, seconds)
        return process

    def joined(self):
        """Return how many worker threads the driver sees."""
        try:
            return json.loads((self.out / "progress.json").read_text(encoding="utf-8"))["workers"]
        except (FileNotFoundError, KeyError):
            return 0

    def open_gate(self):
        self.gate.touch()

    def log(self):
        return (self.out / "submit.log").read_text(encoding="utf-8")

    def jobs(self):
        """Return pool -> ids of the jobs that were submitted, in order."""
        found = {}
        for line in self.log().splitlines():
            if "submitted job" in line:
                pool = line.split(" pool ")[1].split(":")[0]
                found.setdefault(pool, []).append(line.split("submitted job ")[1].split()[0])
        return found

    def finish(self, process, clean, seconds=120):
        """Let the chunks through; all must be there exactly once then, and no job in the queue."""
        self.open_gate()
        code, said = self.end(process, seconds)
        assert code == 0, said + self.log()
        assert self.bad() == []
        self.holds(clean)
        return said

    def interrupt(self, process, number):
        """Stop a campaign by a signal to its whole group, and check that it says so."""
        os.killpg(process.pid, number)
        code, said = self.end(process, 60)
        assert code == 130, said
        assert "the same command does the rest" in said

    def clear_up(self):
        self.open_gate()
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                continue
        super().clear_up()
