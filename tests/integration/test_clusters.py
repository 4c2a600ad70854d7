"""The throw-away clusters themselves: they come up, run jobs, break, heal, and leave nothing behind."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOLDER = Path(__file__).resolve().parents[2] / "containers" / "test-clusters"
PREFIX = Path(os.environ.get("E2EDIST_TEST_HTCONDOR", "/var/tmp/e2edist-test/htcondor"))
APPTAINER = Path(os.environ.get("E2EDIST_TEST_APPTAINER", "/var/tmp/e2edist-test/apptainer"))


def need(name: str, there: bool) -> None:
    """Skip unless the tools are there already or the run must have them (then the script installs them)."""
    if name in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        return
    if not there:
        pytest.skip(f"{name} is not installed; with E2EDIST_REQUIRE={name} the script installs it")
    if os.geteuid() != 0:
        pytest.skip(f"the {name} test cluster needs root")


class Cluster:
    """One script of containers/test-clusters with its base folder."""

    def __init__(self, script: str, base: Path) -> None:
        self.script, self.base = FOLDER / script, base
        self.env = dict(os.environ)

    def call(self, *words: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = [str(self.script), "--base", str(self.base), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{done.stderr[-4000:]}"
        return done

    def up(self, *options: str) -> None:
        file = self.call("up", *options).stdout.strip()
        script = 'set -a; . "$1"; env -0'
        out = subprocess.run(["bash", "-c", script, "-", file], capture_output=True, text=True, check=True)
        self.env = dict(line.split("=", 1) for line in out.stdout.split("\0") if "=" in line)

    def run(self, *command: str, timeout: float = 60) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, env=self.env, cwd="/tmp"
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def processes(self) -> list[psutil.Process]:
        """What runs in the cluster: all that carries its mark, and all below that."""
        found = []
        for process in psutil.process_iter(["environ", "status"]):
            mark = (process.info["environ"] or {}).get("E2EDIST_TEST_NODE", "")
            if mark.startswith(f"{self.base}:") and process.info["status"] != psutil.STATUS_ZOMBIE:
                found += [process, *process.children(recursive=True)]
        return found


def traces(subnet: str, base: Path) -> list[str]:
    """What a cluster could leave on this machine; other clusters may run beside it."""
    netns = Path("/run/netns")
    found = [p.name for p in netns.iterdir()] if netns.exists() else []
    found += list(psutil.net_if_addrs())
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(base) in line]
    return mounts + [
        name for name in found if subnet and name.startswith((f"e2e{subnet}-", f"e2e{subnet}br"))
    ]


def until(what: str, ready: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.5)


def ends_clean(cluster: Cluster) -> None:
    file = cluster.base / "run" / "subnet"
    subnet = file.read_text().strip() if file.exists() else ""
    running = cluster.processes()
    assert running
    if subnet:
        assert traces(subnet, cluster.base)
    cluster.call("down")
    _, alive = psutil.wait_procs(running, timeout=5)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not cluster.base.exists()
    assert not traces(subnet, cluster.base)
    cluster.call("down")  # a second time is no fault


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Cluster]:
    need("slurm", bool(shutil.which("slurmctld", path=os.environ["PATH"] + ":/usr/sbin")))
    cluster = Cluster("slurm", tmp_path / "slurm")
    cluster.call("install")
    yield cluster
    cluster.call("down")


@pytest.fixture
def condor(tmp_path: Path) -> Iterator[Cluster]:
    need("htcondor", bool(shutil.which("condor_master")) or (PREFIX / "complete").exists())
    cluster = Cluster("htcondor", tmp_path / "htcondor")
    cluster.call("install")
    yield cluster
    cluster.call("down")


def test_slurm_runs_breaks_and_heals(slurm: Cluster) -> None:
    slurm.up("--netns")
    assert slurm.run("sinfo", "-hN", "-o", "%N %P %T").split("\n") == [
        "cpu1 cpu* idle",
        "cpu2 cpu* idle",
        "gpu1 gpu idle",
        "gpu2 gpu idle",
    ]
    show = 'echo "$(hostname) $CUDA_VISIBLE_DEVICES"'
    assert slurm.run("srun", "-p", "gpu", "-w", "gpu1", "--gpus=2", "bash", "-c", show) == "gpu1 0,1"
    env, again = slurm.env, slurm.call("up", "--netns")
    assert again.stdout.strip().endswith("env.sh")
    assert env["SLURM_CONF"] in Path(again.stdout.strip()).read_text()
    assert "other settings" in slurm.call("up", "--gpus", "1", "--netns", fails=True).stderr

    beats = slurm.base / "beats"
    beat = f"while :; do echo $(hostname) $(date +%s%N) >> {beats}; sleep 0.2; done"
    slurm.run("sbatch", "-p", "gpu", "-w", "gpu2", "--requeue", "-o", "/dev/null", "--wrap", beat)
    until("the job runs", beats.exists)

    slurm.call("break", "gpu2", "freeze")
    time.sleep(0.5)
    held = beats.read_text()
    time.sleep(2)
    assert beats.read_text() == held
    slurm.call("break", "gpu2", "heal")
    until("the job goes on", lambda: beats.read_text() != held, 10)

    slurmd = f": > /dev/tcp/10.77.{_subnet(slurm)}.14/{_port(slurm, 'gpu2')}"
    reach = ["timeout", "2", "bash", "-c", slurmd]
    assert subprocess.run(reach, check=False).returncode == 0
    slurm.call("break", "gpu2", "cut")
    assert subprocess.run(reach, check=False, capture_output=True).returncode != 0
    held = beats.read_text()
    until("a cut node works on", lambda: beats.read_text() != held, 10)
    slurm.call("break", "gpu2", "heal")
    assert subprocess.run(reach, check=False).returncode == 0

    slurm.call("break", "gpu2", "kill")
    held = beats.read_text()
    time.sleep(2)
    assert beats.read_text() == held
    slurm.call("break", "gpu2", "heal")
    until("the job was requeued and runs again", lambda: beats.read_text() != held, 60)
    assert "no node" in slurm.call("break", "gpu9", "freeze", fails=True).stderr
    assert "gpu2" in slurm.call("logs", "gpu2").stdout
    ends_clean(slurm)


def _subnet(cluster: Cluster) -> str:
    return (cluster.base / "run" / "subnet").read_text().strip()


def _port(cluster: Cluster, node: str) -> str:
    lines = (cluster.base / "etc" / "slurm.conf").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"NodeName={node} "))
    return next(word.split("=")[1] for word in line.split() if word.startswith("Port="))


def test_slurm_preempts_by_partition(slurm: Cluster) -> None:
    slurm.up("--preempt", "--nodes", "1", "--gpu-nodes", "0", "--grace", "2")
    notes = slurm.base / "notes"
    job = f"trap 'echo TERM >> {notes}' TERM; echo start >> {notes}; while :; do sleep 0.2; done"
    slurm.run("sbatch", "-p", "low", "--exclusive", "--requeue", "-o", "/dev/null", "--wrap", job)
    until("the low job runs", notes.exists)
    assert slurm.run("srun", "-p", "high", "--exclusive", "hostname") == "cpu1"
    until("the low job runs again", lambda: notes.read_text().split() == ["start", "TERM", "start"], 60)
    assert "--netns" in slurm.call("break", "cpu1", "cut", fails=True).stderr
    ends_clean(slurm)


def test_slurm_keeps_accounts(slurm: Cluster) -> None:
    slurm.call("install", "--accounting")
    slurm.up("--accounting", "--nodes", "1", "--gpu-nodes", "1")
    slurm.run("srun", "-p", "gpu", "--gpus=1", "true")
    row = ("sacct", "-nXP", "-o", "partition,state,account")
    until("the job is in the accounts", lambda: slurm.run(*row) == "gpu|COMPLETED|root", 30)
    ends_clean(slurm)


def submit(pool: Cluster, script: str, *lines: str) -> Path:
    """Submit a shell script; gives the job's output file."""
    number = len(list(pool.base.glob("*.job")))
    job, out = pool.base / f"{number}.job", pool.base / f"{number}.out"
    program = pool.base / f"{number}.sh"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    text = [
        f"executable = {pool.base}/{number}.sh",
        f"output = {out}",
        "request_memory = 100",
        *lines,
        "queue",
    ]
    job.write_text("\n".join(text) + "\n")
    pool.run("condor_submit", str(job))
    return out


def test_htcondor_runs_breaks_and_heals(condor: Cluster) -> None:
    condor.up("--netns")
    slots = condor.run("condor_status", "-af", "Machine", "TotalSlotGPUs").split("\n")
    assert sorted(slots) == ["cpu1 0", "gpu1 2", "gpu2 2"]
    out = submit(condor, 'echo "$(hostname) $CUDA_VISIBLE_DEVICES"; id -u', "request_gpus = 1")
    until("the GPU job ends", lambda: out.exists() and out.read_text().count("\n") == 2)
    host, device, user = out.read_text().split()
    assert host.startswith("gpu")
    assert device.startswith(f"GPU-e2e{host}")
    assert user != "0"

    beats = condor.base / "beats"
    beat = f"while :; do echo $(hostname) $(date +%s%N) >> {beats}; sleep 0.2; done"
    submit(condor, beat, 'requirements = NodeKind == "cpu"')
    until("the job runs", beats.exists)
    condor.call("break", "cpu1", "freeze")
    time.sleep(0.5)
    held = beats.read_text()
    time.sleep(2)
    assert beats.read_text() == held
    condor.call("break", "cpu1", "heal")
    until("the job goes on", lambda: beats.read_text() != held, 10)

    condor.call("break", "cpu1", "cut")
    until("the pool misses the node", lambda: "cpu1" not in condor.run("condor_status", "-af", "Machine"))
    held = beats.read_text()
    until("a cut node works on", lambda: beats.read_text() != held, 10)
    condor.call("break", "cpu1", "heal")

    condor.call("break", "cpu1", "kill")
    held = beats.read_text()
    time.sleep(2)
    assert beats.read_text() == held
    condor.call("break", "cpu1", "heal")
    until("the job runs again", lambda: beats.read_text() != held, 120)
    ends_clean(condor)


def test_apptainer_image_has_this_checkout() -> None:
    need("apptainer", bool(shutil.which("apptainer")) or (APPTAINER / "complete").exists())
    image = Cluster("apptainer-image", Path("/var/tmp/e2edist-test/images"))  # kept: it takes minutes
    image.up()
    first = image.env["E2EDIST_TEST_IMAGE"]
    made = Path(first).stat()
    image.up()
    assert image.env["E2EDIST_TEST_IMAGE"] == first
    again = Path(first).stat()
    assert (again.st_ino, again.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)  # not made anew
    code = "import e2edist, onnxruntime; print(e2edist.__file__, e2edist.__version__)"
    where, version = image.run("apptainer", "exec", "--containall", first, "python3", "-c", code).split()
    assert "-packages/" in where
    labels = image.run("apptainer", "inspect", "--labels", first)
    assert f"org.opencontainers.image.version: {version}" in labels
    assert "org.opencontainers.image.revision: unknown" not in labels
