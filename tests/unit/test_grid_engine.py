"""What Grid Engine is told, and how its answers are read; tests/system/test_sge.py asks a real one."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2edist.config.controller import ControllerSpec
from e2edist.config.site import PoolSpec
from e2edist.config.toml_models import parse
from e2edist.errors import ConfigError, ResourceError
from e2edist.pools import make_controller, preview, sge
from e2edist.pools.sge import SYSTEM

ROW = """<job_list state="x"><JB_job_number>{}</JB_job_number><state>{}</state></job_list>"""


def script(**tables):
    spec = parse(PoolSpec, {"kind": "sge"} | tables, "test")
    return preview("cpu", spec, Path("/out"))


def lines(text):
    return [line.removeprefix("#$ ") for line in text.splitlines() if line.startswith("#$ ")]


@pytest.fixture
def answers(monkeypatch):
    """Return command -> what it prints, or raises; and the commands that were called."""
    given, called = {}, []

    def call(*words, text=None):
        called.append(words)
        found = given[words[0]]
        found = found(words) if callable(found) else found
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(sge, "call", call)
    return given, called


def queue(**states):
    """Return a qstat that lists jobs; those with a ! are on nodes that do not answer."""

    def qstat(words):
        if words[1] == "-j":
            return (
                "job_number: 4\nerror reason          1:      11/28/2026 [0:21]: error: can't chdir to /x\n"
            )
        lost = "-qs" in words
        rows = [
            ROW.format(job[1:], state.strip("!")) for job, state in states.items() if not lost or "!" in state
        ]
        return f"<job_info><queue_info>{''.join(rows)}</queue_info></job_info>"

    return qstat


def test_memory_is_asked_for_by_slot_and_threads_are_slots():
    asked = lines(script(threads=4, memory_gib=10))
    assert "-pe smp 4" in asked
    assert "-l h_vmem=2560M" in asked
    assert not [line for line in lines(script(threads=1)) if line.startswith("-pe")]


def test_what_a_site_names_otherwise_is_left_out_and_written_by_it():
    own = {"skip": ["h_vmem", "-pe", "gpu="], "directives": ["-pe threaded 4", "-l mem_free=2G"], "gpus": 1}
    asked = lines(script(threads=4, job=own))
    assert asked[-2:] == ["-pe threaded 4", "-l mem_free=2G"]
    assert not [line for line in asked if "h_vmem" in line or "smp" in line or "gpu=" in line]
    assert "-l gpu=2" in lines(script(job={"gpus": 2}))


@pytest.mark.parametrize("key", [{"launcher": "mpirun"}, {"shared_disk": False}, {"attributes": {"a": "b"}}])
def test_settings_that_mean_nothing_to_it_are_refused(key):
    with pytest.raises(ConfigError, match=r"not supported by kind .sge."):
        script(job=key)


def test_states_of_jobs_are_told_from_their_letters(answers):
    states = {
        "_1": "r",
        "_2": "qw",
        "_3": "hqw",
        "_4": "Eqw",
        "_5": "dr",
        "_6": "t",
        "_7": "r!",
        "_8": "dr!",
        "_9": "Rq",
    }
    answers[0]["qstat"] = queue(**states)
    assert SYSTEM.states(map(str, range(1, 12))) == {
        "1": "running",
        "2": "queued",
        "3": "held: a hold or a dependency",
        "4": "held: 11/28/2026 [0:21]: error: can't chdir to /x",
        "5": "ending",
        "6": "running",
        "7": "held: its node does not answer",
        "8": "ending",
        "9": "queued",
    }
    assert SYSTEM.states([]) == {}


def test_jobs_that_end_while_they_are_deleted_are_no_error(answers):
    given, called = answers
    given["qstat"], given["qdel"] = queue(_1="r", _2="dr"), ResourceError("qdel", "job 1 does not exist")
    with pytest.raises(ResourceError):
        SYSTEM.cancel(["1", "2", "3"])
    assert ("qdel", "1") in called

    def gone(words):
        given["qstat"] = queue()
        return given["qdel error"]

    given["qdel error"], given["qdel"] = given["qdel"], gone
    SYSTEM.cancel(["1"])
    called.clear()
    SYSTEM.cancel(["1"])
    assert all(words[0] != "qdel" for words in called)


def test_the_number_of_a_job_is_found_behind_what_a_site_says(answers):
    answers[0]["qsub"] = "Thank you for using our cluster.\n4711\n"
    assert SYSTEM.submit_text("", ["-w", "e"]) == "4711"
    answers[0]["qsub"] = "Your job was put aside.\n"
    with pytest.raises(ResourceError, match="printed no job number: Your job was put aside"):
        SYSTEM.submit_text("")


def test_an_answer_that_is_no_xml_is_told(answers):
    answers[0]["qstat"] = "error: commlib error"
    with pytest.raises(ResourceError, match=r"did not print XML .*commlib"):
        SYSTEM.states(["1"])


def test_a_refusal_is_told_by_the_line_that_says_why():
    said = ['Unable to run job: Job 7 cannot run in PE "smp"', "verification: no suitable queues", "Exiting."]
    assert SYSTEM.refused(said) == 'Job 7 cannot run in PE "smp"'
    assert SYSTEM.refused(["Exiting."]) == "Exiting."


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_controller_gets_sigterm_when_its_job_is_given_notice(tmp_path, number):
    """The job's shell as a process group, which Grid Engine signals as a whole."""
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print('in good order'), sys.exit(7)))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    spec = parse(ControllerSpec, {"kind": "sge", "prologue": ["export WORD=1"]}, "test")
    job = make_controller(spec, tmp_path / "it's, $HOME: out", ["-c", program], {})
    job.log.parent.mkdir()
    process = subprocess.Popen(["bash", "-c", SYSTEM.controller_script(job)], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (job.log.exists() and "ready" in job.log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    assert process.wait(60) == 7
    assert job.log.read_text().splitlines() == ["ready", "in good order"]


def test_in_a_container_python_ignores_what_the_runtime_hands_on():
    container = {"runtime": "apptainer", "image": "i.sif"}
    inside = """ i.sif sh -c 'trap "" USR1 USR2; exec "$0" "$@"' python3 -m """
    assert inside in script(container=container)
    controller = parse(ControllerSpec, {"kind": "sge", "container": container}, "test")
    assert inside in SYSTEM.controller_script(make_controller(controller, Path("/out"), ["-m", "x"], {}))
