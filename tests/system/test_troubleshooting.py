"""The sentences of docs/troubleshooting.md, said by the program itself, so that the page can't go stale."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uproot
from damaged_files import leave_open
from models import write_model
from page_session import SENTENCES, says
from runs import environment
from servers import Web
from streamed import without_streamers

from e2edist import doctor, status, submit
from e2edist.checks.container_images import ours
from e2edist.storage import _remote_files

#: Heading -> arguments of submit that bring it about in the folder of `desk`.
SUBMIT = {
    "Mistyped site": "--site perlmuter --input data --output out",
    "Mistyped key": "--site mysite.toml --input data --output out",
    "No account or image": "--site perlmutter --input data --output out",
    "No such file": "--input datta/*.root --output out",
    "A name of CMS's catalogue": "--input /store/mc/a.root --output out",
    "NanoAOD": "--input nano.root --output out",
    "Cut short": "--input cut.root --output out",
    "Not closed": "--input open.root --output out",
    "A server that does not answer": "--input root://127.0.0.1:1//store/a.root --output out",
    "Workers that do not see the disk": "--site far.toml --input data --output out",
    "The wrong host": "--site htcondor --input data --output out",
    "No CUDA": "--site gpu.toml --input data --output out",
    "A model that does not fit": "--input data --model wrong.onnx --output out",
    "Out of memory": "--input data --batch 100000000 --output out",
}
SITES = {
    "mysite": '[pools.cpu]\nkind = "local"\nwrkers = 1\n',
    "far": '[pools.cpu]\nkind = "htcondor"\n[pools.cpu.job]\nshared_disk = false\n',
    "gpu": '[pools.gpu]\nkind = "local"\nworkers = 1\nthreads = 1\nprovider = "cuda"\n',
}
#: A server is tried several times; campaigns that run.
SLOW = ("A server that does not answer", "No worker comes", "Some events are lost")
#: What tests of these batch systems hear: test_slurm.py, test_htcondor.py.
ON_CLUSTERS = ("Refused jobs", "Held jobs")


@pytest.fixture
def desk(events, tmp_path, monkeypatch):
    """A folder with good events, bad files and site files, and no batch system."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "E2EDIST_ACCOUNT", "E2EDIST_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(events, "data")
    shutil.copy(min(events.glob("*.root")), "cut.root")
    os.truncate("cut.root", Path("cut.root").stat().st_size - 1000)
    leave_open(shutil.copy(min(events.glob("*.root")), "open.root"))
    with uproot.recreate("nano.root") as file:
        branches = dict.fromkeys(("run", "event", "nElectron", "nJet"), "int32")
        file.mktree("Events", branches | {"Electron_pt": "var * float32"})
    write_model(tmp_path / "wrong.onnx", channels=3)
    for name, text in SITES.items():
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n{text}', encoding="utf-8")
    return tmp_path


@pytest.fixture
def said(capsys):
    """Return a function that runs a verb with the words of a line, and returns code and what it printed."""

    def run(verb, line):
        try:
            code = verb.main(line.split())
        except SystemExit as end:
            code = end.code
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


def cases(titles):
    return [pytest.param(title, marks=pytest.mark.slow if title in SLOW else ()) for title in titles]


@pytest.mark.parametrize("title", cases(SUBMIT))
def test_submit_says(title, desk, said):
    code, text = said(submit, SUBMIT[title])
    assert code == 2
    assert says(title, text), text


def unsplit(desk, said, request):
    given = request.getfixturevalue("data") / "edm" / "given_unsplit.root"
    file = without_streamers(given, desk / "unsplit.root")
    return said(submit, f"--input {file} --output out")[1]


def no_product(desk, said, request):
    file = desk / "mini.root"
    shutil.copy(request.getfixturevalue("data") / "cms" / "mini_72x_mc.root", file)
    return said(submit, f"--tagger qg --input {file} --output out")[1]


def no_package(desk, said, request):
    request.getfixturevalue("monkeypatch").setattr(_remote_files, "find_spec", lambda name: None)
    return said(submit, "--input root://127.0.0.1:1//store/a.root --output out")[1]


def expired(desk, said, request):
    with Web(desk / "data") as web:
        web.tokens = {"new"}
        name = min(path.name for path in (desk / "data").iterdir())
        return said(submit, f"--input {web.url}/{name}?authz=old --output out")[1]


def another_plan(desk, said, request):
    shutil.copytree(request.getfixturevalue("campaign"), desk / "out")
    return said(submit, "--input data --output out")[1]


def two_at_once(desk, said, request):
    (desk / "out").mkdir()
    other = "import sys, time\nfrom pathlib import Path\nfrom e2edist.records.lock import locked\n"
    other += "with locked(Path('out')):\n    print(flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", other]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(), **pipes) as process:
        process.stdout.readline()
        text = said(submit, "--input data --output out")[1]
        process.stdin.close()
    return text


def no_campaign(desk, said, request):
    return said(status, "nothing")[1]


def no_worker(desk, said, request):
    """A job that runs and whose worker never comes."""
    commands(
        desk,
        request,
        sbatch="touch alive; echo 7",
        squeue="[ ! -e alive ] || echo '7|RUNNING|N/A|None'",
        scancel="rm -f alive",
    )
    site = '[pools.cpu]\nkind = "slurm"\nthreads = 1\n[pools.cpu.job]\ninterface = "lo"\npoll_s = 0.2\n'
    (desk / "silent.toml").write_text(f'name = "silent"\n{site}', encoding="utf-8")
    return said(doctor, "--site silent.toml --output out --timeout-s 4")[1]


def other_versions(desk, said, request):
    (desk / "x.sif").touch()
    answer = json.dumps(ours() | {"distributed": "2020.1"})
    commands(desk, request, apptainer=f"[ $1 = inspect ] || echo '{answer}'")
    site = '[pools.cpu]\nkind = "slurm"\n[pools.cpu.container]\nruntime = "apptainer"\nimage = "x.sif"\n'
    (desk / "image.toml").write_text(f'name = "image"\n{site}', encoding="utf-8")
    return said(doctor, "--site image.toml --output out --no-run")[1]


def lost_events(desk, said, request):
    path = min((desk / "data").iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    path.write_bytes(content)
    code, text = said(submit, "--input data --output out --workers 1 --threads 1")
    assert code == 1
    return text


def commands(desk, request, **texts):
    """Put stand-ins for commands of a site first on the path."""
    (desk / "bin").mkdir()
    for name, text in texts.items():
        (desk / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (desk / "bin" / name).chmod(0o755)
    request.getfixturevalue("monkeypatch").setenv("PATH", f"{desk}/bin{os.pathsep}{os.environ['PATH']}")


OTHERS = {
    "No such product": no_product,
    "Unsplit products": unsplit,
    "A package for root:// is missing": no_package,
    "Expired proxy or token": expired,
    "Another plan": another_plan,
    "Two at once": two_at_once,
    "No campaign there": no_campaign,
    "No worker comes": no_worker,
    "Versions inside and outside": other_versions,
    "Some events are lost": lost_events,
}


@pytest.mark.parametrize("title", cases(OTHERS))
def test_the_program_says(title, desk, said, request):
    text = OTHERS[title](desk, said, request)
    assert says(title, text), text


def test_each_sentence_of_the_page_is_said_by_a_test():
    assert set(SENTENCES) == {*SUBMIT, *OTHERS, *ON_CLUSTERS}
    assert len(SENTENCES) >= 20
