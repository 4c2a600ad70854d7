"""What a person and a machine see of a running campaign."""

import io
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from receipts import CHUNK, make_receipt

from e2edist.accounting.bill import PoolBill, make_bill
from e2edist.accounting.progress import Progress
from e2edist.accounting.summary import Summary
from e2edist.accounting.usage import pool_facts
from e2edist.checks import Finding
from e2edist.cli.closing import kept_message, notify
from e2edist.cli.console import make_console
from e2edist.cli.findings import print_findings
from e2edist.cli.outcome import Outcome, print_next, print_outcome
from e2edist.cli.plain_console import PlainConsole
from e2edist.cli.progress import describe, details, emit_progress
from e2edist.cli.tables import print_bad, print_bill, print_stages
from e2edist.config.charge import ChargeSpec
from e2edist.config.site import PoolSpec
from e2edist.house_table import make_table, number_columns
from e2edist.records.failure import Failure, without_place
from e2edist.records.receipt_file import log_line


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(8, 800, done=8), "all done before"),
        (Progress(8, 800), "waiting for workers"),
        (
            Progress(8, 800, pools={"cpu": (2, 2, 0, 0)}, waits_for={"cpu": "SLURM: Resources"}),
            "waiting for workers (SLURM: Resources)",
        ),
        (Progress(8, 800, threads=2, rate=0.0), "first chunks: workers load code and model"),
        (Progress(8, 800, threads=2, rate=3.0, eta_s=9, done_by={"cpu": 1}), "3 events/s, ETA 0:00:09"),
    ],
)
def test_the_line_says_what_is_known(progress, text):
    assert describe(progress) == text


def test_the_line_has_rates_forecast_and_pools():
    progress = Progress(8, 800, failed=1, threads=2, rate=1234.4, rate_now=2000.0, eta_s=61)
    progress.pools = {"gpu": (4, 2, 2, 1), "cpu": (1, 0, 1, 1)}
    assert describe(progress) == "1,234 events/s, ETA 0:01:01"
    assert details(progress) == "now 2,000/s, gpu 1/4 +2 queued, cpu 1/1, 1 failed"


def test_machines_hear_of_the_end_at_once():
    heard = []
    look = emit_progress(heard.append)
    look(Progress(2, 20, done=1))
    look(Progress(2, 20, done=2, events_done=20))
    assert [(fact["what"], fact["done"]) for fact in heard] == [("progress", 2)]
    json.dumps(heard)


def test_the_line_of_a_chunk_is_key_value():
    receipt = make_receipt(CHUNK.part(0, 9), pool="", host="n1", stages={"source": (1.6, 1.0, 9)})
    assert (
        log_line(receipt) == f"done chunk={receipt.id} file=a.root pool= host=n1 events=9 rows=3 source_ms=2"
    )


FACTS = {"state": "done", "folder": "/out", "events": 5}


def test_a_notification_gets_the_result_on_stdin_and_the_state_in_its_environment(tmp_path):
    said = io.StringIO()
    command = f"cat > {tmp_path}/in.json; echo $E2EDIST_STATE $E2EDIST_FOLDER > {tmp_path}/env"
    notify(command, FACTS, make_console(file=said))
    assert json.loads((tmp_path / "in.json").read_text()) == FACTS
    assert (tmp_path / "env").read_text() == "done /out\n"
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("echo no mail >&2; exit 7", "exit code 7: no mail"),
        ("sleep 60", "it did not end in 0 s"),
        ("exit 1", "no output"),
        (r"printf '\377\n'; exit 3", "exit code 3: \ufffd"),
        ("a\0b", "null byte"),
        ("no-such-command-at-all", "exit code 127"),
    ],
)
def test_a_notification_that_fails_is_told_and_no_more(command, text, monkeypatch):
    monkeypatch.setattr("e2edist.cli.closing._NOTIFY_S", 0.5)
    said = io.StringIO()
    notify(command, FACTS, make_console(file=said, width=200))
    assert text in said.getvalue()


@pytest.mark.parametrize("command", ["exec <&-; exit 0", "true", "(sleep 5 &) ; exit 0"])
def test_a_notification_need_not_read_and_may_leave_something_behind(command, monkeypatch):
    monkeypatch.setattr("e2edist.cli.closing._NOTIFY_S", 1.0)
    said = io.StringIO()
    notify(command, FACTS | {"more": "x" * 10**6}, make_console(file=said, width=200))
    assert said.getvalue() == ""


def test_a_bill_of_large_numbers_is_whole_on_eighty_columns():
    said = io.StringIO()
    hours = {"allocated_h": 100.0, "used_h": 81.0, "starting_h": 6.0, "lost_h": 3.0, "idle_h": 10.0}
    more = {"node_h": 1234.5, "gpu_h": 4938.0, "charge": 1234.5, "unit": "node h", "cost": 1234.56}
    bill = PoolBill("gpu-preempt", **hours, **more, currency="EUR", events=10**8)
    print_bill(make_console(file=said, width=80), [bill])
    text = said.getvalue()
    for part in (
        "gpu-preempt",
        "% used/idle",
        "/start/lost",
        "81/10/6/3",
        "1,234",
        "4,938",
        "1,234.56",
        "12.3",
    ):
        assert part in text, part
    assert "…" not in text


def outcome(**changes):
    total = Summary(events=8000, objects=17954, status=Counter(ok=11043, eta=1629, no_hit=1233, pt=4049))
    total.peak_mib = 366
    facts = {"lost": 0, "fraction": 0.0, "left": 0, "events": 8000, "seconds": 2.0}
    return Outcome(**{"folder": Path("/data/o ut"), "total": total, **facts, **changes})


def printed(*calls, width=80, quiet=False):
    said = io.StringIO()
    console = make_console(file=said, width=width)
    console.quiet = quiet
    for function, *arguments in calls:
        function(console, *arguments)
    return said.getvalue()


def test_the_result_is_below_one_another_and_ends_with_what_to_do_next():
    text = printed((print_outcome, outcome()), (print_next, Path("/data/o ut")))
    assert text.splitlines() == [
        "result",
        "  events        8,000  4,000 per second in this run",
        "  objects      17,954",
        "  with scores  11,043  61.5 % of the objects",
        "  rejected      6,911  pt 4,049, eta 1,629, no_hit 1,233",
        "  lost              0",
        "  memory          366  MiB of the largest worker",
        "output  /data/o ut",
        "read    e2edist.open_results('/data/o ut').table()",
        "next: python -m e2edist.report '/data/o ut'",
    ]


def test_losses_what_is_left_and_demo_networks_are_told():
    lost = outcome(lost=97, fraction=97 / 288, left=500, events=0, note="demo network: no")
    text = printed((print_outcome, lost))
    for line in (
        "lost             97  33.68 % of all events: see bad.parquet",
        "left            500  events that",
    ):
        assert line in text
    assert "per second" not in text
    assert text.endswith("note: demo network: no\n")


def test_a_folder_below_the_current_one_is_named_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "e2edist.report my/out\n" in printed((print_next, tmp_path / "my" / "out"))
    assert f"e2edist.report {tmp_path}\n" in printed((print_next, tmp_path))


def test_quiet_is_one_line():
    text = printed((print_outcome, outcome()), (print_next, Path("/out")), quiet=True)
    assert text == "8,000 events, 11,043 of 17,954 objects with scores, 0 events lost -> /data/o ut\n"
    text = printed((print_outcome, outcome(skipped=1)), quiet=True)
    assert text.endswith("0 events lost, 1 input file skipped -> /data/o ut\n")


def test_quiet_says_why_there_are_no_rows():
    for warning in ("none of the 9 events is in the lumi mask", "the input files hold no events"):
        total = Summary(chunks=1, events=9, warnings=[warning])
        text = printed((print_outcome, outcome(total=total)), quiet=True)
        assert text.endswith(f"-> /data/o ut\nwarning: {warning}\n")


def test_what_is_lost_names_its_file_once_and_no_number_that_nobody_knows():
    url = "/data/a.root"
    failure = Failure(
        "i", url, "u", "Events", 100, 200, f"EntriesError: {url}:Events entries 100-220: bad", 2
    )
    given_up = asdict(failure) | {"events": failure.events}
    skipped = {"url": "/b.root", "stop": None, "events": 220, "attempts": 1, "reason": "is cut short"}
    lines = printed((print_bad, [given_up, skipped], "failed: 1 % of all events")).splitlines()
    assert lines == [
        "failed: 1 % of all events",
        "  /b.root: unknown number of events",
        "    is cut short",
        "  /data/a.root entries 100-200 (100 events, 2 attempts)",
        "    EntriesError: bad",
        "",
    ]
    assert without_place("/b.root: is cut short: 3 bytes", "/b.root") == "is cut short: 3 bytes"
    other = "InputError: /c.root: is not there"
    assert without_place(other, "/b.root") == other


def test_numbers_of_tables_are_aligned_right_and_reasons_whole():
    total = Summary(stages={"source": (1500.0, 2.0, 9), "EGTagger": (1.5e6, 1e6, 123456)})
    rows = [{"url": f"/data/{n}.root", "start": 0, "stop": n, "events": n, "attempts": 3} for n in (7, 12345)]
    reason = "a long sentence " * 8 + "ends here"
    bad = [row | {"reason": reason} for row in rows]
    text = printed((print_stages, total), (print_bad, bad, "failed: 50 % of all events"))
    lines = text.splitlines()
    ends = {len(line) for line in lines if line.startswith(("source", "EGTagger"))}
    assert len(ends) == 1
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    folded = re.sub(r"\s+", "", text)
    assert folded.count("endshere") == 2


def test_workers_of_this_host_are_billed_only_where_somebody_has_set_a_charge(tmp_path):
    specs = {
        "cpu": PoolSpec(),
        "paid": PoolSpec(charge=ChargeSpec(price=0.1)),
        "jobs": PoolSpec(kind="slurm"),
    }
    for name, spec in specs.items():
        facts = pool_facts(spec)
        with (tmp_path / "usage.jsonl").open("a") as stream:
            stream.write(json.dumps({"run": name, "pools": {name: facts}}) + "\n")
    assert {row.pool: row.charged for row in make_bill(tmp_path, {})} == {
        "cpu": False,
        "paid": True,
        "jobs": True,
    }


def test_quiet_verbs_print_their_result_and_faults_only(tmp_path):
    ok, bad = Finding("ok", "clock", "it agrees"), Finding("fail", "disk", "it is full", "Free it.")
    said = io.StringIO()
    console = make_console(file=said, width=80)
    console.quiet = True
    assert print_findings(console, [ok, bad]) == ["ok", "fail"]
    assert console.quiet
    lines = said.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["fail", "->", "1"]


@pytest.mark.parametrize(("line", "style"), [("warning: x", "1;33"), ("next: python", "1;32"), ("plain", "")])
def test_first_words_have_a_colour_on_a_terminal_only(line, style, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = io.StringIO()
    console = PlainConsole(file=said, force_terminal=True, color_system="standard", width=80)
    console.print(line)
    word, space, rest = line.partition(" ")
    assert said.getvalue() == (f"\x1b[{style}m{word}\x1b[0m" if style else word) + space + rest + "\n"
    assert printed((lambda console: console.print(line),)) == f"{line}\n"


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("e2edist: a word and /a/long/path/of/a/file and more words", 2),
        ("stopped: no event is done yet: the same command does the rest", 2),
        ("next: python -m e2edist.report /a/long/path/of/a/folder", 1),
        ("output  /a/long/path/of/a/folder/and /a/blank in it/and more", 1),
    ],
)
def test_sentences_are_wrapped_at_blanks_on_a_terminal_and_commands_are_not(line, lines, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for terminal in (True, False):
        said = io.StringIO()
        PlainConsole(file=said, force_terminal=terminal, color_system=None, width=40).print(line)
        shown = said.getvalue().splitlines()
        assert len(shown) == (lines if terminal else 1)
        assert [word for part in shown for word in part.split()] == line.split()


def test_tables_in_a_pipe_have_no_blanks_at_the_ends_of_lines():
    table = make_table("name", *number_columns("n"), "text")
    table.add_row("a", "1", "short")
    table.add_row("b", "22", "a longer text")
    text = printed((lambda console: console.print(table),))
    assert [line.split() for line in text.splitlines()][2] == ["a", "1", "short"]
    assert not re.search(" $", text, re.M)
    assert text.endswith("a longer text\n")


@pytest.mark.parametrize(
    ("done", "late", "cut", "text"),
    [
        (0, 0, 0, "stopped: no event is done yet: the same"),
        (5, 1, 0, "stopped: 5 of 192 events are done and kept (1 chunk finished after the signal): the same"),
        (1, 0, 2, "stopped: 1 of 192 events is done and kept (2 chunks were cut off): the same"),
    ],
)
def test_only_what_there_is_is_said_of_a_campaign_that_was_stopped(done, late, cut, text):
    campaign = SimpleNamespace(plan=SimpleNamespace(events=192))
    result = SimpleNamespace(ledger=SimpleNamespace(events_done=done), finished_late=late, cut_off=cut)
    assert kept_message(campaign, result).startswith(text)
