"""Random kills of workers and drivers over many short campaigns: all end with the clean run's table."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from lab import FAULTS, Lab, end_group, members, until
from runs import TIMEOUT_S

CAMPAIGNS = 100
#: Two at a time, each with a starter of its own: one per core.
STARTERS = 2
#: Submits of one campaign; each has fewer kills before it than the last.
SUBMITS = 8
#: Each chunk takes a moment, so that kills meet work.
SLOW = {"at": "start", "do": "sleep", "seconds": 0.05}


class Starter:
    """A process that forks drivers, and the fork server of their workers."""

    def __init__(self, lab, **env):
        self.process = subprocess.Popen(
            [sys.executable, str(FAULTS / "warm_submit.py")],
            env=lab.environment([SLOW], fork=True) | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.server = psutil.Process(int(self.process.stdout.readline()))

    def _ask(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, argv, folder):
        return self._ask(argv=list(map(str, argv)), cwd=str(folder), said=str(folder / "said"))

    def wait(self, pid):
        timer = time.monotonic() + TIMEOUT_S
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > timer:
                end_group(pid)
                self._ask(wait=pid)
                return "no end"
            time.sleep(0.02)
        return self._ask(wait=pid)

    def workers(self):
        return [one for one in self.server.children() if one.status() != psutil.STATUS_ZOMBIE]

    def close(self):
        end_group(self.process.pid)
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


def _disturb(starter, driver, rng):
    """Kill the driver or some worker after a while; return whether the driver lives on."""
    time.sleep(rng.uniform(0.3, 2.5))
    workers = starter.workers()
    if rng.random() < 0.4 or not workers:
        os.kill(driver, signal.SIGKILL)
        return False
    rng.choice(workers).kill()
    return True


def _campaign(seed, starter, root, source, model, clean):
    """Run one campaign to its end; return what went wrong, or None."""
    rng = random.Random(seed)
    lab = Lab(root / f"seed{seed}", source, model)
    threads, workers, kills = rng.choice([1, 2]), rng.choice([1, 2]), rng.randint(1, 4)
    argv = lab.arguments("--threads", threads, "--workers", workers)
    for _ in range(SUBMITS):
        driver = starter.start(argv, lab.folder)
        while kills > 0 and psutil.Process(driver).status() != psutil.STATUS_ZOMBIE:
            kills -= 1
            if not _disturb(starter, driver, rng):
                break
        code = starter.wait(driver)
        try:
            until(lambda: not starter.workers(), 30)
        except AssertionError:
            return f"seed {seed}: workers stay behind: {starter.workers()}"
        if code not in (0, 1, -signal.SIGKILL):
            return f"seed {seed}: ended with {code}: {(lab.folder / 'said').read_text()}"
        if code == 0:
            break
    try:
        assert code == 0, "no end"
        lab.holds(clean)
        assert lab.bad() == []
    except AssertionError as error:
        return f"seed {seed}: {error}: {(lab.folder / 'said').read_text()}"
    shutil.rmtree(lab.folder)
    return None


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_campaigns_whose_workers_and_drivers_are_killed_at_random_end_with_the_clean_table(
    tmp_path, source, tiny_model, clean
):
    """A failure names its seed; E2E_CHAOS_SEED=n runs that one alone, E2E_CHAOS_CAMPAIGNS=n so many."""
    only = os.environ.get("E2E_CHAOS_SEED")
    count = int(os.environ.get("E2E_CHAOS_CAMPAIGNS", CAMPAIGNS))
    seeds = [int(only)] if only else list(range(count))
    starters = [Starter(Lab(tmp_path / f"starter{i}", source, tiny_model)) for i in range(STARTERS)]

    def run(i):
        mine = seeds[i::STARTERS]
        return [_campaign(seed, starters[i], tmp_path, source, tiny_model, clean) for seed in mine]

    try:
        with ThreadPoolExecutor(STARTERS) as pool:
            faults = [fault for found in pool.map(run, range(STARTERS)) for fault in found if fault]
    finally:
        groups = [starter.process.pid for starter in starters]
        for starter in starters:
            starter.close()
    assert not faults, "\n".join(faults)
    until(lambda: not any(map(members, groups)), 20)
