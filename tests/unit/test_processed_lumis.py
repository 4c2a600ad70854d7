"""Which luminosity blocks finished campaigns processed, and how many events were in their lumi mask."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from receipts import make_receipt
from small_campaign import plan_of

from e2edist.accounting.summary import summarise
from e2edist.aggregate import main
from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.parts import write_part

MASK = '{"7":[[1,9]]}'


def _finish(folder, plan, *facts):
    """Write a campaign's plan and its parts, which have no rows, each with some facts in its receipt."""
    plan.write(folder)
    schema = {"uuid": pa.string(), "entry": pa.int64(), "kind": pa.string(), "object": pa.int32()}
    table = pa.schema(schema | {"status": pa.string(), "score": pa.float32()}).empty_table()
    for chunk, fact in zip(plan.chunks(), facts, strict=True):
        receipt = make_receipt(chunk, plan.fingerprint, rows=0, status={}, **fact)
        write_part(CampaignFolder(folder).part(chunk.id), table, lambda receipt=receipt: receipt)


def _masked(plan, mask=MASK, group=""):
    return replace(plan, lumi_mask=mask, group=group)


def test_aggregate_writes_the_lumis_of_all_campaigns_merged_and_the_events_in_their_mask(tmp_path, capsys):
    first, second = tmp_path / "one", tmp_path / "two"
    parts = {"events_in_mask": 4, "lumis": {"7": [(1, 2)]}}, {"events_in_mask": 0}
    _finish(first, _masked(plan_of(0, 10, 20)), *parts)
    _finish(second, plan_of(0, 5, uuid="e" * 32), {"lumis": {"7": [(3, 3), (5, 5)], "6": [(1, 1)]}})
    assert main([str(first), str(second), "--output", str(tmp_path / "all")]) == 0
    path = AggregatedFolder(tmp_path / "all").lumis
    assert json.loads(path.read_text()) == {"6": [[1, 1]], "7": [[1, 3], [5, 5]]}
    summary = json.loads(AggregatedFolder(tmp_path / "all").summary.read_text())
    assert (summary["events"]["done"], summary["events_in_mask"]) == (25, 9)
    assert [one.get("lumi_mask", "").split(",")[0] for one in summary["campaigns"]] == ["run 7", ""]
    out = capsys.readouterr().out
    assert "25 of 25 events, 9 of them in the lumi mask" in out
    assert "and processed_lumis.json, for brilcalc" in out
    assert main([str(first), "--verify"]) == 0


def test_without_the_lumis_of_all_events_there_is_no_list_of_them(tmp_path, capsys):
    known, unknown = {"lumis": {"7": [(1, 2)]}}, {}
    _finish(tmp_path, plan_of(0, 10, 20), known, known)
    path = AggregatedFolder(CampaignFolder(tmp_path).aggregated).lumis
    assert main([str(tmp_path)]) == 0
    assert path.exists()
    _finish(tmp_path, plan_of(0, 10, 20), known, unknown)
    assert main([str(tmp_path)]) == 0
    assert not path.exists()
    assert "no processed_lumis.json: run and lumi of 10 events are not known" in capsys.readouterr().out
    _finish(tmp_path, plan_of(0, 10, 20), unknown, unknown)
    assert main([str(tmp_path)]) == 0
    assert "processed_lumis" not in capsys.readouterr().out


def test_groups_under_different_masks_are_not_one_list(tmp_path, capsys):
    facts = {"events_in_mask": 1, "lumis": {"7": [(1, 1)]}}
    _finish(tmp_path / "one", _masked(plan_of(0, 10), group="1/2 abc"), facts)
    _finish(tmp_path / "two", _masked(plan_of(0, 10, uuid="e" * 32), '{"7":[[2,2]]}', "2/2 abc"), facts)
    assert main([str(tmp_path / "one"), str(tmp_path / "two"), "--output", str(tmp_path / "all")]) == 2
    assert "group 2/2 abc has another lumi mask than that of" in capsys.readouterr().err


@pytest.mark.parametrize(("passing", "told"), [(0, True), (1, False)])
def test_a_mask_that_no_event_passes_is_warned_of(passing, told):
    total = summarise([make_receipt(events_in_mask=0), make_receipt(events_in_mask=passing)])
    assert (total.events, total.events_in_mask) == (200, passing)
    assert any("none of the 200 events is in the lumi mask" in line for line in total.warnings) == told
    assert total.facts()["events_in_mask"] == passing
    assert "events_in_mask" not in summarise([make_receipt()]).facts()
