"""The numbers of a report, and the files that CMSSW writes and we do."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.input_file import FileInfo
from e2edist.records.folder import CampaignFolder
from e2edist.records.losses import write_losses
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan
from e2edist.report import main
from e2edist.reporting.campaign_stats import efficiency, most_concurrent, read_stats, roofline, throughput
from e2edist.reporting.cmssw_table import campaign_columns, read_cmssw, table_rows, write_cmssw
from e2edist.reporting.scaling import describe_points, read_scaling
from e2edist.reporting.scores import ScoreTable, read_scores

UUID = "a" * 32
STAGES = {"eventsetup": (1000.0, 900.0, 0), "source": (400.0, 300.0, 10), "EGTagger": (600.0, 500.0, 20)}


def put(folder, plan, chunk, started, *, pid=1, host="h", labels=(0, 1), scores=(0.2, 0.7)):
    rows = pa.table(
        {
            "label": pa.array(labels, pa.int32()),
            "score": pa.array(scores, pa.float32()),
            "status": ["ok"] * len(scores),
        }
    )
    proof = make_receipt(
        chunk,
        plan.fingerprint,
        rows=len(scores),
        status={"ok": len(scores)},
        stages=STAGES,
        started=started,
        host=host,
        pid=pid,
        engine={"device": "EPYC", "provider": "CPUExecutionProvider"},
        versions={"e2edist": "0.1.0"},
        quality={"scores": {"score": {"n": 2, "nan": 0, "inf": 0, "min": 0.0, "max": 1.0, "bins": {}}}},
    )
    write_part(CampaignFolder(folder).part(chunk.id), rows, lambda: proof)


@pytest.fixture
def folder(tmp_path):
    """Four chunks of ten events and two seconds: two at once in one process, two in another."""
    file = FileInfo("a.root", "hits", "Events", UUID, 1, 50, (0, 10, 20, 30, 40, 50))
    plan = Plan({"name": "eg", "model": {"sha256": "0"}}, (file,), 8.0)
    plan.write(tmp_path)
    for chunk, started, pid in zip(
        plan.chunks()[:4], (100.0, 100.0, 103.0, 105.0), (1, 1, 2, 2), strict=True
    ):
        put(tmp_path, plan, chunk, started, pid=pid)
    lost = plan.chunks()[4]
    row = {"url": "a.root", "uuid": UUID, "tree": "Events", "start": lost.start, "stop": lost.stop}
    write_losses(
        CampaignFolder(tmp_path).losses,
        [row | {"events": 10, "fraction": 0.2, "reason": "no luck", "attempts": 3}],
    )
    return tmp_path


def test_a_campaign_s_counts_rate_and_threads(folder):
    campaign = read_stats(folder)
    assert (campaign.total.events, campaign.total.objects, campaign.lost, campaign.threads) == (40, 8, 10, 2)
    assert campaign.span_s == pytest.approx(2 + 2 + 2)  # nothing ran from 102 to 103
    assert campaign.rate == pytest.approx(40 / 6)


def test_time_per_event_and_roofs_are_sums_over_chunks(folder):
    (device,) = read_stats(folder).devices
    assert device.ms_per_event() == {"eventsetup": 100.0, "source": 40.0, "EGTagger": 60.0}
    assert device.events_per_s() == pytest.approx(10.0)
    assert roofline(device) == {"source": pytest.approx(25.0), "EGTagger": pytest.approx(1000 / 60)}


def test_the_area_under_the_throughput_is_the_events(folder):
    edges, rate = throughput(read_stats(folder), 70)
    assert (rate * np.diff(edges)).sum() == pytest.approx(40)
    assert edges[-1] == pytest.approx(7.0)
    assert rate[edges[:-1] < 2] == pytest.approx(10.0)  # two chunks of 5 events/s
    assert rate[(edges[:-1] > 2.05) & (edges[1:] < 2.95)] == pytest.approx(0.0)


def test_efficiency_is_busy_time_over_the_time_of_its_threads(folder):
    campaign = read_stats(folder)
    assert efficiency(campaign, nodes=False) == {"h 1": pytest.approx(1.0), "h 2": pytest.approx(1.0)}
    assert efficiency(campaign, nodes=True) == {"h": pytest.approx(8 / (7 * 2))}


@pytest.mark.parametrize(
    ("started", "wall", "most"), [([], [], 0), ([0, 1, 2], [1, 1, 1], 1), ([0, 0.5, 0.9], [1, 1, 1], 3)]
)
def test_spans_that_touch_do_not_overlap(started, wall, most):
    assert most_concurrent(np.array(started, float), np.array(wall, float)) == most


def test_the_area_under_the_curve_is_that_of_all_pairs(folder):
    rng = np.random.default_rng(5)
    plan = Plan({"name": "eg"}, (FileInfo("a", "hits", "Events", UUID, 1, 9, (0, 9)),), 8.0)
    label = rng.integers(-1, 2, 900)
    score = np.clip(rng.normal(0.4 + 0.2 * (label == 1), 0.2), 0, 1).astype(np.float32)
    chunk = plan.chunks()[0]
    masked = np.ma.masked_less(label, 0).tolist()
    put(folder / "other", plan, chunk, 0.0, labels=masked, scores=score.tolist())
    quality = {"scores": {"score": {"min": 0.0, "max": 1.0}}}
    (table,) = read_scores(folder / "other", quality, [chunk.id])
    assert {name: int(n.sum()) for name, n in table.counts.items()} == {
        k: int((label == k).sum()) for k in (-1, 0, 1)
    }
    signal, other = score[label == 1][:, None], score[label == 0][None, :]
    pairs = (signal > other).mean() + 0.5 * (signal == other).mean()
    assert table.auc() == pytest.approx(pairs, abs=1e-3)
    assert ScoreTable("x", table.edges, {1: table.counts[1]}, 1).auc() is None


def test_our_timing_survives_the_way_through_cmssw_s_format(folder, tmp_path):
    campaign = read_stats(folder)
    write_cmssw(tmp_path / "resources.json", campaign)
    (ours,) = campaign_columns([campaign])
    theirs = read_cmssw(tmp_path / "resources.json")
    assert theirs.modules == pytest.approx(ours.modules)
    assert (theirs.events, theirs.setup_ms) == (40, 4000.0)
    content = json.loads((tmp_path / "resources.json").read_text())
    assert (content["total"]["type"], content["total"]["time_real"]) == ("Job", 8000.0)
    assert {record["name"] for record in content["resources"]} <= content["modules"][0].keys()


def test_the_table_has_a_column_for_each_device_and_gains_over_the_first(folder, tmp_path):
    path = tmp_path / "resources.json"
    module = {"type": "EGTagger", "label": "egTagger", "events": 10, "time_real": 2000.0, "time_thread": 1.0}
    setup = module | {"type": "other", "label": "eventsetup", "time_real": 50.0}
    path.write_text(json.dumps({"total": {"events": 10}, "modules": [module, setup]}))
    table = table_rows([read_cmssw(path), *campaign_columns([read_stats(folder)])])
    rows = {row[0]: row[1:] for row in table}
    assert rows["EGTagger"] == ["200", "60"]
    assert rows["all"] == ["200", "100"]
    assert rows["gain"] == ["", "+100.0%"]
    assert rows["eventsetup [ms], whole job"] == ["50", "4,000"]


@pytest.mark.parametrize("text", ["{", "[]", '{"total": {"events": 0}, "modules": []}', '{"total": {}}'])
def test_what_is_no_timing_of_cmssw_is_refused(folder, tmp_path, text, capsys):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert main([str(folder), "--cmssw", str(path)]) == 2
    assert "Name the resources.json" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_page_stands_by_itself_and_has_all_figures(folder, capsys):
    assert main([str(folder), "--no-images"]) == 0
    out = folder / "report"
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    page = (out / "report.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    names = {"score-score", "roc", "roofline", "workers", "nodes", "stages", "throughput"}
    assert {path.stem for path in out.glob("*.png")} == {path.stem for path in out.glob("*.pdf")} == names
    assert page.count("<img") == len(names)
    assert "no luck" in page
    assert "| EGTagger | 60 |" in (out / "table.md").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_campaign_without_a_single_part_has_a_report_too(tmp_path):
    Plan({"name": "eg"}, (), 8.0).write(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert "There are no scores." in (tmp_path / "report" / "report.html").read_text()


def test_several_campaigns_need_a_folder_for_their_report(folder, capsys):
    assert main([str(folder), str(folder)]) == 2
    assert "--output: is missing" in capsys.readouterr().err


def point(**more):
    return {"workers": 4, "efficiency": 0.9} | more


def one_series(**more):
    return {"kind": "simulated", "mode": "weak", "label": "x", "points": [point()]} | more


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("{", "is no JSON"),
        ([], "the file: should be a valid dictionary"),
        ({}, "series: missing"),
        ({"series": {}}, "series: should be a valid tuple"),
        ({"series": []}, "series: Tuple should have at least 1 item"),
        (
            {"series": [one_series(), one_series(mode="sideways")]},
            "series.1.mode: should be 'strong' or 'weak' (got 'sideways')",
        ),
        ({"series": [one_series(kind="guessed")]}, "series.0.kind: should be 'simulated' or 'measured'"),
        ({"series": [one_series(points=[])]}, "series.0.points: Tuple should have at least 1 item"),
        ({"series": [one_series(points=[7])]}, "series.0.points.0: should be a valid dictionary"),
        (
            {"series": [one_series(points=[point(), {"workers": 1}])]},
            "series.0.points.1.efficiency: missing",
        ),
        (
            {"series": [one_series(points=[point(workers="4")])]},
            "series.0.points.0.workers: should be a valid integer (got '4')",
        ),
        (
            {"series": [one_series(points=[point(workers=0)])]},
            "workers: should be greater than or equal to 1",
        ),
        (
            {"series": [one_series(points=[point(wall_s="1")])]},
            "points.0.wall_s: should be a valid number",
        ),
    ],
)
def test_a_scaling_file_that_is_wrong_is_refused_by_its_key(folder, tmp_path, content, where, capsys):
    path = tmp_path / "scaling.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert main([str(folder), "--scaling", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}: " in said
    assert where in said


def test_a_scaling_file_that_is_not_there_is_refused(folder, tmp_path, capsys):
    assert main([str(folder), "--scaling", str(tmp_path / "none.json")]) == 2
    assert "none.json: can't be read: No such file or directory" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_scaling_is_drawn_and_the_page_says_what_was_measured(folder, tmp_path):
    simulated, measured = tmp_path / "simulated.json", tmp_path / "measured.json"
    more = {"points": [point(), point(workers=1024, events=9, wall_s=1.5, tail_loss=0.031)]}
    simulated.write_text(json.dumps({"series": [one_series(), one_series(mode="strong", **more)]}))
    measured.write_text(json.dumps({"series": [one_series(kind="measured", label="here")]}))
    assert main([str(folder), "--no-images", "--scaling", str(simulated), str(measured)]) == 0
    page = (folder / "report" / "report.html").read_text()
    assert "simulated, up to 1,024 workers" in page
    assert "measured, up to 4 workers" in page
    assert "<td>3.1%</td>" in page
    assert {path.suffix for path in (folder / "report").glob("scalability.*")} == {".png", ".pdf"}
    assert "Nothing here is measured." in describe_points(read_scaling(simulated))
