"""The controller's job as text."""

from pathlib import Path

import pytest

from e2edist.config.controller import ControllerSpec
from e2edist.config.toml_models import parse
from e2edist.control.detach import controller_arguments, preview_controller
from e2edist.errors import ConfigError
from e2edist.pools import ControllerJob, batch_system, make_controller

ARGUMENTS = ("-m", "e2edist.submit", "--output", "my out", "--resume")

OUT = Path("/out")
SITE = ["--site", "/out/.site.json"]


def script_of(**content):
    spec = parse(ControllerSpec, content, "test")
    return _text(ControllerJob(spec, Path("/campaigns/a b"), ARGUMENTS, "/home/u", {"TOKEN": "x y"}))


def _text(controller):
    return batch_system(controller.spec.kind).controller_script(controller)


def test_the_controller_only_goes_on_with_the_plan_that_was_made():
    words = ["--detach", "--fresh", "--input", "a.root", "--output", "out"]
    made = controller_arguments(words, OUT)
    whole = ["-m", "e2edist.submit", "--input", "a.root", "--output", "out", *SITE, "--resume"]
    assert made == whole


def test_a_controller_takes_the_site_that_was_written_for_it_and_no_option_of_ours():
    words = ["--site=mine.toml", "--input", "a.root", "--account", "m1", "--image=docker:x", "--image", "b=y"]
    words += ["--workers", "gpu=2", "--pools", "gpu,cpu", "--set", "inputs.redirectors=root://h/?token=abc"]
    made = controller_arguments(words, OUT)
    assert made[2:] == ["--input", "a.root", "--workers", "gpu=2", *SITE, "--resume"]


def test_a_controller_gets_addresses_without_their_secrets_and_where_to_read_them():
    words = ["--input", "https://me:pass@host/a.root?authz=Bearer abc", "--input=root://h//b.root?x=1"]
    made = controller_arguments([*words, "--output", "50%?token=x"], OUT)
    assert made[2:5] == ["--input", "https://host/a.root", "--input=root://h//b.root"]
    assert made[5:] == ["--output", "50%?token=x", *SITE, "--access", "/out/.access.json", "--resume"]


def test_a_list_by_a_pipe_is_not_read_again_by_the_controller():
    words = controller_arguments(["--input", "-", "--output", "o", "--detach"], OUT)
    assert words[words.index("--access") + 1] == "/out/.access.json"


def test_a_slurm_controller_is_its_jobs_first_process_and_is_warned_before_its_end():
    text = script_of(
        kind="slurm", walltime_min=90, queue="long", account="m1", directives=["--constraint=cpu"]
    )
    for line in ("--partition=long", "--account=m1", "--time=01:30:00", "--signal=B:TERM@300"):
        assert f"#SBATCH {line}\n" in text
    head, _, body = text.partition("cd /home/u\n")
    assert "#SBATCH --constraint=cpu\n" in head
    assert body.startswith("export TOKEN='x y'\n")
    assert body.splitlines()[-1].startswith("exec ")
    assert body.endswith("-m e2edist.submit --output 'my out' --resume\n")


def test_an_htcondor_controller_is_given_time_to_remove_its_workers():
    text = script_of(kind="htcondor", attributes={"universe": "local"}, cores=1)
    submit, _, script = text.partition("#!/bin/bash\n")
    for line in (
        "universe = local",
        "want_graceful_removal = true",
        "kill_sig = SIGTERM",
        "request_cpus = 1",
    ):
        assert f"{line}\n" in submit
    assert submit.rstrip().endswith("queue 1")
    assert script.startswith("exec >>'/campaigns/a b/controller.log' 2>&1\n")


def test_a_container_of_the_controller_is_part_of_its_command():
    container = {"runtime": "shifter", "image": "docker:x:1"}
    text = script_of(kind="slurm", container=container, prologue=["module load x"])
    assert "#SBATCH --image=docker:x:1\n" in text
    assert "\nmodule load x\nexec shifter --image=docker:x:1 python3 -m e2edist.submit" in text


def test_a_mistyped_key_of_the_controller_is_refused():
    with pytest.raises(ConfigError, match="walltime_min"):
        script_of(kind="slurm", walltime=90)


def test_names_of_outputs_mean_nothing_to_batch_systems():
    folder = Path('/campaigns/50%j $(x) "y"')
    slurm = ControllerJob(parse(ControllerSpec, {"kind": "slurm"}, "test"), folder, ARGUMENTS, "/", {})
    assert "#SBATCH --output='/campaigns/50%%j $(x) \"y\"/controller.log'\n" in _text(slurm)
    condor = ControllerJob(parse(ControllerSpec, {"kind": "htcondor"}, "test"), folder, ARGUMENTS, "/a$b", {})
    lines = _text(condor).splitlines()
    assert 'executable = /campaigns/50%j $(DOLLAR)(x) "y"/.controller.sh' in lines
    assert "initialdir = /a$(DOLLAR)b" in lines
    assert 'JobBatchName = "e2e-ctrl-50_j___x___y_"' in lines


@pytest.mark.parametrize("kind", ["slurm", "htcondor", "sge"])
def test_an_output_with_a_line_break_is_refused_where_scripts_would_hold_it(kind):
    spec = parse(ControllerSpec, {"kind": kind}, "test")
    with pytest.raises(ConfigError, match="line break"):
        make_controller(spec, Path("/a\nb"), ARGUMENTS, {})
    assert preview_controller(parse(ControllerSpec, {}, "test"), Path("/a\nb"), []) == ""


def test_an_unknown_kind_of_controller_is_answered_with_those_that_there_are():
    with pytest.raises(ConfigError) as refusal:
        parse(ControllerSpec, {"kind": "slurmm"}, "site.toml")
    assert "there is no controller 'slurmm'. Did you mean 'slurm'?" in str(refusal.value)
    known = str(refusal.value).partition("Known: ")[2].split(", ")
    assert {"process", "slurm", "htcondor"} <= set(known)
    assert not {"local", "attach"} & set(known)
