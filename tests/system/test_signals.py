"""SIGINT, SIGTERM and SIGHUP at any moment of a run: it ends with exit code 130, and no process stays."""

import json
import os
import random
import signal
import socket
import subprocess
import sys

import pytest
from lab import Lab, members, until
from runs import COMMAND, parts, verb

slow = pytest.mark.slow
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
by_name = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
#: Workers that import for longer than any test waits.
FOR_EVER = {"E2E_IMPORT": "3600"}


def state(lab):
    return json.loads((lab.out / "progress.json").read_text())["state"]


def importing(lab):
    return list(lab.marks.glob("import.*"))


def started(lab, *options, **how):
    """Start a run and return it once its worker imports, for ever."""
    process = lab.start(*options, env=FOR_EVER, **how)
    until(lambda: importing(lab))
    return process


def other(lab, verb, *options, **more):
    """Start another verb on the lab's site, as `Lab.start` does it with submit."""
    lab.arguments()
    line = [sys.executable, "-m", f"e2edist.{verb}", "--site", "site.toml", "--model", lab.model]
    return lab.launch([*line, *options], lab.environment() | more)


def interrupt(lab, process, number):
    """Send a signal, check that the exit code says so, and return what was said."""
    process.send_signal(number)
    code, said = lab.end(process)
    assert code == 130, said
    return said


def left(lab, verb):
    """Return the scratch folders of a verb that are still there."""
    return list(lab.folder.glob(f".e2edist-{verb}-*"))


@pytest.fixture
def silent():
    """A server that takes connections and never says a word: (port, a function that waits for somebody)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server.getsockname()[1], server.accept


# ---- workers that start


@by_name
def test_a_run_whose_workers_still_import_ends_in_good_order(lab, number):
    process = started(lab)
    said = interrupt(lab, process, number)
    assert "stopped: no event is done yet" in said
    assert state(lab) == "stopped"


@slow
@by_name
def test_a_signal_that_a_terminal_sends_reaches_the_workers_too(lab, number):
    process = started(lab, workers=2)
    os.killpg(process.pid, number)
    code, said = lab.end(process)
    assert (code, state(lab)) == (130, "stopped"), said
    assert "resource_tracker" not in said


@slow
def test_a_second_signal_ends_a_run_that_starts_as_well(lab):
    process = started(lab)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    code, said = lab.end(process)
    assert (code, state(lab)) == (130, "stopped"), said


@slow
def test_workers_that_import_when_their_driver_is_killed_end_once_they_have(lab):
    process = lab.start(env={"E2E_IMPORT": "3"})
    until(lambda: importing(lab))
    process.kill()
    code, _ = lab.end(process)
    assert code == -signal.SIGKILL
    assert not members(process.pid)


@slow
def test_an_estimate_is_interrupted_while_its_workers_import(lab):
    process = started(lab, "--estimate")
    said = interrupt(lab, process, signal.SIGINT)
    assert state(lab) == "stopped"
    assert "stopped: no event is done yet" in said


@slow
def test_a_detached_campaign_is_cancelled_while_its_workers_import(lab):
    line = [*COMMAND, *lab.arguments("--detach")]
    environment = lab.environment() | FOR_EVER
    code, said = lab.end(lab.launch(line, environment))
    assert code == 0, said
    controller = int(json.loads((lab.out / "controller.json").read_text())["id"])
    until(lambda: importing(lab))
    cancelled = verb("cancel", lab.out, cwd=lab.folder)
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    until(lambda: not members(controller), 20)
    assert state(lab) == "stopped"
    assert "killed" not in cancelled.stdout


@slow
def test_an_interrupted_detach_leaves_no_controller(lab):
    """The controller itself is slow to import; it is the same command with --resume."""
    line = [*COMMAND, *lab.arguments("--detach")]
    process = lab.launch(line, lab.environment() | FOR_EVER | {"E2E_IMPORT_OF": "--resume"})
    (mark,) = until(lambda: importing(lab))
    interrupt(lab, process, signal.SIGINT)
    controller = json.loads((lab.out / "controller.json").read_text())
    assert (controller["id"], controller["cancelled"]) == (mark.suffix[1:], True)
    assert not members(int(controller["id"]))
    lab.run()


@slow
def test_a_controller_that_still_imports_is_cancelled(lab):
    line = [*COMMAND, *lab.arguments("--detach")]
    process = lab.launch(line, lab.environment() | FOR_EVER | {"E2E_IMPORT_OF": "--resume"})
    (mark,) = until(lambda: importing(lab))
    cancelled = verb("cancel", lab.out, cwd=lab.folder)
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    until(lambda: not members(int(mark.suffix[1:])), 20)
    code, said = lab.end(process)
    assert (code, "ended" in said) == (2, True), said
    told = json.loads(verb("status", lab.out, "--json", cwd=lab.folder).stdout)
    assert (told["state"], told["why"]) == ("stopped", "cancelled")


@slow
@pytest.mark.parametrize(
    ("verb", "options"), [("doctor", ()), ("tune", ("--events", 50))], ids=["doctor", "tune"]
)
def test_a_verb_is_interrupted_while_its_workers_import_and_leaves_no_folder(lab, verb, options):
    process = other(lab, verb, *options, **FOR_EVER)
    until(lambda: importing(lab))
    interrupt(lab, process, signal.SIGTERM)
    assert not left(lab, verb)


@slow
def test_doctor_does_not_wait_longer_than_it_may_for_workers_that_import(lab):
    process = other(lab, "doctor", "--timeout-s", 5, **FOR_EVER)
    _, said = lab.end(process)
    assert importing(lab)
    assert "no worker had come after 5 s" in said or "still queued after 5 s" in said


@slow
def test_tune_is_interrupted_while_it_measures(lab):
    process = other(lab, "tune", "--events", 50)
    until(lambda: "events/s" in process.said.read_text())
    interrupt(lab, process, signal.SIGINT)
    assert not left(lab, "tune")


@slow
def test_a_scheduler_that_never_answers_is_given_up_at_a_signal(lab, silent):
    port, somebody = silent
    process = lab.start(site=f'kind = "attach"\nscheduler = "tcp://127.0.0.1:{port}"')
    connection, _ = somebody()
    with connection:
        interrupt(lab, process, signal.SIGINT)
    assert state(lab) == "stopped"


# ---- before and after


@pytest.mark.slow
def test_planning_files_of_a_server_that_never_answers_is_interrupted(lab, silent):
    port, somebody = silent
    urls = [f"http://127.0.0.1:{port}/{i}.root" for i in range(20)]
    options = ("--input", *urls, "--model", lab.model, "--output", lab.out)
    process = lab.launch([*COMMAND, *options], lab.environment())
    connection, _ = somebody()
    with connection:
        interrupt(lab, process, signal.SIGTERM)
    assert not lab.out.exists()


@slow
def test_a_notification_that_does_not_end_is_interrupted_with_all_that_it_started(lab):
    sleep = f"sleep 3600.{os.getpid()}"  # no other test's
    process = lab.start("--notify", f"touch marks/told; {sleep}; true")
    until((lab.marks / "told").exists)
    interrupt(lab, process, signal.SIGTERM)
    assert state(lab) == "done"
    sleeping = subprocess.run(["pgrep", "-f", sleep], capture_output=True, text=True, check=False)
    assert sleeping.stdout == ""


@slow
def test_nohup_keeps_a_run_alive_when_its_terminal_goes(lab):
    process = lab.launch(["nohup", *COMMAND, *lab.arguments()], lab.environment())
    until((lab.out / "progress.json").exists)
    os.killpg(process.pid, signal.SIGHUP)
    code, said = lab.end(process)
    assert code == 0, said


@slow
@pytest.mark.timeout(1500)
def test_signals_at_random_moments_end_a_run_and_its_line_completes_it(tmp_path, source, tiny_model, clean):
    """E2E_SIGNALS=n tries so many; a failure names its seed, and E2E_SIGNAL_SEED=n runs that one alone."""
    only, count = os.environ.get("E2E_SIGNAL_SEED"), int(os.environ.get("E2E_SIGNALS", "12"))
    for seed in [int(only)] if only else range(count):
        rng, lab = random.Random(seed), Lab(tmp_path / f"seed{seed}", source, tiny_model)
        number, delay = rng.choice(NUMBERS), rng.uniform(0.2, 8.0)
        try:
            process = lab.start(workers=rng.choice([1, 2]))
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                (os.killpg if rng.random() < 0.5 else os.kill)(process.pid, number)
            code, said = lab.end(process)
            where = f"seed {seed}: {number.name} after {delay:.1f} s: {said}"
            assert code in (0, 130), where
            if (lab.out / "progress.json").exists():
                assert state(lab) in ("stopped", "done"), where
            found = len(parts(lab.out))
            lab.completes(clean)
            assert len(parts(lab.out)) >= found
        finally:
            lab.clear_up()
