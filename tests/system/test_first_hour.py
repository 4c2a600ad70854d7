"""The first hour, by the lines of docs/start alone, on test clusters of real SLURM and HTCondor.

What the pages' commands print is compared with tests/golden/first-hour. After a wanted change
write it anew, and read the difference before you commit it:

    E2EDIST_GOLDEN=write python -m pytest tests/system/test_first_hour.py
"""

import os
import shutil
import site
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from page_session import commands, normalised, transcript
from runs import ROOT
from servers import Web

PAGES = ROOT / "docs" / "start"
GOLDEN = ROOT / "tests" / "golden" / "first-hour"
#: What a user's shell has of ours.
_KEPT = ("LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")
#: Page -> folders of the home that its site has a variable for; all else is set by the pages themselves.
_FOLDERS = {"perlmutter": {"PSCRATCH": "pscratch"}}


@pytest.fixture
def home():
    """A home whose name is of the same length everywhere, so that lines are wrapped where they were."""
    folder = Path(tempfile.mkdtemp(prefix="home-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def installed(home):
    """A virtual environment with what this one has and this checkout, as after the pages' pip install."""
    folder = home / "e2edist-env"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = [str(ROOT), *site.getsitepackages(), *(p for p in sys.path if p.endswith("-packages"))]
    (packages / "e2edist.pth").write_text("\n".join(dict.fromkeys(paths)) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def commands_of_a_laptop(tmp_path_factory):
    """A folder with the shell's own commands: this machine may have those of batch systems as well."""
    folder = tmp_path_factory.mktemp("commands")
    for name in ("bash", "cat", "env", "sh"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.fixture
def follow(home, installed, commands_of_a_laptop, events):
    """Return a function that follows a page in a new home, and compares what it printed."""
    work = home / "work"
    (work / "data").mkdir(parents=True)
    for path in sorted(events.glob("*.root")):
        shutil.copy(path, work / "data")
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}

    def run(name, cluster=None, inputs=()):
        names = inputs or sorted((work / "data").iterdir())
        (work / "files.txt").write_text("".join(f"{one}\n" for one in names), encoding="utf-8")
        own = {"HOME": str(home), "USER": "you", "COLUMNS": "100", "PATH": str(commands_of_a_laptop)}
        own["RES_OPTIONS"] = "timeout:1 attempts:1"  # doctor asks for the addresses of servers
        own |= {variable: f"{home}/{folder}" for variable, folder in _FOLDERS.get(name, {}).items()}
        own |= kept | ({"PATH": os.environ["PATH"]} | cluster.env if cluster else {})
        own["PATH"] = f"{installed}/bin:{own['PATH']}"
        text = transcript(PAGES / f"{name}.md", work, own)
        places = {str(home): "~", str(ROOT): "CHECKOUT"}
        compare(name, normalised(text, places, findings=cluster is not None))

    return run


def compare(name, found):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("E2EDIST_GOLDEN") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_every_page_has_commands_that_run_and_a_transcript():
    pages = {page.stem for page in PAGES.glob("*.md")}
    assert all(commands(PAGES / f"{name}.md") for name in pages)
    assert {path.stem for path in GOLDEN.iterdir()} == pages


@pytest.mark.slow
@pytest.mark.parametrize("name", ["laptop", "analysis-facility", "perlmutter", "lxplus"])
def test_a_first_hour_without_a_cluster(name, follow):
    follow(name)


@pytest.mark.slow
def test_a_first_hour_at_lpc_whose_workers_see_no_disk(events, follow):
    with Web(events) as web:
        follow("lpc", inputs=[f"{web.url}/{path.name}" for path in sorted(events.glob("*.root"))])


def test_a_first_hour_on_slurm(slurm, follow):
    follow("slurm", slurm)
    assert slurm.queue() == {}


def test_a_first_hour_on_htcondor(htcondor, follow):
    follow("htcondor", htcondor)
    assert htcondor.queue() == {}
