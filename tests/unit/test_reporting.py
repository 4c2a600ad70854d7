"""The numbers of a report, and the files that CMSSW writes and we do."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.accounting.usage import UsageLog
from e2edist.config.tagger import load_tagger
from e2edist.input_file import FileInfo
from e2edist.records.folder import CampaignFolder
from e2edist.records.losses import write_losses
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan
from e2edist.report import _how_to_open, main
from e2edist.reporting import page
from e2edist.reporting.campaign_stats import efficiency, most_concurrent, read_stats, roofline, throughput
from e2edist.reporting.cmssw_table import campaign_columns, read_cmssw, table_rows, write_cmssw
from e2edist.reporting.figures import by_tagger
from e2edist.reporting.image_figures import draw_means
from e2edist.reporting.mean_images import MeanImages
from e2edist.reporting.names import class_name, class_names, folder_names
from e2edist.reporting.scaling import describe_points, read_scaling
from e2edist.reporting.score_figures import TaggerScores, auc_rows, draw_roc, draw_scores
from e2edist.reporting.scores import BINS, ScoreTable, read_scores
from e2edist.reporting.tables import bill_rows, headlines
from e2edist.reporting.time_figures import (
    draw_bill,
    draw_efficiency,
    draw_roofline,
    draw_stages,
    draw_throughput,
    time_notes,
)

UUID = "a" * 32
STAGES = {"eventsetup": (1000.0, 900.0, 0), "source": (400.0, 300.0, 10), "EGTagger": (600.0, 500.0, 20)}


def put(folder, plan, chunk, started, *, pid=1, host="h", kinds=None, labels=(0, 1), scores=(0.2, 0.7)):
    rows = pa.table(
        {
            "kind": pa.array(kinds or ["photon"] * len(scores)).dictionary_encode(),
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
    assert rate[edges[1:] <= 1.0] == pytest.approx(0.0)  # setting up
    assert rate[(edges[:-1] >= 1.0) & (edges[1:] <= 2.0)] == pytest.approx(20.0)  # two chunks of 10 events/s
    assert rate[(edges[:-1] > 2.05) & (edges[1:] < 3.95)] == pytest.approx(0.0)


def test_efficiency_is_busy_time_over_the_time_of_its_threads(folder):
    campaign = read_stats(folder)
    assert efficiency(campaign, nodes=False) == {"h 1": pytest.approx(1.0), "h 2": pytest.approx(1.0)}
    assert efficiency(campaign, nodes=True) == {"h": pytest.approx(8 / (7 * 2))}


@pytest.mark.parametrize(
    ("started", "wall", "most"), [([], [], 0), ([0, 1, 2], [1, 1, 1], 1), ([0, 0.5, 0.9], [1, 1, 1], 3)]
)
def test_spans_that_touch_do_not_overlap(started, wall, most):
    assert most_concurrent(np.array(started, float), np.array(wall, float)) == most


@pytest.fixture
def electrons(tmp_path):
    """Scores of 900 photons and 500 electrons, as arrays of kind, label and score, and their table."""
    rng = np.random.default_rng(5)
    plan = Plan({"name": "eg"}, (FileInfo("a", "hits", "Events", UUID, 1, 9, (0, 9)),), 8.0)
    kind = np.repeat(["photon", "electron"], [900, 500])
    label = np.concatenate([rng.integers(-1, 2, 900), rng.choice([-1, 1], 500)])
    score = np.clip(rng.normal(0.4 + 0.2 * (label == 1), 0.2), 0, 1).astype(np.float32)
    chunk = plan.chunks()[0]
    masked = np.ma.masked_less(label, 0).tolist()
    put(tmp_path, plan, chunk, 0.0, kinds=kind.tolist(), labels=masked, scores=score.tolist())
    quality = {"scores": {"score": {"min": 0.0, "max": 1.0}}}
    (table,) = read_scores(tmp_path, quality, [chunk.id])
    return kind, label, score, table


def test_the_objects_of_each_kind_and_class_are_counted_and_none_is_lost(electrons):
    kind, label, _, table = electrons
    found = {key: int(counts.sum()) for key, counts in table.counts.items()}
    assert found == {
        (k, n): int(((kind == k) & (label == n)).sum())
        for k, n in [("photon", -1), ("photon", 0), ("photon", 1), ("electron", -1), ("electron", 1)]
    }
    assert sum(found.values()) == len(label)
    assert (table.kinds, list(table.of("photon"))) == (["photon", "electron"], [0, 1, -1])


def test_the_area_under_the_curve_is_that_of_all_pairs_of_one_kind(electrons):
    kind, label, score, table = electrons
    signal, other = (score[(kind == "photon") & (label == n)] for n in (1, 0))
    wins = (signal[:, None] > other[None, :]) + 0.5 * (signal[:, None] == other[None, :])
    curve = table.roc("photon")
    assert curve.auc == pytest.approx(wins.mean(), abs=1e-3)
    # DeLong: variance of the average win of each signal object, and of each other.
    variance = sum(wins.mean(axis=axis).var(ddof=1) / wins.shape[1 - axis] for axis in (0, 1))
    assert curve.auc_error == pytest.approx(variance**0.5, rel=1e-3)
    assert table.roc("electron") is None  # nothing but electrons and those nobody knows


def test_the_interval_of_the_background_is_wilson_s(electrons):
    curve = electrons[-1].roc("photon")
    low, high = curve.background_interval()
    n, passed = curve.background.sum(), curve.efficiencies[1]
    # The interval holds every p whose own expectation is within one standard deviation of what was seen.
    for edge in (low, high):
        assert np.abs(passed - edge) == pytest.approx(np.sqrt(edge * (1 - edge) / n), abs=1e-12)
    assert ((low <= passed) & (passed <= high)).all()


def lines(drawing):
    """Return label -> (x, y) of what is drawn with a legend."""
    return {line.get_label(): line.get_data() for ax in drawing.figure.axes for line in ax.get_lines()}


def test_a_roc_figure_and_its_rejection_show_the_same_numbers(electrons):
    table = electrons[-1]
    drawn = draw_roc(TaggerScores(("photon", "electron"), {"a": [table]}))
    curve = table.roc("photon")
    (text,) = (name for name in lines(drawn["roc"]) if "AUC" in name)
    assert text == f"photon collection: AUC {curve.auc:.4f} ± {curve.auc_error:.4f}"
    false, true = lines(drawn["roc"])[text]
    assert np.trapezoid(true, false) == pytest.approx(curve.auc, abs=2e-3)
    efficiency, rejection = lines(drawn["rejection"])[text]
    told = false * curve.background.sum() > 2.5  # fewer say nothing
    assert efficiency == pytest.approx(true[told])
    assert rejection == pytest.approx(1 / false[told])
    assert drawn["rejection"].figure.axes[0].get_xlabel() == "electron efficiency"
    assert "photon rejection" in drawn["rejection"].figure.axes[0].get_ylabel()


def test_campaigns_of_one_tagger_are_drawn_over_each_other_a_panel_for_each_kind(electrons):
    table = electrons[-1]
    scores = TaggerScores(("photon", "electron"), {"a": [table], "b": [table]})
    panels = draw_scores(scores, "score").figure.axes
    assert [ax.get_legend().get_title().get_text() for ax in panels] == [
        "photon collection",
        "electron collection",
    ]
    for ax, kind in zip(panels, table.kinds, strict=True):
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        names = [("photon", "electron", "truth unknown")[label] for label in table.of(kind)]
        counts = [int(n.sum()) for n in table.of(kind).values()]
        assert texts == [f"{n}: {c:,}, {who}" for who in "ab" for n, c in zip(names, counts, strict=True)]
        outlines = [patch.get_data() for patch in ax.patches if not patch.get_fill()]
        assert [outline.values.sum() for outline in outlines] == pytest.approx([1.0] * len(outlines))
    rows = auc_rows(scores)
    assert rows[0] == ["campaign", "collection", "photon", "electron", "truth unknown", "AUC"]
    assert [row[:2] for row in rows[1:]] == [[who, k] for who in "ab" for k in ("photon", "electron")]
    assert rows[2][-1] == "one class only"


def test_taggers_that_differ_stay_apart(folder, electrons):
    one, other = read_stats(folder), read_stats(folder, "other")
    table = electrons[-1]
    foreign = replace(table, column="x")
    assert list(by_tagger([one, other], [[table], [table]])) == ["eg"]
    apart = by_tagger([one, other], [[table], [foreign]])
    assert {name: list(some.tables) for name, some in apart.items()} == {
        "eg": [one.name],
        "eg-2": ["other"],
    }


def test_signed_layers_have_symmetric_colours_the_same_for_all_classes():
    pixels = np.zeros((2, 4, 4))
    pixels[:, 1, 1], pixels[1, 2, 2] = 5.0, -0.02
    groups = [("jet", "QCD"), ("jet", "top")]
    means = MeanImages(("ECAL_energy", "ECAL_tracksD0"), {groups[0]: pixels, groups[1]: pixels / 5}, {})
    means.counts.update(dict.fromkeys(groups, 7))
    drawn = draw_means(means)
    assert list(drawn) == ["means-1", "means-2"]
    for drawing in drawn.values():
        panels = [ax for ax in drawing.figure.axes if ax.images]
        energy, d0 = (ax.images[0] for ax in panels)
        assert [ax.get_title() for ax in panels] == ["ECAL_energy", "ECAL_tracksD0"]
        assert (energy.norm.vmin, energy.norm.vmax) == (0.0, 5.0)
        assert (d0.norm.vmin, d0.norm.vmax, float(d0.norm(0.0))) == (-5.0, 5.0, 0.5)
        assert energy.origin == "lower"  # pseudorapidity upwards
        assert [ax.get_ylabel() for ax in drawing.figure.axes if not ax.images] == [
            "mean [GeV]",
            "mean [cm]",
        ]


def test_classes_have_the_names_of_their_tagger_also_in_plans_of_before():
    model = load_tagger("qg").identity()
    assert class_names(Plan(model, (), 8.0)) == ("gluon", "quark")
    assert class_names(Plan(model, (), 8.0, classes=("g", "q"))) == ("g", "q")
    assert class_names(Plan(model | {"model": {"sha256": "0"}}, (), 8.0)) == ()
    assert [class_name(n, ("QCD", "top")) for n in (-1, 0, 1, 2)] == [
        "truth unknown",
        "QCD",
        "top",
        "label 2",
    ]


def test_folders_are_called_by_as_much_of_their_path_as_tells_them_apart():
    assert folder_names([Path("/a/eg"), Path("/b/top")]) == ["eg", "top"]
    assert folder_names([Path("/runs/a/eg"), Path("/runs/b/eg")]) == ["a/eg", "b/eg"]


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


class Page(HTMLParser):
    """A parsed page: elements by name, what is left open, the numbers of its head."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.headlines = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["b"]:
            self.headlines.append(data)

    def of(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_page_stands_by_itself_and_has_all_figures(folder, capsys, monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert main([str(folder), "--no-images"]) == 0
    out = folder / "report"
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line == f"{out / 'report.html'}: open it with xdg-open {out / 'report.html'}"
    page = (out / "report.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    names = {"score-score", "roc", "rejection", "workers", "stages", "throughput"}
    assert {path.stem for path in out.glob("*.png")} == {path.stem for path in out.glob("*.pdf")} == names
    assert page.count("<img") == len(names)
    parsed = Page(page)
    assert parsed.open == []
    assert all(image["alt"] and int(image["width"]) > 100 for image in parsed.of("img"))
    links = [link["href"] for link in parsed.of("a")]
    assert links == ["#scores", "#time", "#counts", "#origin"]  # no images asked for, nobody is billed
    assert [f"#{section['id']}" for section in parsed.of("section")] == links
    assert parsed.headlines == ["40", "8", "7", "10", "1.000 ± 0.000"]
    assert "all workers ran on one node, h, busy 57% of its time" in page
    assert "no luck" in page
    assert "| EGTagger | 60 |" in (out / "table.md").read_text()


def test_of_several_scores_each_stands_for_its_own_class():
    rng = np.random.default_rng(3)
    edges = np.linspace(0, 1, BINS + 1)
    counts = {("jet", label): rng.multinomial(100, np.full(BINS, 1 / BINS)) for label in range(3)}
    scores = TaggerScores(("a", "b", "c"), {"x": [ScoreTable(f"s{i}", edges, counts, i) for i in range(3)]})
    curves = {table.column: curve for _, _, table, curve in scores.rocs()}
    assert {name: (c.signal.sum(), c.background.sum()) for name, c in curves.items()} == dict.fromkeys(
        ("s0", "s1", "s2"), (100, 200)
    )
    drawn = draw_roc(scores)
    assert drawn["roc"].figure.axes[0].get_ylabel() == "signal efficiency"
    assert len([name for name in lines(drawn["roc"]) if "AUC" in name]) == 3


def write_usage(folder, kind):
    facts = {"kind": kind, "threads": 2, "workers": 1, "nodes": 1.0, "gpus": 0, "factor": 1.0}
    facts |= {"unit": "node h", "price": 0.0, "currency": "EUR"}
    UsageLog(folder, {"cpu": facts}).record({"cpu": {"running": 1, "joined": 1}}, {})


@pytest.mark.parametrize(("kind", "billed"), [("local", False), ("slurm", True)])
def test_a_bill_is_shown_where_somebody_charges(folder, kind, billed):
    write_usage(folder, kind)
    stats = read_stats(folder)
    assert [row.charged for row in stats.bill] == [billed]
    assert headlines(stats, None)[-1].what == ("charge" if billed else "time")
    assert (draw_bill(stats) is not None) is billed
    assert len(bill_rows([stats])) == 1 + billed


def test_one_worker_is_a_sentence_and_no_figure(tmp_path):
    file = FileInfo("a.root", "hits", "Events", UUID, 1, 10, (0, 10))
    plan = Plan({"name": "eg"}, (file,), 8.0)
    plan.write(tmp_path)
    put(tmp_path, plan, plan.chunks()[0], 0.0)
    stats = read_stats(tmp_path, "one")
    assert draw_efficiency(stats, nodes=False) is draw_efficiency(stats, nodes=True) is None
    assert draw_throughput([stats]) is draw_roofline(stats) is None
    assert time_notes([stats]) == [
        "one: one worker (process 1 on h, 1 thread at work), busy 100% of the time between its first and its "
        "last chunk.",
        "one: too few chunks (1) for a course of time.",
    ]
    (ax,) = draw_stages([stats]).figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["source", "EGTagger"]  # no event setup
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([40.0, 60.0])


def test_over_ssh_the_page_is_copied_first(monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    monkeypatch.setattr("socket.gethostname", lambda: "login02")
    said = _how_to_open(Path("/x/report.html"))
    assert said == "on your own machine, scp login02:/x/report.html . and open it in a browser"


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
        ([], "the file: should be a table"),
        ({}, "series: missing"),
        ({"series": {}}, "series: should be a list"),
        ({"series": []}, "series: Tuple should have at least 1 item"),
        (
            {"series": [one_series(), one_series(mode="sideways")]},
            "series.1.mode: should be 'strong' or 'weak' (got 'sideways')",
        ),
        ({"series": [one_series(kind="guessed")]}, "series.0.kind: should be 'simulated' or 'measured'"),
        ({"series": [one_series(points=[])]}, "series.0.points: Tuple should have at least 1 item"),
        ({"series": [one_series(points=[7])]}, "series.0.points.0: should be a table"),
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
def test_scaling_and_bill_are_drawn_and_the_page_says_what_was_measured(folder, tmp_path):
    write_usage(folder, "slurm")
    simulated, measured = tmp_path / "simulated.json", tmp_path / "measured.json"
    more = {"points": [point(), point(workers=1024, events=9, wall_s=1.5, tail_loss=0.031)]}
    simulated.write_text(json.dumps({"series": [one_series(), one_series(mode="strong", **more)]}))
    measured.write_text(json.dumps({"series": [one_series(kind="measured", label="here")]}))
    assert main([str(folder), "--no-images", "--scaling", str(simulated), str(measured)]) == 0
    page = (folder / "report" / "report.html").read_text()
    assert "simulated, up to 1,024 workers" in page
    assert "measured, up to 4 workers" in page
    assert "<td>3.1%</td>" in page
    assert "#bill" in [link["href"] for link in Page(page).of("a")]
    assert {path.suffix for path in (folder / "report").glob("scalability.*")} == {".png", ".pdf"}
    assert "Nothing here is measured." in describe_points(read_scaling(simulated))


def test_a_page_is_titled_by_tagger_and_folder_and_once_where_they_have_one_name(folder):
    one = read_stats(folder, "eg")
    assert one.tagger == "eg"
    assert page._title([one]) == "eg"
    assert page._title([one, read_stats(folder, "other")]) == "eg: eg, other"
