"""What PBS is told, and how its answers are read; no real one was asked."""

import subprocess
import time
from pathlib import Path

import pytest

from e2edist.config.controller import ControllerSpec
from e2edist.config.site import PoolSpec
from e2edist.config.toml_models import parse
from e2edist.errors import ResourceError
from e2edist.pools import make_controller, preview
from e2edist.pools.pbs import SYSTEM

JOB = '{"timestamp":1,"pbs_server":"s","Jobs":{"7.s":{"Job_Name":"e2e-ctrl-out","job_state":"%s"}}}'
NONE = '{"timestamp":1,"pbs_version":"2024.1.2","pbs_server":"s"}'


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    """Return a function that says what a command prints and its exit code, and one that lists calls."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def answer(command, output="", code=0):
        (folder / f"{command}.out").write_text(output)
        (folder / command).write_text(
            f'#!/bin/sh\necho {command} "$@" >>{calls}\ncat {folder}/{command}.out\nexit {code}\n'
        )
        (folder / command).chmod(0o755)

    return answer, lambda: calls.read_text().splitlines()


def options(text):
    return [line.removeprefix("#PBS ") for line in text.splitlines() if line.startswith("#PBS ")]


def test_a_worker_asks_for_its_share_of_a_node():
    content = {"kind": "pbs", "threads": 4, "memory_gib": 7.5, "provider": "cuda"}
    job = {"gpus": 2, "queue": "gpu", "account": "m1", "walltime_min": 90, "directives": ["-l place=excl"]}
    said = options(preview("gpu", parse(PoolSpec, content | {"job": job}, "test"), Path("/out")))
    for line in ("-q gpu", "-A m1", "-l select=1:ncpus=4:mem=7680mb:ngpus=2", "-l walltime=01:30:00"):
        assert line in said
    assert said[-1] == "-l place=excl"


def test_generated_lines_that_a_site_does_not_want_are_left_out():
    spec = parse(PoolSpec, {"kind": "pbs", "job": {"skip": ["select="]}}, "test")
    assert not any("select" in line for line in options(preview("cpu", spec, Path("/out"))))


def test_a_controller_gets_its_notice_before_its_walltime_ends(tmp_path):
    """Its script runs here: PBS would only start it."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\ntrap "echo told; exit 0" TERM\nwhile :; do sleep 0.1; done\n')
    program.chmod(0o755)
    content = {"kind": "pbs", "walltime_min": 1, "notice_s": 58, "container": {"python": str(program)}}
    controller = make_controller(parse(ControllerSpec, content, "test"), tmp_path, (), {})
    began = time.monotonic()
    subprocess.run(["bash", "-c", SYSTEM.controller_script(controller)], check=True, timeout=50)
    assert time.monotonic() - began > 1.9
    assert controller.log.read_text() == "told\n"


def test_a_queue_that_knows_none_of_the_jobs_is_empty(pbs):
    answer, _ = pbs
    for code in (35, 153):  # finished, forgotten
        answer("qstat", NONE, code)
        assert SYSTEM.states(["7.s"]) == {}


def test_an_answer_that_is_no_json_is_told(pbs):
    pbs[0]("qstat", "qstat: cannot connect to server s (errno=15010)")
    with pytest.raises(ResourceError, match="qstat: did not print JSON"):
        SYSTEM.states(["7.s"])


@pytest.mark.parametrize(
    ("state", "asked"), [("R", "qsig -s SIGTERM 7.s"), ("Q", "qdel 7.s"), ("H", "qdel 7.s")]
)
def test_a_controller_that_runs_is_signalled_and_one_that_waits_deleted(pbs, state, asked):
    answer, calls = pbs
    answer("qstat", JOB % state)
    answer("qsig")
    answer("qdel")
    SYSTEM.stop("7.s")
    assert calls()[-1] == asked


def test_deleting_a_job_that_is_gone_does_no_harm(pbs):
    answer, _ = pbs
    answer("qdel", code=35)
    SYSTEM.cancel(["7.s"])
    answer("qdel", code=159)
    with pytest.raises(ResourceError, match=r"qdel: failed \(159\)"):
        SYSTEM.cancel(["7.s"])


def test_a_job_is_known_by_its_number_with_the_server(pbs):
    answer, calls = pbs
    answer("qsub", "7.s\n")
    assert SYSTEM.submit_text("#!/bin/sh\n", ["-W", "x=y"]) == "7.s"
    assert calls() == ["qsub -W x=y"]
