"""What real ROOT makes of unfinished and old files, and that our advice for them helps."""

import os
import subprocess
from pathlib import Path

import pytest
from environments import python_with

from e2edist import formats
from e2edist.errors import InputError

WRITER = Path(__file__).resolve().parents[1] / "robust" / "write.py"
COLUMNS = {"EB": frozenset({"detid", "energy"}), "photon": frozenset({"pt", "eta", "phi"})}


@pytest.fixture
def root():
    """Return a function that runs a program of ROOT, or Python with it."""
    python = Path(python_with("root"))
    (library,) = python.parents[1].glob("lib/python*/site-packages/ROOT")
    paths = {"ROOTSYS": str(library), "LD_LIBRARY_PATH": str(library / "lib")}

    def run(program, *arguments):
        line = (python if program == "python" else library / "bin" / program, *map(str, arguments))
        more = {} if program == "python" else paths
        done = subprocess.run(line, env=os.environ | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def cells_of(path):
    with formats.open_events(str(path), COLUMNS) as reader:
        batch = reader.read(0, reader.info.entries)
    return [v.tobytes() for table in batch.tables.values() for v in (table.offsets, *table.columns.values())]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "compression", "options"), [("tree", 301, ("-f404",)), ("saved", 505, ())])
def test_files_written_again_as_advised_are_what_they_were(root, kind, compression, options, tmp_path):
    root("python", WRITER, kind, compression, tmp_path / "old.root")
    with pytest.raises(InputError) as caught:
        formats.inspect(str(tmp_path / "old.root"))
    assert " ".join(("hadd", *options, "new.root old.root")) in caught.value.todo
    root("hadd", *options, tmp_path / "new.root", tmp_path / "old.root")
    assert cells_of(tmp_path / "new.root") == cells_of(WRITER.with_name("zlib.root"))


@pytest.mark.slow
def test_root_reads_files_that_have_bytes_behind_their_end(root, tmp_path):
    content = WRITER.with_name("zstd.root").read_bytes()
    (tmp_path / "a.root").write_bytes(content + bytes(range(256)) * 20)
    assert cells_of(tmp_path / "a.root") == cells_of(WRITER.with_name("zstd.root"))
    count = "import sys, ROOT; f = ROOT.TFile(sys.argv[1]); sys.exit(f.Get('Events').GetEntries() != 40)"
    root("python", "-c", count, tmp_path / "a.root")
