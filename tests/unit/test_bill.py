"""What a campaign cost, from journals made by hand."""

import json

import pytest

from e2edist.accounting import usage
from e2edist.accounting.bill import bill_facts, make_bill
from e2edist.accounting.usage import UsageLog, pool_facts, read_commands, read_usage, submit_command
from e2edist.config.site import PoolSpec, load_site

FACTS = {
    "kind": "slurm",
    "threads": 2,
    "workers": 4,
    "nodes": 1.0,
    "gpus": 4,
    "factor": 2.0,
    "unit": "node h",
    "price": 0.5,
    "currency": "EUR",
}


def write(folder, *lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with (folder / "usage.jsonl").open("a") as stream:
        stream.write(text)


def at(t, running, joined, lost=0.0, run="r"):
    return {"run": run, "t": t, "jobs": {"gpu": [running, joined, lost]}}


HEAD = {"run": "r", "pools": {"gpu": FACTS}}


def test_used_idle_starting_and_lost_are_all_that_was_allocated(tmp_path):
    # One job queued for 100 s, starting for 60 s, at work for 100 s.
    write(tmp_path, HEAD, at(0, 0, 0), at(100, 1, 0), at(160, 1, 1), at(260, 0, 0, lost=36.0))
    (row,) = make_bill(tmp_path, {"gpu": (288e3, 2_000_000)})
    assert row.allocated_h == pytest.approx(4 * 160 / 3600)
    assert row.starting_h == pytest.approx(4 * 60 / 3600)
    assert row.used_h == pytest.approx(288 / 2 / 3600)
    assert row.lost_h == pytest.approx(36 / 2 / 3600)
    assert row.used_h + row.idle_h + row.starting_h + row.lost_h == pytest.approx(row.allocated_h)
    assert (row.node_h, row.gpu_h) == (pytest.approx(160 / 3600), pytest.approx(4 * 160 / 3600))
    assert row.charge == pytest.approx(2 * 160 / 3600)
    assert (row.cost, row.currency) == (pytest.approx(160 / 3600), "EUR")
    assert row.charge_per_million == pytest.approx(row.charge / 2)
    assert row.busy == pytest.approx(144 / 640)


def test_runs_add_up_and_what_nobody_saw_between_them_is_free(tmp_path):
    write(tmp_path, HEAD, at(0, 1, 1), at(50, 1, 1, lost=2.0))  # killed here
    write(tmp_path, HEAD | {"run": "s"}, at(9000, 1, 1, run="s"), at(9050, 1, 1, lost=3.0, run="s"))
    usage = read_usage(tmp_path)["gpu"]
    assert (usage.running_s, usage.starting_s, usage.lost_s) == (100.0, 0.0, 5.0)


def test_what_jobs_took_as_their_pool_knows_it_comes_before_counts(tmp_path):
    lines = [at(0, 0, 0), at(2, 1, 1), at(12, 0, 0), at(14, 0, 0)]
    for line, job_s in zip(lines, ([0, 0], [13, 9], [21, 9], [20.5, 9]), strict=True):
        line["jobs"]["gpu"] += job_s
    write(tmp_path, HEAD, *lines)
    write(tmp_path, HEAD | {"run": "s"}, at(9000, 1, 1, run="s"), at(9050, 1, 1, run="s"))  # one that did not
    usage = read_usage(tmp_path)["gpu"]
    assert (usage.running_s, usage.starting_s) == (70.5, 9.0)


def test_a_gap_inside_a_run_counts_for_two_minutes_at_most(tmp_path):
    write(tmp_path, HEAD, at(0, 1, 1), at(9000, 1, 1), at(8990, 1, 1))
    assert read_usage(tmp_path)["gpu"].running_s == usage._LARGEST_GAP_S


def test_cut_and_foreign_lines_do_no_harm(tmp_path):
    write(tmp_path, HEAD, at(0, 1, 1))
    with (tmp_path / "usage.jsonl").open("a") as stream:
        stream.write('[]\n{"run":"other","t":1,"jobs":{}}\n{"run":"r","t":')
    assert read_usage(tmp_path)["gpu"].running_s == 0.0


def test_where_less_was_seen_than_was_done_what_was_done_counts(tmp_path):
    write(tmp_path, HEAD, at(0, 1, 1))
    (row,) = make_bill(tmp_path, {"gpu": (7200e3, 10)})
    assert (row.used_h, row.allocated_h, row.idle_h) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("facts", "charged"),
    [
        ({"kind": "slurm", "price": 0.0, "factor": 1.0}, True),
        ({"kind": "local", "price": 0.0, "factor": 1.0}, False),
        ({"kind": "local", "price": 0.1, "factor": 1.0}, True),
        ({"kind": "local", "price": 0.0, "factor": 2.0}, True),
        ({"kind": "local", "price": 0.0, "factor": 1.0, "unit": "core h"}, True),
    ],
)
def test_nobody_charges_for_the_user_s_own_machine_unless_its_site_file_says_so(tmp_path, facts, charged):
    write(tmp_path, {"run": "r", "pools": {"gpu": FACTS | facts}}, at(0, 1, 1))
    (row,) = make_bill(tmp_path, {})
    assert row.charged is charged


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["python", "-m", "e2edist.submit", "--input", "a b.root"], "--input 'a b.root'"),
        (["python", "-m", "e2edist", "submit", "--tagger", "eg"], "--tagger eg"),
        (["/usr/bin/python", "/venv/bin/e2edist", "submit"], ""),
        (
            ["python", "-m", "e2edist.submit", "--input", "root://me:secret@h//a.root"],
            "--input root://h//a.root",
        ),
        (["python", "-m", "ipykernel_launcher", "-f", "x"], None),
    ],
)
def test_the_command_of_a_run_is_kept_without_secrets(tmp_path, words, command):
    known = submit_command(words)
    assert known == ("" if command is None else f"python -m e2edist.submit {command}".rstrip())
    UsageLog(tmp_path, {"gpu": FACTS}, known)
    assert read_commands(tmp_path) == ([known] if known else [])
    assert read_usage(tmp_path)["gpu"].facts == FACTS


def test_without_a_journal_there_is_no_bill(tmp_path):
    assert make_bill(tmp_path, {"gpu": (1.0, 1)}) == []


def test_a_journal_has_a_line_for_each_change_and_one_now_and_then(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(usage.time, "time", lambda: now[0])
    usage_log = UsageLog(tmp_path, {"gpu": FACTS})
    for seconds, running in ((0, 1), (2, 1), (4, 2), (6, 2), (20, 2)):
        now[0] = 1000.0 + seconds
        usage_log.record({"gpu": {"queued": 0, "running": running, "joined": 1}}, {"gpu": 1.5})
    lines = [json.loads(line) for line in (tmp_path / "usage.jsonl").read_text().splitlines()]
    assert [line["t"] - 1000 for line in lines[1:]] == [0, 4, 20]
    assert read_usage(tmp_path)["gpu"].running_s == 4 * 1 + 16 * 2


def test_a_journal_holds_what_jobs_took_where_that_is_known(tmp_path):
    usage_log = UsageLog(tmp_path, {"gpu": FACTS})
    count = {"queued": 0, "running": 1, "joined": 1}
    usage_log.record({"gpu": count}, {}, {"gpu": (3.00004, 1.0)})
    usage_log.record({"gpu": count}, {}, {"gpu": (4.0, 1.0)})  # not by itself a reason for a line
    usage_log.record({"gpu": count}, {}, {"gpu": (5.0, 1.0)}, last=True)
    lines = [json.loads(line) for line in (tmp_path / "usage.jsonl").read_text().splitlines()]
    assert [line["jobs"]["gpu"] for line in lines[1:]] == [[1, 1, 0.0, 3.0, 1.0], [1, 1, 0.0, 5.0, 1.0]]
    assert read_usage(tmp_path)["gpu"].running_s == 5.0


def test_a_shared_node_is_a_part_of_one_and_local_workers_are_one_together():
    pools = load_site("perlmutter").pools
    assert pool_facts(pools["gpu"])["nodes"] == 1.0
    shared = pool_facts(pools["gpu_shared"])
    assert (shared["nodes"], shared["gpus"], shared["workers"]) == (0.25, 1, 1)
    local = pool_facts(PoolSpec(workers=4, threads=2))
    assert (local["nodes"], local["workers"], local["threads"]) == (0.25, 1, 2)


def test_a_bill_is_ready_for_json(tmp_path):
    write(tmp_path, HEAD, at(0, 1, 1), at(60, 0, 0))
    (row,) = json.loads(json.dumps(bill_facts(make_bill(tmp_path, {}))))
    assert row["pool"] == "gpu"
    assert row["charge_per_million"] is None
