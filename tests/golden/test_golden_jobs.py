"""The jobs of every pool of every packaged site, as they are submitted: a change shows as a difference.

After a wanted change write them anew, and read the difference before you commit it:

    E2EDIST_GOLDEN=write python -m pytest tests/golden
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from e2edist.config.site_facts import require_facts
from e2edist.config.site_files import site_folder
from e2edist.config.site_options import SiteOptions, make_site
from e2edist.demo import make_events
from e2edist.pools import is_batch, preview
from e2edist.submit import main

FOLDER = Path(__file__).with_name("jobs")
#: In place of the campaign's folder.
OUTPUT = Path("/OUTPUT")


#: What only the user knows.
TREE = "/cvmfs/unpacked.cern.ch/registry.example/group/e2edist:1.0"
FACTS = {
    "perlmutter": {"account": "m1234", "images": ("docker:group/e2edist:1.0",)},
    "lpc": {"images": (TREE, f"gpu={TREE}-cu12-legacy")},
    "lxplus": {"images": (TREE, f"gpu={TREE}-cu13")},
}


def made(path):
    """Return the site of a shipped file, with all of its pools and the facts that it needs."""
    options = SiteOptions(str(path), pools=("all",), **FACTS.get(path.stem, {}))
    site = make_site(options)
    require_facts(site, options.site)
    return site


def pools(kind=None):
    """Return (site, pool, spec) of all pools that are batch jobs."""
    sites = [made(path) for path in sorted(site_folder().glob("*.toml"))]
    found = [(site.name, name, spec) for site in sites for name, spec in site.pools.items()]
    return [(s, n, p) for s, n, p in found if (p.kind == kind if kind else is_batch(p.kind))]


def names(kind=None):
    return [pytest.param(s, n, p, id=f"{s}-{n}") for s, n, p in pools(kind)]


def text(name, spec, folder=OUTPUT):
    return preview(name, spec, folder).replace(shlex.quote(sys.executable), "PYTHON")


def unquoted(words):
    """Undo HTCondor's doubling of quotes."""
    return words.replace("''", "'").replace('""', '"')


@pytest.mark.parametrize(("site", "name", "spec"), names())
def test_jobs_are_as_written_down(site, name, spec, monkeypatch):
    monkeypatch.setenv("USER", "USER")
    path = FOLDER / f"{site}.{name}.txt"
    if os.environ.get("E2EDIST_GOLDEN") == "write":
        path.write_text(text(name, spec), encoding="utf-8")
    assert text(name, spec) == path.read_text(encoding="utf-8")


def test_submit_sends_the_jobs_of_the_default_pool_alone(tmp_path, monkeypatch, capsys):
    make_events(tmp_path / "events", "eg", 4, seed=1, files=1)
    monkeypatch.chdir(tmp_path)
    line = ["--site", "perlmutter", "--account", "m1234", "--image", "docker:group/e2edist:1.0"]
    assert main([*line, "--input", "events", "--output", "out", "--detach", "--dry-run"]) == 0
    _, *jobs = re.split(
        r"\njob of (.*)\n-+\n", capsys.readouterr().out.partition("\nnothing was submitted")[0]
    )
    assert jobs[::2] == ["pool gpu", "the controller"]
    written = (FOLDER / "perlmutter.gpu.txt").read_text(encoding="utf-8")
    assert jobs[1].strip() == written.replace("/OUTPUT", f"{tmp_path}/out").strip()
    assert "#SBATCH --account=m1234\n" in jobs[3]
    assert f"--site {tmp_path}/out/.site.json --resume" in jobs[3]


@pytest.mark.parametrize("more", [(), ("--detach",), ("--dry-run",), ("--demo",)])
def test_submit_refuses_a_site_without_what_only_the_user_knows(tmp_path, monkeypatch, capsys, more):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    assert main(["--site", "perlmutter", *more]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "site perlmutter: has no account (g" in said
    for todo in (
        "--account ACCOUNT --image IMAGE",
        "E2EDIST_ACCOUNT and E2EDIST_IMAGE",
        "/sites/perlmutter.toml",
    ):
        assert todo in said
    assert list(tmp_path.iterdir()) == []


def test_no_job_is_written_down_that_nobody_submits():
    assert {path.name for path in FOLDER.iterdir()} == {f"{s}.{n}.txt" for s, n, _ in pools()}


@pytest.mark.parametrize(("site", "name", "spec"), [*names("slurm"), *names("sge"), *names("pbs")])
def test_job_scripts_are_shell(site, name, spec):
    said = subprocess.run(["bash", "-n"], input=text(name, spec), capture_output=True, text=True, check=True)
    assert said.stderr == ""


@pytest.mark.parametrize(("site", "name", "spec"), names("htcondor"))
def test_submit_files_are_what_htcondor_understands(site, name, spec):
    """HTCondor's own parser, from PyPI's bindings."""
    if "htcondor" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        import htcondor2  # its absence is a failure then
    else:
        htcondor2 = pytest.importorskip("htcondor2", reason="no HTCondor bindings: pip install htcondor")
    submit = htcondor2.Submit(text(name, spec))
    assert submit.getQArgs() == ""
    assert submit.expand("executable") == "/bin/sh"
    words = (
        re.fullmatch(r"\"-c '(.*)'\"", submit.expand("arguments"))[1].replace("''", "'").replace('""', '"')
    )
    line = shlex.split(words)
    before = shlex.split("; ".join([*spec.job.prologue, "exec"]))
    assert line[: len(before)] == before
    assert line[line.index("--name") + 1] == f"{name}-0.$(date"
    assert "$(" not in submit.expand("error").replace("$(ClusterId)", "")
    gpus = spec.job.gpus
    assert submit.get("request_gpus") == (str(gpus) if gpus else None)
    for key, value in spec.job.attributes.items():
        assert submit.expand(key) == value


def test_a_folder_with_spaces_and_quotes_stays_one_word():
    folder = Path("/my data/Ünï's")
    for _, name, spec in pools():
        if spec.job.ship_certificates or not spec.job.shared_disk:
            continue
        said = preview(name, spec, folder)
        if spec.kind == "htcondor":
            said = unquoted(re.search(r"Arguments = \"-c '(.*)'\"", said)[1])
        words = shlex.split(said, comments=True)
        assert words[words.index("--tls-key") + 1] == f"{folder}/.tls/key.pem"


@pytest.mark.parametrize(("site", "name", "spec"), names())
def test_keys_of_dask_reach_the_worker_of_a_job_as_one_word(site, name, spec):
    """Whatever is in them: the shell of a launcher and HTCondor's macros must leave it alone."""
    table = {"distributed": {"admin": {"log-format": 'it\'s "$HOME" $(date) é'}}}
    said = preview(name, spec, OUTPUT, table)
    if spec.kind == "htcondor":
        said = unquoted(re.search(r"Arguments = \"-c '(.*)'\"", said)[1]).replace("$(DOLLAR)", "$")
    words = shlex.split(said, comments=True)
    assert json.loads(words[words.index("--dask-table") + 1]) == table
    assert "--dask-table" not in preview(name, spec, OUTPUT)
