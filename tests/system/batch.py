"""Campaigns on throw-away clusters of real batch systems: see containers/test-clusters."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab, until
from runs import ROOT

#: What their daemons are called; others, and those too, may have been unpacked.
_DAEMONS = {"slurm": ("slurmctld", "slurmd", "munged"), "htcondor": ("condor_master",)}


def _installed(script):
    unpacked = os.environ.get(f"E2EDIST_TEST_{script.upper()}", f"/var/tmp/e2edist-test/{script}")
    if (Path(unpacked) / "complete").exists():
        return True
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    daemons = _DAEMONS.get(script, ())
    return bool(daemons) and all(shutil.which(daemon, path=path) for daemon in daemons)


class Cluster:
    """A running cluster.

    Attributes
    ----------
    kind : str
        Of pools, and as E2EDIST_REQUIRE names it.
    script : str
        What starts it, of containers/test-clusters.
    env : dict
        What its commands need.
    """

    kind = script = ""

    def __init__(self, base):
        self.base = base
        self._script = ROOT / "containers" / "test-clusters" / self.script
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


class Slurm(Cluster):
    """SLURM, in the words that the tests of all batch systems share; states are queued, running and held."""

    kind = script = "slurm"
    shape = ("--nodes", 3, "--gpu-nodes", 1, "--gpus", 4, "--cpus", 256, "--memory", 500000)

    def pool(self, name="cpu", workers=1, *, pool="", job="", **settings):
        """Return the tables of a pool; `pool` and `job` are more lines of theirs."""
        own = {"queue": name, "directives": []} | settings
        own["directives"] += ["--exclusive"] if own.pop("alone", False) else []
        own["directives"] += ["--constraint=cpu"] if own["queue"] == "low" and name == "cpu" else []
        return pool_tables("slurm", name, workers, pool, job, own)

    def both(self):
        """Return a pool of two CPU jobs, and one of a job of two workers, each with its own GPU."""
        return self.pool("cpu", 2) + self.shared_job(2, "$((1-SLURM_LOCALID))")

    def shared_job(self, workers, device, *directives, **settings):
        """Return a pool of one job of some workers on two GPUs; `device` is shell text."""
        shape = [f"--ntasks={workers}", "--cpus-per-task=1", f"--mem={2000 * workers}", "--gres=gpu:2"]
        own = {
            "workers_per_job": workers,
            "launcher": f"srun --ntasks={workers} --cpus-per-task=1 --mem=2000 --kill-on-bad-exit=1",
            "visible_gpus": device,
            "skip": ["-n 1", "--cpus-per-task", "--mem="],
            "directives": [*shape, *directives],
        }
        return self.pool("gpu", workers, **own | settings)

    def waits(self):
        """Return settings of a pool or controller that stays in the queue."""
        return {"directives": ["--begin=now+1hour"]}

    def refused(self):
        """Return settings of a controller that is not taken."""
        return {"directives": ["--partition=nowhere"]}

    #: the batch system's answer to what it refuses
    refusal = "Invalid partition name specified"
    #: what the host of a controller is called
    controller_host = "cpu"

    def controller(self, **settings):
        """Return the table of a controller that is a job."""
        return job_controller("slurm", {"queue": "cpu", "notice_s": 60} | settings)

    def queue(self):
        """Return id -> state of all jobs in the queue; what is only cleaned up does not count."""
        rows = (line.split("|") for line in self.call("squeue", "-h", "-o", "%i|%T|%r").splitlines())
        words = {"RUNNING": "running", "PENDING": "queued"}
        return {
            job: "held" if "held" in reason.lower() else words.get(state, state)
            for job, state, reason in rows
            if state != "COMPLETING"
        }

    def nodes(self):
        """Return id -> node of all running jobs."""
        return dict(line.split() for line in self.call("squeue", "-h", "-t", "R", "-o", "%i %N").splitlines())

    def text(self, job):
        """Return what runs as a job."""
        return self.call("scontrol", "write", "batch_script", job, "-")

    def remove(self, job):
        self.call("scancel", job)

    def requeue(self, job):
        self.call("scontrol", "requeue", job)

    def notify(self, job):
        """Give a job notice that it has to end, as --signal and preemption do."""
        self.call("scancel", "--batch", "--signal=TERM", job)

    def hold(self, job):
        self.call("scontrol", "requeuehold", job)

    def short_lived(self):
        """Return a pool of a job of the shortest walltime that SLURM knows."""
        return self.pool("cpu", 1, walltime_min=1)

    def crowd_out(self, job):
        """Submit a job to a higher partition that needs the whole node of `job`; it ends by itself."""
        words = ("-p", "high", "-w", self.nodes()[job], "--exclusive", "--mem=0", "-o", "/dev/null")
        self.call("sbatch", *words, text="#!/bin/sh\nsleep 4\n")

    def clear(self):
        """Remove all jobs; a node that SLURM drained, as a job took too long to end, serves the next test."""
        self.call("scancel", "--me", check=False)
        rows = [line.split("|") for line in self.call("sinfo", "-hN", "-o", "%N|%T|%E").splitlines()]
        bad = {node: reason for node, state, reason in rows if state.startswith(("drain", "down", "inval"))}
        for node, reason in bad.items():
            print(f"resumes {node}: {reason}")
            self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)


class HTCondor(Cluster):
    """HTCondor, in the same words."""

    kind = script = "htcondor"
    shape = ("--nodes", 3, "--gpu-nodes", 1, "--gpus", 2, "--cpus", 8, "--memory", 32000)

    def pool(self, name="cpu", workers=1, *, pool="", job="", **settings):
        """Return the tables of a pool; `pool` and `job` are more lines of theirs."""
        kind = "gpu" if name == "gpu" else "cpu"
        # The checkout under test is no installed package.
        attributes = {"getenv": "true", "requirements": f'NodeKind == "{kind}"'}
        attributes |= settings.pop("attributes", {})
        own = {"gpus": int(kind == "gpu"), "disk_gib": 0.1} | settings
        pool += "memory_gib = 20\n" if own.pop("alone", False) else ""
        own.pop("queue", "")
        return pool_tables("htcondor", name, workers, pool, job, own | {"attributes": attributes})

    def both(self):
        """Return a pool of two CPU jobs, and one of two jobs with a GPU each."""
        return self.pool("cpu", 2) + self.pool("gpu", 2, visible_gpus="${CUDA_VISIBLE_DEVICES#GPU-}")

    def waits(self):
        """Return settings of a pool or controller that stays in the queue."""
        return {"attributes": {"requirements": "false"}}

    def refused(self):
        """Return settings of a controller that is not taken."""
        return {"attributes": {"universe": "nowhere"}}

    refusal = "I don't know about the 'nowhere' universe"
    controller_host = "head"

    def controller(self, attributes=None, **settings):
        """Return the table of a controller that is a job: on the schedd's host, as in our site file."""
        lines = {"getenv": "true"} | (attributes or {"universe": "local"})
        return job_controller("htcondor", {"attributes": lines} | settings)

    def queue(self):
        """Return id -> state of all jobs in the queue but those that are removed."""
        lines = self.call("condor_q", "-allusers", "-af:j", "JobStatus").splitlines()
        states = {"1": "queued", "2": "running", "5": "held", "6": "running", "7": "running"}
        return {job: states[state] for job, state in map(str.split, lines) if state in states}

    def nodes(self):
        """Return id -> node of all running jobs."""
        lines = self.call("condor_q", "-allusers", "-af:j", "RemoteHost").splitlines()
        found = dict(map(str.split, lines))
        return {job: host.split("@")[-1].split(".")[0] for job, host in found.items() if host != "undefined"}

    def text(self, job):
        """Return what runs as a job."""
        return self.call("condor_q", job, "-af", "Arguments")

    def remove(self, job):
        self.call("condor_rm", job)

    def requeue(self, job):
        self.call("condor_vacate_job", job)

    #: there is no notice without an end: the job has five seconds
    notify = requeue

    def hold(self, job):
        self.call("condor_hold", job)

    def short_lived(self):
        """Return a pool of a job that HTCondor removes sooner than we know."""
        limit = "JobStatus == 2 && time() - EnteredCurrentStatus > 15"
        return self.pool("cpu", 1, attributes={"periodic_remove": limit})

    def crowd_out(self, job):
        """Submit a job that its node ranks higher and that needs what `job` has; it ends by itself."""
        lines = {
            "executable": "/bin/sleep",
            "arguments": "4",
            "+E2eRank": "10",
            "request_memory": "20000",
            "requirements": f'Machine == "{self.nodes()[job]}"',
        }
        text = "\n".join(f"{key} = {value}" for key, value in lines.items())
        self.call("condor_submit", text=f"{text}\nqueue\n")

    def clear(self):
        self.call("condor_rm", "-all", check=False)


def _lines(settings):
    """Return lines of TOML; of tables in tables one line each."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())


def _toml(value):
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(key)} = {json.dumps(text)}" for key, text in value.items()) + " }"
        )
    return json.dumps(value)


def job_controller(kind, settings):
    own = {"kind": kind, "walltime_min": 10, "cores": 1, "memory_gib": 1} | settings
    return f"[controller]\n{_lines(own)}"


def pool_tables(kind, name, workers, pool, job, settings):
    words = {"walltime_min": 10, "poll_s": 0.5, "start_failures": 2, "notice_s": 3} | settings
    memory = "" if "memory_gib" in pool else "memory_gib = 2\n"
    # provider: the GPUs of the test clusters are fake.
    head = f'workers = {workers}\nthreads = 1\n{memory}provider = "cpu"\n{pool}'
    return f'[pools.{name}]\nkind = "{kind}"\n{head}[pools.{name}.job]\n{_lines(words)}{job}'


SYSTEMS = {"slurm": Slurm, "htcondor": HTCondor}
#: Jobs of higher rank, nodes with a network of their own, seconds from a job's SIGTERM to its end.
OPTIONS = ("--preempt", "--netns", "--grace", 5)


@contextmanager
def cluster(make, *options):
    """A cluster of the test's own; skips where there is none, unless E2EDIST_REQUIRE names it."""
    if make.kind not in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        if not _installed(make.script):
            pytest.skip(f"{make.kind} is not installed: bash containers/test-clusters/{make.script} install")
        if os.geteuid():
            pytest.skip("the test clusters need root")
    one = make(Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp")))
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
        waits = {"name": "gate", "at": "start", "do": "wait", "until": str(self.gate), "times": 1000}
        return super().environment([waits, *faults], fork) | self.cluster.env

    def begin(self, site, *, workers, seconds=90):
        """Start a campaign, and return its process when a chunk stands at the gate on so many workers."""
        process = self.start(site=site)

        def ready():
            assert process.poll() is None, process.said.read_text()
            return self.joined() >= workers and len(list(self.marks.glob("gate.[0-9]*"))) >= workers

        until(ready, seconds)
        return process

    def joined(self):
        """Return how many worker threads the driver sees."""
        try:
            return json.loads((self.out / "progress.json").read_text(encoding="utf-8"))["threads"]
        except (FileNotFoundError, KeyError):
            return 0

    def open_gate(self):
        self.gate.touch()

    def address(self, job):
        """Return the address of the scheduler that a job goes to."""
        return re.search(r"tls://[\d.]+:\d+", self.cluster.text(job))[0]

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
        assert self.cluster.queue() == {}
        return said

    def interrupt(self, process, number):
        """Stop a campaign by a signal to its whole group, and check that it says so."""
        os.killpg(process.pid, number)
        code, said = self.end(process)
        assert code == 130, said
        assert "the same command does the rest" in said
        assert self.cluster.queue() == {}

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


@pytest.fixture(scope="session")
def slurm():
    """A SLURM cluster for all tests that want one."""
    with cluster(Slurm, *Slurm.shape, *OPTIONS) as one:
        yield one


@pytest.fixture(scope="session")
def htcondor():
    """An HTCondor pool for all tests that want one."""
    with cluster(HTCondor, *HTCondor.shape, *OPTIONS) as one:
        yield one


@pytest.fixture(params=list(SYSTEMS))
def system(request):
    """Each batch system in turn, or those of an indirect parametrize; it has no jobs before and after."""
    one = request.getfixturevalue(request.param)
    one.clear()
    yield one
    one.clear()


@pytest.fixture
def jobs(system, tmp_path, source, tiny_model):
    """A lab on each batch system in turn."""
    one = BatchLab(tmp_path, source, tiny_model, system)
    yield one
    one.clear_up()
