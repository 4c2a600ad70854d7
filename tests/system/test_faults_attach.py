"""What happens to campaigns on workers that others start: nannies, schedulers and networks that fail."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from lab import CHUNK, can_mount, end_group, until
from runs import parts

pytestmark = pytest.mark.slow
LOOPBACK = "127.0.0.1"


class Cluster:
    """A scheduler and workers as processes of their own, which a lab ends."""

    def __init__(self, lab, host=LOOPBACK):
        self.lab, self.host = lab, host
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.address = f"tcp://{host}:{probe.getsockname()[1]}"
        self.site = f'kind = "attach"\nscheduler = "{self.address}"'

    def _environment(self, faults):
        settings = {"SCHEDULER__ALLOWED_FAILURES": "0", "COMM__TIMEOUTS__TCP": "12s"}
        settings |= {"SCHEDULER__WORK_STEALING": "False"}
        dask = {f"DASK_DISTRIBUTED__{key}": value for key, value in settings.items()}
        return self.lab.environment(faults, fork=True) | dask

    def start_scheduler(self):
        line = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", self.host]
        process = self.lab.launch([*line, "--port", self.address.rpartition(":")[2]], self._environment(()))
        until(lambda: "Scheduler at" in process.said.read_text())
        self.scheduler = process
        return process

    def known(self):
        """Return how many workers the scheduler has ever seen."""
        return self.scheduler.said.read_text().count("Register worker")

    def start_worker(self, faults=(), threads=1, inside=()):
        line = [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            self.address,
            "--nanny",
            "--no-dashboard",
        ]
        line += ["--nthreads", threads, "--local-directory", self.lab.folder / "scratch"]
        line += ["--death-timeout", 60, "--memory-limit", 0]
        before = self.known()
        process = self.lab.launch([*inside, *line], self._environment(faults))
        until(lambda: self.known() > before or process.poll() is not None)
        assert process.poll() is None, process.said.read_text()
        return process


@pytest.fixture
def cluster(lab):
    return Cluster(lab)


def _hold(lab, name="hold", **where):
    return {"name": name, "at": "read", "do": "wait", "until": str(lab.folder / "go")} | where


@pytest.mark.parametrize("threads", [1, 2])
def test_a_killed_nanny_takes_its_worker_along_and_the_others_do_the_rest(lab, cluster, clean, threads):
    cluster.start_scheduler()
    guilty = cluster.start_worker([_hold(lab)], threads)
    process = lab.start(site=cluster.site)
    until(lambda: lab.hit("hold"))
    guilty.send_signal(signal.SIGKILL)
    cluster.start_worker(threads=threads)
    code, said = lab.end(process)
    assert code == 0, said
    lab.holds(clean)


def test_workers_that_are_all_gone_may_come_back_or_the_campaign_stops_and_goes_on_later(lab, cluster, clean):
    cluster.start_scheduler()
    first = cluster.start_worker([_hold(lab, entry=CHUNK * 2, file="a.root")])
    process = lab.start("--stall-limit-min", 0.5, site=cluster.site)
    until(lambda: lab.hit("hold"))
    end_group(first.pid)
    (lab.marks / "hold.hit").unlink()
    second = cluster.start_worker([_hold(lab, entry=CHUNK * 5, file="b.root")])
    until(lambda: lab.hit("hold"))
    end_group(second.pid)
    code, said = lab.end(process)
    assert code == 1, said
    assert "no worker for 30 s" in said
    assert "the same command does the rest" in said
    assert len(parts(lab.out)) > CHUNK
    cluster.start_worker()
    lab.completes(clean, site=cluster.site)


def test_a_scheduler_that_restarts_costs_nothing(lab, cluster, clean):
    scheduler = cluster.start_scheduler()
    worker = cluster.start_worker([_hold(lab, entry=CHUNK * 2, file="a.root")])
    process = lab.start("--stall-limit-min", 2, site=cluster.site)
    until(lambda: lab.hit("hold"))
    end_group(scheduler.pid)
    end_group(worker.pid)
    cluster.start_scheduler()
    cluster.start_worker()
    code, said = lab.end(process)
    assert code == 0, said
    lab.holds(clean)


def test_a_scheduler_that_hangs_does_not_hold_up_whoever_stops_the_campaign(lab, cluster, clean):
    scheduler = cluster.start_scheduler()
    cluster.start_worker([_hold(lab, entry=CHUNK * 2, file="a.root")])
    process = lab.start(site=cluster.site)
    until(lambda: lab.hit("hold"))
    os.killpg(scheduler.pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    until(lambda: "Ctrl-C again to stop now" in process.said.read_text())
    process.send_signal(signal.SIGINT)
    code, said = lab.end(process)
    assert code == 130, said
    assert json.loads((lab.out / "progress.json").read_text())["state"] == "stopped"
    os.killpg(scheduler.pid, signal.SIGCONT)
    (lab.folder / "go").touch()
    lab.completes(clean, site=cluster.site)


def test_a_scheduler_that_is_gone_stops_the_campaign_which_goes_on_later(lab, cluster, clean):
    scheduler = cluster.start_scheduler()
    worker = cluster.start_worker([_hold(lab, entry=CHUNK * 2, file="a.root")])
    process = lab.start("--stall-limit-min", 0.1, site=cluster.site)
    until(lambda: lab.hit("hold"))
    end_group(scheduler.pid)
    end_group(worker.pid)
    code, said = lab.end(process)
    assert code == 1, said
    assert "no worker for 6 s" in said
    code, said = lab.run(site=cluster.site)
    assert code == 2
    assert f"no scheduler answers at {cluster.address}" in said
    cluster.start_scheduler()
    cluster.start_worker()
    lab.completes(clean, site=cluster.site)


@pytest.fixture
def far_away():
    """A network namespace and the two addresses of the cable to it; cut it with `link set ... down`."""
    if not can_mount() or shutil.which("ip") is None:
        pytest.skip("needs to be root, and iproute2")
    name = f"e2e{os.getpid() % 100000}"
    here, there = f"{name}a", f"{name}b"

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], check=True, capture_output=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("addr", "add", "10.213.7.1/30", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", "10.213.7.2/30", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name, lambda state: ip("link", "set", here, state)
    finally:
        for process in psutil.process_iter():
            if os.path.exists(f"/proc/{process.pid}/ns/net") and _inside(process.pid, name):  # noqa: PTH110
                process.kill()
        ip("netns", "del", name)


def _inside(pid, name):
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/run/netns/{name}").st_ino  # noqa: PTH116
    except OSError:
        return False


def test_a_worker_whose_network_is_cut_is_given_up_and_costs_nothing(lab, clean, far_away):
    name, cable = far_away
    cluster = Cluster(lab, "10.213.7.1")
    cluster.start_scheduler()
    inside = ("ip", "netns", "exec", name)
    cluster.start_worker([_hold(lab)], inside=inside)
    process = lab.start(site=cluster.site)
    until(lambda: lab.hit("hold"))
    cable("down")
    cluster.start_worker([_hold(lab, "last", file="b.root", entry=88)])
    until(lambda: lab.hit("last"))
    (lab.folder / "go").touch()  # both go on; the one that was cut off may write its chunk once more
    code, said = lab.end(process)
    assert code == 0, said
    lab.holds(clean)


def test_a_worker_that_joins_later_and_can_not_be_set_up_stops_the_campaign_with_the_reason(lab, cluster):
    """Dask would start it again for ever, and the campaign wait as long."""
    cluster.start_scheduler()
    process = lab.start(site=cluster.site)
    until(lambda: "dashboard" in process.said.read_text())
    broken = lab.folder / "broken" / "sitecustomize.py"
    broken.parent.mkdir()
    broken.write_text("import sys\nsys.modules['numba'] = None\n")
    path = os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])
    line = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.address, "--no-dashboard"]
    lab.launch(line, os.environ | {"PYTHONPATH": path})
    code, said = lab.end(process)
    assert code == 2, said
    assert "its workers can't be set up (ModuleNotFoundError: import of numba halted" in said
