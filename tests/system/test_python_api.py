"""Campaigns from Python: in scripts without a main guard, in threads, and in the kernel of a notebook."""

import re
import signal
import subprocess
import sys
import time
from threading import Event, Thread

import psutil
import pytest
from distributed import Client, LocalCluster
from jupyter_client import KernelManager
from lab import until
from runs import KEY, TIMEOUT_S, drafts, environment, parts, plain, table

import e2edist
from e2edist.records.parts import checksum

pytestmark = pytest.mark.slow

#: As a user writes it, with nothing about `__main__`.
SCRIPT = """
import copy, signal, sys
import dask.config, distributed
import e2edist

def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    return handlers, copy.deepcopy(dask.config.config), dask.config.paths, sys.stdout, sys.unraisablehook

events, model = sys.argv[1:]
before = state()
for expected in (600, 0):
    counts = []
    done = e2edist.run_campaign(events, "out", model=model, workers=2, threads=1, progress=counts.append)
    assert (done.state, done.exit_code, done.complete) == ("done", 0, True)
    assert (done.events, done.events_done, done.losses, done.lost_fraction) == (600, 600, [], 0)
    assert counts[-1].events_done - counts[0].events_done == expected
    assert state() == before
print(repr(done))
"""


def call(words, cwd, **options):
    """Start Python; its workers are the same checkout."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def workers():
    """Return the processes that multiprocessing has started for this one."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if any("spawn_main" in word for word in child.cmdline())]


def test_a_script_without_a_main_guard_runs_twice_and_leaves_all_as_it_was(events, model, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    process = call(("script.py", events, model), tmp_path)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("<campaign done: 600 of 600 events, ")  # once: no worker ran the script
    found = e2edist.predict(events, "eg", model=model)
    rows = plain(found.drop_columns(["dataset", "file"])).sort_by([(name, "ascending") for name in KEY])
    assert rows.equals(table(tmp_path / "out"))
    results = e2edist.open_results(tmp_path / "out")
    assert (results.state, results.complete, results.objects) == ("done", True, found.num_rows)


@pytest.mark.parametrize(("form", "tagger"), [("root/hits_given_a.root", "eg"), ("edm/given_1.root", "top")])
def test_real_events_get_the_rows_of_submit_bit_for_bit(data, submit, tmp_path, form, tagger):
    file = data / form
    done = submit("--input", file, "--tagger", tagger, "--output", "out", "--workers", 1, "--threads", 2)
    assert done.returncode == 0, done.stderr
    found = e2edist.predict(file, tagger)
    rows = plain(found.drop_columns(["dataset", "file"])).sort_by([(name, "ascending") for name in KEY])
    assert rows.num_rows > 20
    assert checksum(rows) == checksum(table(tmp_path / "out"))  # NaN is equal to itself there


LINES = """
import e2edist
e2edist.run_campaign({events!r}, "out", model={model!r}, workers=1, threads=1, chunk_events=1)
print("not reached")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_on_stdin_that_gets_a_signal_stops_in_order_and_goes_on_later(
    events, model, tmp_path, number
):
    text = LINES.format(events=str(events), model=str(model))
    process = call(("-",), tmp_path, stdin=subprocess.PIPE)
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    until(lambda: parts(tmp_path / "out"))
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -number
    assert out == ""
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in err
    assert drafts(tmp_path / "out") == []
    done = len(parts(tmp_path / "out"))
    results = e2edist.open_results(tmp_path / "out")
    assert (results.state, results.complete) == ("stopped", False)
    assert results.table(["entry"]).num_rows == results.objects > 0
    assert done < 12


def test_a_campaign_in_a_thread_stops_by_its_event_and_goes_on(events, model, tmp_path):
    stop, found = Event(), []
    options = {"model": model, "workers": 1, "threads": 1, "chunk_events": 1}

    def on_progress(progress):
        if progress.done:
            stop.set()

    def run():
        found.append(e2edist.run_campaign(events, tmp_path, "eg", stop=stop, progress=on_progress, **options))

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread = Thread(target=run)
    thread.start()
    thread.join(TIMEOUT_S)
    (stopped,) = found
    assert (stopped.state, stopped.exit_code, stopped.complete) == ("stopped", 130, False)
    assert 0 < stopped.events_done < 600
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    done = e2edist.run_campaign(events, tmp_path, "eg", progress=False, **options)
    assert (done.state, done.events_done) == ("done", 600)
    until(lambda: not workers(), 20)


def test_a_campaign_attaches_to_the_cluster_of_a_notebook(events, model, tmp_path):
    with LocalCluster(n_workers=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        options = {"scheduler": client.scheduler.address, "model": model, "progress": False}
        done = e2edist.run_campaign(events, tmp_path, "eg", **options)
        assert client.submit(sum, [1, 2]).result() == 3
    assert (done.state, done.events_done) == ("done", 600)


def test_losses_raise_an_error_or_are_in_the_result(events, model, tmp_path):
    first, second = sorted(events.glob("*.root"))
    content = bytearray(first.read_bytes())
    for at in range(len(content) // 10, len(content) * 6 // 10, 4000):
        content[at : at + 60] = b"\xff" * 60
    (tmp_path / "bad.root").write_bytes(content)
    files, options = [tmp_path / "bad.root", second], {"model": model, "workers": 1, "progress": False}
    with pytest.raises(e2edist.CampaignError, match=r"% of the events failed .*The same call tries"):
        e2edist.run_campaign(files, tmp_path / "out", **options)
    found = e2edist.run_campaign(files, tmp_path / "out", check=False, **options)
    assert (found.state, found.exit_code, found.complete) == ("incomplete", 1, False)
    lost = sum(row["events"] for row in found.losses)
    assert lost == found.events - found.events_done == round(found.lost_fraction * 600) > 0
    assert "of the events failed" in found.error
    results = e2edist.open_results(tmp_path / "out")
    assert results.losses == found.losses


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel as Jupyter starts it; returns a function that runs a cell and returns its messages."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=TIMEOUT_S)

    def run(cell, on_message=lambda _: None):
        messages = []

        def hook(message):
            messages.append(message)
            on_message(message)

        reply = client.execute_interactive(cell, output_hook=hook, timeout=TIMEOUT_S, store_history=False)
        return reply["content"], messages

    run.interrupt = manager.interrupt_kernel
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def shown(messages, kind="text/plain"):
    """Return what a cell shows, as text: the last state of what is drawn again."""
    streams = "".join(one["content"]["text"] for one in messages if one["msg_type"] == "stream")
    drawn = [one["content"]["data"].get(kind, "") for one in messages if "data" in one["content"]]
    return streams, drawn


def test_a_notebook_interrupts_predict_at_once(kernel, events, model):
    call = f"{str(events)!r}, 'eg', model={str(model)!r}"
    cell = f"import e2edist, time\nfor one in e2edist.predict_batches({call}, chunk_events=1):\n"
    pressed = []

    def press(message):
        if message["content"].get("text", "").startswith("one") and not pressed:
            pressed.append(time.monotonic())
            kernel.interrupt()

    reply, _ = kernel(cell + "    print('one'); time.sleep(5)", press)
    assert reply["ename"] == "KeyboardInterrupt"
    assert time.monotonic() - pressed[0] < 5
    assert (
        kernel(f"e2edist.predict({str(events)!r}, 'eg', model={str(model)!r}).num_rows")[0]["status"] == "ok"
    )


def test_a_notebook_runs_and_interrupts_campaigns_beside_its_event_loop(kernel, events, model, tmp_path):
    assert kernel("import asyncio, e2edist; asyncio.get_running_loop()")[0]["status"] == "ok"
    line = f"e2edist.run_campaign({str(events)!r}, 'out', model={str(model)!r}, workers=1, threads=1, "
    pressed = []

    def press(message):
        text = message["content"].get("data", {}).get("text/plain", "")
        if text.startswith("eg: ") and ": 0 of" not in text and not pressed:
            pressed.append(text)
            kernel.interrupt()

    reply, messages = kernel(f"{line} chunk_events=1)", press)
    assert reply["ename"] == "KeyboardInterrupt"
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown(messages)[0]).split())
    assert "stopping: letting running chunks finish; interrupt again to stop now" in plain
    assert e2edist.open_results(tmp_path / "out").state == "stopped"
    reply, messages = kernel(f"{line} chunk_events=1)")
    assert reply["status"] == "ok", reply
    streams, drawn = shown(messages)
    assert "pool cpu: dashboard http://127.0.0.1:" in streams
    assert "  this campaign's page http://127.0.0.1:" in streams
    assert drawn[-1].startswith("<campaign done: 600 of 600 events, ")
    assert any("<progress value=" in text for text in shown(messages, "text/html")[1])
    reply, messages = kernel("e2edist.open_results('out')")
    assert "<td>600 of 600</td>" in shown(messages, "text/html")[1][0]
    reply, messages = kernel("e2edist.open_results('no')")
    assert reply["evalue"] == f"{tmp_path}/no: is no folder. Name the output folder of a campaign."
    assert len(reply["traceback"]) < 8
