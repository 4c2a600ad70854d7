"""``init``: what it asks, what it takes from elsewhere, what it writes, and that it overwrites nothing."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tomllib

import pytest

from e2edist.checks.site_answers import known_accounts, known_images
from e2edist.config.site_options import SiteOptions, make_site
from e2edist.config.site_text import toml_text
from e2edist.init import main

IMAGE = "docker:me/e2edist:1.0-cu13"
GIVEN = ("--account", "m1234", "--image", IMAGE)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home and a configuration of its own; return the folder of site files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("E2EDIST_ACCOUNT", "E2EDIST_IMAGE", "SBATCH_ACCOUNT", "SLURM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("e2edist.checks.site_answers.shutil.which", lambda _: None)
    return tmp_path / "config" / "e2edist" / "sites"


def init(*words):
    return main([*map(str, words)])


def test_without_a_site_it_lists_them(home, capsys):
    assert init() == 0
    assert re.search(r"^perlmutter +NERSC Perlmutter", capsys.readouterr().out, re.MULTILINE)
    assert not home.exists()


def test_options_become_a_file_that_extends_the_site(home, capsys):
    assert init("perlmutter", *GIVEN, "--pools", "gpu,cpu", "--no-check") == 0
    content = tomllib.loads((home / "perlmutter.toml").read_text())
    assert content == {
        "extends": "perlmutter",
        "account": "m1234",
        "image": IMAGE,
        "default_pools": ["gpu", "cpu"],
    }
    said = capsys.readouterr().out
    assert said.endswith("next: python -m e2edist.doctor --site perlmutter   (runs a demo chunk)\n")
    site = make_site(SiteOptions("perlmutter"))
    assert list(site.pools) == ["gpu", "cpu"]
    assert {pool.job.account for pool in site.pools.values()} == {"m1234"}
    assert {pool.container.image for pool in site.pools.values()} == {IMAGE}


def test_the_lines_that_are_commented_out_are_a_site_file_too(home):
    init("perlmutter", *GIVEN, "--no-check")
    lines = (home / "perlmutter.toml").read_text().splitlines()
    (home / "perlmutter.toml").write_text(
        "\n".join([*lines[:3], *(line.removeprefix("# ") for line in lines[3:])])
    )
    assert make_site(SiteOptions("perlmutter")).pools["gpu"].job.walltime_min == 120


def test_settings_and_images_of_single_pools_are_tables(home):
    more = ("--image", "cpu=docker:me/e2edist:1.0-cpu", "--set", "pools.gpu.job.walltime_min=240")
    assert init("perlmutter", *GIVEN, *more, "--no-check") == 0
    content = tomllib.loads((home / "perlmutter.toml").read_text())
    assert content["pools"] == {
        "cpu": {"container": {"image": "docker:me/e2edist:1.0-cpu"}},
        "gpu": {"job": {"walltime_min": 240}},
    }


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("perlmutter",), "needs account and image. Give --account NAME --image IMAGE"),
        (("perlmutter", "--account", "m1"), "needs image. Give --image IMAGE"),
        (("lpc", "--yes"), "needs image. Give --image IMAGE"),
        (("perlmuter", *GIVEN), "there is no site 'perlmuter'"),
        (("perlmutter", *GIVEN, "--pools", "gpus"), "--pools: there is no pool 'gpus'"),
        (("perlmutter", *GIVEN, "--image", "x=y:1"), "there is no pool 'x'"),
        (("perlmutter", *GIVEN, "--image", "gpu="), "--image: 'gpu=' names no image"),
        (("perlmutter", *GIVEN, "--account", "YOUR_ACCOUNT"), "no real one"),
        (("perlmutter", *GIVEN, "--set", "pools.gpu.job.walltime=1"), "walltime"),
        (("perlmutter", *GIVEN, "--file", "site.txt"), "Let it end in .toml"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence_and_nothing_is_written(home, capsys, words, what):
    assert init(*words) == 2
    said = capsys.readouterr().err
    assert what in said
    assert said.count("\n") == 1
    assert not home.exists()


def test_environment_and_slurm_know_the_account(home, monkeypatch):
    monkeypatch.setenv("SBATCH_ACCOUNT", "m77")
    monkeypatch.setenv("E2EDIST_IMAGE", IMAGE)
    assert init("perlmutter", "--no-check") == 0
    content = tomllib.loads((home / "perlmutter.toml").read_text())
    assert (content["account"], content["image"]) == ("m77", IMAGE)


def test_print_writes_the_file_to_stdout_and_nowhere_else(home, capsys):
    assert init("perlmutter", *GIVEN, "--print") == 0
    said = capsys.readouterr()
    assert tomllib.loads(said.out)["account"] == "m1234"
    assert said.err == ""
    assert not home.exists()


def test_another_file_is_shown_and_kept_without_force(home, capsys):
    init("perlmutter", *GIVEN, "--set", "pools.gpu.workers=4", "--no-check")
    before = (home / "perlmutter.toml").read_text()
    assert init("perlmutter", *GIVEN, "--no-check") == 0  # what is there is kept
    assert "nothing changed in" in capsys.readouterr().out
    assert init("perlmutter", "--account", "m9", "--no-check") == 2
    said = capsys.readouterr()
    assert '-account = "m1234"\n+account = "m9"\n' in said.out
    assert "--force" in said.err
    assert (home / "perlmutter.toml").read_text() == before
    assert init("perlmutter", "--account", "m9", "--no-check", "--force") == 0
    content = tomllib.loads((home / "perlmutter.toml").read_text())
    assert (content["account"], content["image"], content["pools"]["gpu"]["workers"]) == ("m9", IMAGE, 4)
    assert [path.name for path in home.iterdir()] == ["perlmutter.toml"]


def test_checks_are_those_of_doctor_and_their_code_is_its(home, capsys):
    assert init("perlmutter", *GIVEN) == 2  # no SLURM here
    said = capsys.readouterr().out
    assert "there is no sbatch, squeue, scancel here" in said
    assert "checks failed" in said
    assert "next: mend what failed, then  python -m e2edist.doctor --site perlmutter" in said
    assert (home / "perlmutter.toml").exists()
    assert init("local", "--file", "mine.toml") == 0
    assert "checks passed" in capsys.readouterr().out


def test_tables_of_any_depth_are_toml():
    content = {"a": 'x"\n\x7fé', "b": [1, 2.5, True], "c": {"d e": {"f": []}, "g": [{"h": 1}]}}
    assert tomllib.loads(toml_text(content)) == content


def put(folder, monkeypatch, **commands):
    """Put stand-ins for commands first on the path."""
    monkeypatch.undo()
    for name, text in commands.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("E2EDIST_ACCOUNT", "SBATCH_ACCOUNT", "SLURM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)


def test_slurm_names_the_default_account_first(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch, sacctmgr="case $* in *Default*) echo m2;; *) printf 'm1\\nm2\\n';; esac")
    assert known_accounts() == ["m2", "m1"]


def test_images_of_this_program_are_found_where_the_runtime_has_them(tmp_path, monkeypatch):
    listing = "perlmutter docker READY 1f9e 2026-11-01T00:00:00 me/e2edist:1.0-cu13"
    put(
        tmp_path,
        monkeypatch,
        shifterimg=f"echo '{listing}'; echo '{listing.replace('e2edist', 'other')}'",
        **{"podman-hpc": "echo docker.io/me/e2edist:1"},
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e2edist-cpu.sif").touch()
    found = known_images(["shifter", "podman-hpc", "apptainer"])
    assert found == [IMAGE, "docker.io/me/e2edist:1", str(tmp_path / "e2edist-cpu.sif")]


def test_a_person_at_a_terminal_is_asked(home, tmp_path):
    """Wrong and empty answers are asked again, Enter takes the default."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "e2edist.init", "perlmutter", "--no-check"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
    )
    os.close(theirs)
    answers = ["gpux", "", "", "m1234", "docker:REPO/e2edist:TAG", IMAGE]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    said = process.communicate(timeout=60)[0].decode()
    os.close(ours)
    assert process.returncode == 0, said
    assert "there is no pool 'gpux'" in said
    assert "It is needed." in said
    assert "docker:REPO/e2edist:TAG is an example: name a real image." in said
    content = tomllib.loads((home / "perlmutter.toml").read_text())
    assert content == {"extends": "perlmutter", "account": "m1234", "image": IMAGE, "default_pools": ["gpu"]}


@pytest.mark.parametrize(("end", "code"), [("interrupt", 130), ("eof", 2)])
def test_what_follows_an_abandoned_question_begins_a_line(terminal, end, code):
    asked = terminal([sys.executable, "-m", "e2edist.init", "perlmutter", "--no-check"], 80)
    asked.read(lambda text: "default [gpu]:" in text)
    if end == "interrupt":
        asked.process.send_signal(signal.SIGINT)
    else:
        asked.write("\x04")
    assert asked.process.wait(20) == code
    while select.select([asked.master], [], [], 0.2)[0]:
        try:
            asked.raw += os.read(asked.master, 4096)
        except OSError:  # the other side is closed
            break
    assert re.search(rb"default \[gpu\]: (\x1b\[[0-9;?]*[a-zA-Z])*\r\n", asked.raw), asked.raw
