"""The example notebook and the examples of docs/python.md run as they stand."""

import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from runs import ROOT, TIMEOUT_S, environment

import e2edist

pytestmark = pytest.mark.slow
NOTEBOOK = ROOT / "docs" / "examples" / "first_look.ipynb"
PAGE = ROOT / "docs" / "python.md"


def test_the_example_notebook_runs_in_a_kernel(tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    for name, value in {**environment(), "IPYTHONDIR": str(tmp_path / "ipython")}.items():
        monkeypatch.setenv(name, value)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 2
    texts = [data.get("text/plain", "") for data in shown]
    assert "True" in texts  # the rows of the campaign are those of predict
    assert any(text.startswith("<campaign done: 2,000 of 2,000 events, ") for text in texts)
    streams = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "Traceback" not in streams
    assert "Warning" not in streams
    assert "summed over threads" not in streams  # the tables of a terminal
    assert e2edist.open_results(tmp_path / "first-look").complete


def test_the_examples_of_the_page_on_python_run_as_one_script(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "examples.py").write_text("\n".join(blocks))
    command = [sys.executable, "-W", "error", "examples.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "<campaign done: 1,000 of 1,000 events, " in done.stdout
    assert "<results: tagger eg; state done; events 1,000 of 1,000; " in done.stdout
    assert done.stdout.endswith("no-such-file.root: there is no such file. Check the path\n")
