"""Type checkers see the Python API, though it is imported at first use."""

import subprocess
import sys
from pathlib import Path

import pytest

import e2edist

ROOT = Path(__file__).parents[2]
SCRIPT = """
from pathlib import Path
import e2edist

rows: int = e2edist.predict("a.root", Path("t.toml"), stop=10, provider="cuda").num_rows
for piece in e2edist.predict_batches(["a.root"], progress=lambda one: print(one.events_done)):
    reveal_type(piece)
images = e2edist.make_images("a.root", layout="sparse")
reveal_type(images.channels)
done = e2edist.run_campaign("a", "b", workers={"cpu": 2}, max_bad_fraction=0.1)
reveal_type(done.state)
reveal_type(e2edist.open_results("b").complete)
try:
    done.results.table(["pt"])
except e2edist.OutputError as error:
    reveal_type(error)

e2edist.predict("a.root", stopp=10)
e2edist.make_images("a.root", layout="dens")
e2edist.run_campaign("a", "b", worker=2)
e2edist.run_campaign("a", "b", workers="2")
e2edist.predcit("a.root")
"""
SEEN = (
    "Table",
    "tuple[str, ...]",
    "Literal['stopped']",
    "bool",
    "OutputError",
)
WRONG = ('"stopp"', "dens", '"worker"', '"workers"', '"predcit"')


@pytest.mark.slow
def test_mypy_sees_types_and_mistakes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    # In the checkout, whose check of types may have left what is known of the libraries.
    words = [sys.executable, "-m", "mypy", str(tmp_path / "script.py")]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.splitlines() if "script.py" in line.partition(":")[0]]
    notes = [line for line in lines if "Revealed type" in line]
    errors = [line for line in lines if ": error:" in line]
    assert len(notes) == len(SEEN), found.stdout
    assert len(errors) == len(WRONG), found.stdout
    assert all(name in line for name, line in zip(SEEN, notes, strict=True)), notes
    assert all(name in line for name, line in zip(WRONG, errors, strict=True)), errors


def test_every_name_of_the_api_is_imported_for_type_checkers_and_documented():
    source = Path(e2edist.__file__).read_text()
    names = source.partition("if TYPE_CHECKING:")[2].partition("__version__ = ")[0]
    for name in set(e2edist.__all__) - {"__version__"}:
        assert name in names.replace(",", " ").split()
        assert getattr(e2edist, name).__doc__
