"""Dask's configuration of the user and the machine changes nothing; the site's table [dask] does."""

import asyncio
import json
import re
import shutil
import subprocess
import sys

import dask.config
import pytest
from distributed import Client, Scheduler
from runs import environment, parts
from servers import Web

from e2edist.config.site import PoolSpec, load_site
from e2edist.config.site_files import site_folder
from e2edist.pools import configured, is_batch, preview
from e2edist.pools._certificates import make_certificates

#: What is valid, and would change jobs or scheduler.
SLURM = {
    "queue": "regular",
    "account": "m9999",
    "project": "p77",
    "interface": "ib77",
    "cores": 77,
    "memory": "77GB",
    "processes": 7,
    "python": "/user/python",
    "shebang": "#!/bin/zsh",
    "walltime": "77:00:00",
    "job-cpu": 77,
    "job-mem": "77GB",
    "job-extra": ["--user-extra"],
    "job-extra-directives": ["--user-directive"],
    "env-extra": ["export USER_EXTRA=1"],
    "job-script-prologue": ["export USER_PROLOGUE=1"],
    "header-skip": ["--mem"],
    "job-directives-skip": ["--mem"],
    "log-directory": "/user/logs",
    "worker-command": "user.worker",
    "worker-extra-args": ["--user-option"],
    "extra": ["--user-extra"],
    "scheduler-options": {"port": 7777},
    "death-timeout": 7,
    "local-directory": "/user/local",
    "shared-temp-directory": "/user/shared",
    "name": "user",
    "submit-command-extra": ["-user"],
    "cancel-command-extra": ["-user"],
    "disk": "77GB",
}
VALID = {
    "jobqueue": {
        "slurm": SLURM,
        "htcondor": SLURM | {"job-extra": {"user": "1"}, "job-extra-directives": {}},
    },
    "temporary-directory": "/nonexistent",
    "logging": {"version": 1, "handlers": {"here": {"class": "nonexistent.Handler"}}},
    "distributed": {
        "scheduler": {"idle-timeout": "1s", "no-workers-timeout": "1s", "preload": ["nonexistent_scheduler"]},
        "worker": {"preload": ["nonexistent_worker"], "lifetime": {"duration": "1s"}},
        "nanny": {"preload": ["nonexistent_nanny"], "pre-spawn-environ": {"PYTHONPATH": "/nonexistent"}},
        "client": {"preload": ["nonexistent_client"]},
        "comm": {"require-encryption": True, "compression": "nonexistent", "default-scheme": "nonexistent"},
        "dashboard": {"link": "{NO_SUCH_VARIABLE}proxy/{port}/status"},
        "admin": {"event-loop": "nonexistent"},
    },
}
VARIABLES = {
    "DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT": "1s",
    "DASK_DISTRIBUTED__WORKER__RESOURCES": "{'x': 1}",
    "DASK_JOBQUEUE__SLURM__QUEUE": "regular",
    "DASK_SCHEDULER_ADDRESS": "tcp://127.0.0.1:1",
}
#: What makes it impossible to import Dask.
BROKEN = {"text.yaml": b"just a string", "bytes.yaml": b"\xff\xfe\x00", "cut.yaml": b"distributed: [1,"}


@pytest.fixture(params=["valid", pytest.param("broken", marks=pytest.mark.slow)])
def hostile(request, tmp_path):
    """Variables of a process whose user has a configuration of Dask, in all the places there are."""
    files, more = {"user.yaml": json.dumps(VALID).encode()}, VARIABLES
    if request.param == "broken":
        files, more = BROKEN, {"DASK_INTERNAL_INHERIT_CONFIG": "broken", "DASK_DISTRIBUTED": "1"}
    for folder in (home := tmp_path / "home") / ".config" / "dask", tmp_path / "root", tmp_path / "named":
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    places = {"DASK_CONFIG": str(tmp_path / "named"), "DASK_ROOT_CONFIG": str(tmp_path / "root")}
    return more | places | {"HOME": str(home)}


def call(words, cwd, more):
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def submit(folder, events, model, dask, more=()):
    """Run a campaign of one worker in `folder`, whose site file has that table [dask]."""
    pool = 'name = "here"\n[pools.cpu]\nworkers = 1\nthreads = 1\n'
    (folder / "site.toml").write_text(f"{pool}[dask]\n{dask}")
    line = ("--site", "site.toml", "--input", events, "--model", model, "--output", "out")
    return call(("-m", "e2edist.submit", *line), folder, dict(more))


#: The dry run of each site, in one process: most of the time goes into imports.
DRY = """
import sys
from e2edist.config.site import load_site
from e2edist.submit import main
for site in sys.argv[3:]:
    line = ["--site", site, "--input", sys.argv[1], "--model", sys.argv[2], "--output", "out"]
    facts = {"account": "m1234", "image": "docker:who/e2edist:1"}
    line += [word for name in load_site(site).needs for word in (f"--{name}", facts[name])]
    assert main([*line, "--pools", "all", "--dry-run", "--detach"]) == 0, site
"""


def test_jobs_of_all_sites_are_the_same_byte_for_byte(hostile, tmp_path, events, model):
    sites = sorted(path.stem for path in site_folder().glob("*.toml"))
    assert {"slurm", "perlmutter", "htcondor", "lpc", "lxplus"} <= set(sites)
    with Web(events) as web:  # lpc takes no files of this disk
        words = ("-c", DRY, f"{web.url}/{min(events.glob('*.root')).name}", model, *sites)
        theirs = call(words, tmp_path, hostile)
        shutil.rmtree(tmp_path / "home" / ".config")
        plain = call(
            words, tmp_path, {"HOME": hostile["HOME"], "DASK_ROOT_CONFIG": str(tmp_path / "nothing")}
        )
    assert (plain.returncode, theirs.returncode) == (0, 0), theirs.stderr
    assert len(re.findall(r"^job of pool", plain.stdout, re.MULTILINE)) == sum(
        is_batch(pool.kind) for site in sites for pool in load_site(site).pools.values()
    )
    assert (theirs.stdout, theirs.stderr) == (plain.stdout, plain.stderr)
    assert not list((tmp_path / "home").rglob("jobqueue.yaml"))


SLOW = """
import time
def dask_setup(worker):
    time.sleep(3)
"""


@pytest.mark.slow
def test_a_campaign_runs_to_its_end_whatever_the_user_configured(hostile, tmp_path, events, model):
    """The user's idle-timeout is a second, and the worker needs three to start."""
    (tmp_path / "slow.py").write_text(SLOW)
    dask = f'"distributed.worker.preload" = ["{tmp_path}/slow.py"]\n'
    done = submit(tmp_path, events, model, dask, hostile)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stopped" not in done.stdout
    assert parts(tmp_path / "out")


SAYS = """
import json, os
from pathlib import Path
import dask.config
import distributed.core
def dask_setup(one):
    found = {
        "delay": dask.config.get("distributed.comm.retry.delay.min"),
        "stealing": dask.config.get("distributed.scheduler.work-stealing"),
        "tick": distributed.core.tick_maximum_delay,
        "variable": os.environ.get("SITE_VARIABLE"),
    }
    name = next(cls.__name__ for cls in type(one).__mro__ if cls.__module__.startswith("distributed."))
    Path(FOLDER, f"{name}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_keys_of_the_site_reach_scheduler_workers_and_client(tmp_path, events, model):
    says = tmp_path / "says.py"
    says.write_text(SAYS.replace("FOLDER", repr(str(tmp_path))))
    dask = f"""
"distributed.comm.retry.delay.min" = "7s"
"distributed.admin.tick.limit" = "77s"
[dask.distributed]
worker.preload = ["{says}"]
nanny.preload = ["{says}"]
scheduler.preload = ["{says}"]
client.preload = ["{says}"]
nanny.pre-spawn-environ = {{ SITE_VARIABLE = "set" }}
"""
    done = submit(tmp_path, events, model, dask)
    assert (done.returncode, done.stderr) == (0, "")
    for who in ("Scheduler", "Nanny", "Worker", "Client"):
        found = json.loads((tmp_path / f"{who}.json").read_text())
        assert (found["delay"], found["stealing"], found["tick"]) == ("7s", False, 77.0), who
    assert json.loads((tmp_path / "Worker.json").read_text())["variable"] == "set"


WATCHED = (
    "comm.retry.delay.max",
    "scheduler.idle-timeout",
    "worker.memory.target",
    "worker.lifetime.duration",
)


def test_a_job_takes_no_configuration_from_its_node_nor_from_whoever_submitted_it(hostile, tmp_path):
    """The job script is run as it is, with another address, under the variables that SLURM hands on."""
    table = {"distributed": {"comm": {"retry": {"delay": {"max": "it's $HOME"}}}}}
    with configured():
        folder = tmp_path / "out"
        folder.mkdir()
        security = make_certificates(folder / ".tls")
    script = preview("cpu", PoolSpec(kind="slurm", threads=2), folder, table)

    keys = WATCHED  # by value: the worker knows no tests

    async def ask():
        settings = {
            "protocol": "tls://",
            "host": "127.0.0.1",
            "security": security,
            "dashboard_address": "127.0.0.1:0",
        }
        async with Scheduler(**settings, port=0) as scheduler:
            text = script.replace("tls://SCHEDULER:PORT", scheduler.address)
            job = subprocess.Popen(
                ["bash"], stdin=subprocess.PIPE, env=environment() | hostile, cwd=tmp_path, text=True
            )
            job.stdin.write(text)
            job.stdin.close()
            try:
                async with Client(scheduler.address, asynchronous=True, security=security) as client:
                    await client.wait_for_workers(1, timeout=100)
                    return await client.run(lambda: [dask.config.get(f"distributed.{key}") for key in keys])
            finally:
                job.terminate()
                job.wait(60)

    with configured():
        (found,) = asyncio.run(ask()).values()
    assert found == ["it's $HOME", None, False, None]


NOTEBOOK = """
import os
import dask, IMPORTED
dask.config.set({"distributed.scheduler.idle-timeout": "3s", "pool": open(os.devnull)})
before = dask.config.merge(dask.config.config)
from e2edist.pools import configured
with configured({"distributed": {"comm": {"retry": {"count": 7}}}}), configured():
    for key in ("distributed.scheduler.idle-timeout", "distributed.comm.retry.count"):
        print(dask.config.get(key))
    print(sorted(name for name in os.environ if name.startswith(("DASK_", "E2EDIST_DASK"))))
for key in ("KEY", "pool"):
    assert dask.config.get(key) == dask.config.get(key, config=before)
print(dask.config.get("distributed.scheduler.idle-timeout"), os.environ["DASK_TEMPORARY_DIRECTORY"])
"""


@pytest.mark.parametrize(
    ("imported", "key"),
    [
        ("distributed", "distributed.scheduler"),
        ("dask.config", "distributed.scheduler.idle-timeout"),  # distributed, imported since, adds its own
    ],
)
def test_a_process_of_somebody_else_gets_its_own_configuration_back(tmp_path, imported, key):
    code = NOTEBOOK.replace("IMPORTED", imported).replace("KEY", key)
    done = call(("-c", code), tmp_path, {"DASK_TEMPORARY_DIRECTORY": "/user"})
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["None", "7", "['E2EDIST_DASK']", "3s /user"]


def test_distributed_has_its_defaults_where_only_dask_was_imported_before(tmp_path):
    code = (
        "import dask.config\nfrom e2edist.pools import configured\nwith configured():\n    pass\n"
        "print(dask.config.get('distributed.comm.timeouts.connect'))"
    )
    done = call(("-c", code), tmp_path, {})
    assert (done.stdout, done.stderr) == ("30s\n", "")


def test_a_value_that_dask_can_not_start_with_is_told_in_a_sentence(tmp_path, events, model):
    done = submit(tmp_path, events, model, '"distributed.admin.event-loop" = "none"\n')
    assert done.returncode == 2
    assert "e2edist: [dask] of the site file: Dask can't start with it (ValueError: " in done.stderr
    assert "Traceback" not in done.stderr


LOGS = """
import logging
import distributed
from e2edist.pools import configured
loggers = list(map(logging.getLogger, ("distributed.protocol.core", "asyncio", "tornado.application")))
def dump():
    for logger in loggers:
        try:
            1 / 0
        except ZeroDivisionError:
            logger.critical("%s dumps", logger.name, exc_info=True)
with configured():
    dump()
print("outside", flush=True)
dump()
"""


def test_dask_dumps_nothing_on_the_terminal_of_a_campaign_and_is_heard_again_after_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        cwd=tmp_path,
        text=True,
        timeout=120,
        check=True,
    )
    before, _, after = done.stdout.partition("outside\n")
    assert before == ""
    assert after.count("Traceback") == 3
