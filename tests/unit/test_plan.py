"""Plans and chunks: which entries, what is refused, what comes back from disk."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import write_tagger
from small_campaign import edges_only, plan_of, rows_of, run_all, write_hits

from e2edist.campaign.campaign import plan_campaign
from e2edist.campaign.planning import default_chunk_events, make_plan
from e2edist.campaign.resume import check_same, match_inputs
from e2edist.config.campaign import CampaignSpec, load_campaign
from e2edist.config.site import SiteSpec
from e2edist.errors import InputError, OutputError, ResourceError
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import prepare_folder
from e2edist.records.ledger import open_ledger
from e2edist.records.losses import skipped_events, unwanted_skips
from e2edist.records.plan import read_plan
from e2edist.storage.read_inputs import InputOptions

# ---- plan


@edges_only
@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 200))
def test_chunks_cover_all_entries_once_on_cluster_edges_and_none_is_needlessly_large(clusters, target):
    edges = [0, *np.cumsum(clusters).tolist()]
    chunks = plan_of(*edges).with_chunks(target).chunks()
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])]
    assert chunks[-1].stop == edges[-1]
    assert {chunk.start for chunk in chunks} | {chunk.stop for chunk in chunks} <= set(edges)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    for chunk in chunks[:-1]:
        inner = [edge for edge in edges if chunk.start < edge < chunk.stop]
        assert chunk.events >= target
        assert not inner or inner[-1] - chunk.start < target
    # Only the last may be small, and never below half of what is wanted beside another.
    assert len(chunks) == 1 or chunks[-1].events >= target // 2
    assert len(chunks) > 1 or all(edge < target for edge in edges[:-1]) or edges[-1] < 2 * target + 50


def test_a_plan_holds_what_the_files_are_and_a_chunk_a_cluster(small):
    tagger, url = small
    plan = make_plan(tagger, [url])
    (file,) = plan.files
    assert (file.url, file.format, file.tree, file.entries) == (url, "hits", "Events", 50)
    assert [(c.start, c.stop) for c in plan.chunks()] == [(i, i + 10) for i in range(0, 50, 10)]
    assert plan.events == 50
    assert 3 * 8 <= plan.event_bytes <= 1000


def test_a_file_without_entries_has_one_chunk_and_one_empty_part(small, tmp_path):
    tagger, _ = small
    plan = make_plan(tagger, [str(write_hits(tmp_path / "empty.root", 0, 10))])
    (chunk,) = plan.with_chunks(100).chunks()
    assert (chunk.start, chunk.stop) == (0, 0)
    (receipt,) = run_all(tagger, [chunk], tmp_path)
    assert (receipt.rows, receipt.events) == (0, 0)
    assert rows_of(tmp_path) == []
    assert open_ledger(tmp_path, "print", [chunk]).pending == []


def test_copies_of_a_file_are_refused_by_name(small, tmp_path):
    tagger, url = small
    copy = str(shutil.copy(url, tmp_path / "copy.root"))
    with pytest.raises(InputError, match=r"copy\.root: is a copy of .*a\.root: both have uuid [0-9a-f]{32}"):
        make_plan(tagger, [url, copy])


def test_all_files_that_can_not_be_used_are_named_at_once(small, tmp_path):
    tagger, url = small
    (tmp_path / "text.root").write_text("hello")
    bad = [str(tmp_path / name) for name in ("gone.root", "text.root")]
    with pytest.raises(InputError) as caught:
        make_plan(tagger, [url, *bad])
    assert "2 of 3 input files can't be used" in str(caught.value)
    assert all(name in str(caught.value) for name in bad)


def test_a_plan_comes_back_from_disk_as_it_was(small, tmp_path):
    tagger, url = small
    plan = make_plan(tagger, [url]).with_chunks(20)
    plan.write(tmp_path)
    again = read_plan(tmp_path)
    assert again.chunks() == plan.chunks()
    assert again.fingerprint == plan.fingerprint
    check_same(again, tagger, tmp_path)
    assert match_inputs(again, [url], tmp_path, InputOptions()) == again
    assert read_plan(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"fingerprint": "0" * 64},
        {"tagger": {"name": "y"}},
        {"files": []},
        {"files": None},
        {"files": [{"url": "a.root"}]},
        {"event_bytes": ...},
    ],
    ids=repr,
)
def test_a_plan_that_was_changed_or_is_of_another_version_is_refused(tmp_path, change):
    plan_of(0, 10).write(tmp_path)
    content = json.loads(CampaignFolder(tmp_path).plan.read_text()) | change
    content = {key: value for key, value in content.items() if value is not ...}
    CampaignFolder(tmp_path).plan.write_text(json.dumps(content))
    with pytest.raises(
        OutputError, match=r"plan\.json: (was changed|can't be read).*Choose another --output"
    ):
        read_plan(tmp_path)


def test_a_plan_cut_anywhere_is_refused(tmp_path):
    plan_of(0, 10).write(tmp_path)
    whole = CampaignFolder(tmp_path).plan.read_bytes()
    for size in range(len(whole)):
        CampaignFolder(tmp_path).plan.write_bytes(whole[:size])
        with pytest.raises(OutputError, match="can't be read"):
            read_plan(tmp_path)


def test_another_tagger_model_or_list_of_inputs_is_refused_and_the_reason_named(small, tmp_path):
    tagger, url = small
    plan = make_plan(tagger, [url])
    other_model = tagger.model_copy(update={"model": tagger.model.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(OutputError, match=r"its tagger differs in model\. Choose another --output"):
        check_same(plan, other_model, tmp_path)
    renamed = tagger.model_copy(update={"name": "y", "endcap_factor": 2.0})
    with pytest.raises(OutputError, match="differs in endcap_factor, name"):
        check_same(plan, renamed, tmp_path)
    with pytest.raises(OutputError, match=r"1 inputs are missing, as .*a\.root; 2 are new, as b\.root"):
        match_inputs(plan, ["b.root", "c.root"], tmp_path, InputOptions())


def test_the_fingerprint_of_a_plan_is_that_of_tagger_and_files_and_not_of_paths_or_chunks():
    plan = plan_of(0, 10, 20)
    (file,) = plan.files
    assert plan.with_chunks(20).fingerprint == plan.fingerprint
    assert replace(plan, files=(replace(file, url="/moved/a.root"),)).fingerprint == plan.fingerprint
    assert replace(plan, files=(replace(file, uuid="e" * 32),)).fingerprint != plan.fingerprint
    assert replace(plan, tagger={"name": "y"}).fingerprint != plan.fingerprint


def test_a_folder_with_other_files_is_refused_and_an_empty_one_is_made(tmp_path):
    prepare_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="holds other files and no plan"):
        prepare_folder(tmp_path)
    with pytest.raises(OutputError, match="can't be made"):
        prepare_folder(tmp_path / "thesis.tex" / "out")


@pytest.mark.parametrize(
    ("entries", "threads", "expected"), [(10**6, 4, 20), (160, 4, 10), (15, 4, 1), (0, 4, 1), (100, 1, 20)]
)
def test_the_default_chunk_gives_every_thread_some_and_is_never_above_the_taggers(
    small, entries, threads, expected
):
    assert small[0].chunk_events == 20
    assert default_chunk_events(small[0], entries, threads) == expected


def test_too_little_memory_is_refused_with_a_size_of_chunk_that_works(small, tmp_path):
    tagger, _ = small
    folder = tmp_path / "t"
    folder.mkdir()
    file = write_tagger(folder / "t.toml", tagger.model.path, objects={"kinds": ["photon"]}, batch=1)
    url = str(write_hits(tmp_path / "big.root", 60, 1))

    def plan(chunk_events, memory):
        pool = {"memory_gib": memory, "threads": 3, "engine": "null"}
        site = SiteSpec.model_validate({"name": "x", "pools": {"cpu": pool}})
        spec = CampaignSpec(
            tagger=str(file), inputs=(url,), output=str(tmp_path / "out"), chunk_events=chunk_events
        )
        return plan_campaign(spec, site).plan

    event = make_plan(tagger, [url]).event_bytes
    memory = 30 * event * 4 * 3 / 2**30
    with pytest.raises(ResourceError, match=r"pool cpu: chunks of 60 events need .*3 threads") as caught:
        plan(60, memory)
    number = int(caught.value.todo.split("--chunk-events ")[1].split()[0])
    assert 20 <= number <= 30
    assert max(chunk.events for chunk in plan(number, memory).chunks()) <= 30


# ---- tables


@pytest.mark.parametrize("edges", [[0, 5, 30], [0, 30], [0, 10, 20, 25], [5, 30]])
def test_a_plan_whose_edges_were_changed_is_refused(tmp_path, edges):
    plan_of(0, 10, 20, 30).write(tmp_path)
    content = json.loads(CampaignFolder(tmp_path).plan.read_text())
    content["files"][0]["edges"] = edges
    CampaignFolder(tmp_path).plan.write_text(json.dumps(content))
    with pytest.raises(OutputError):
        read_plan(tmp_path)


@pytest.mark.parametrize(("cluster", "works"), [(25, True), (60, False)])
def test_too_little_memory_names_a_size_that_clusters_allow(small, tmp_path, cluster, works):
    tagger, _ = small
    folder = tmp_path / "t"
    folder.mkdir()
    file = write_tagger(folder / "t.toml", tagger.model.path, objects={"kinds": ["photon"]}, batch=1)
    url = str(write_hits(tmp_path / "big.root", 100, cluster))

    def plan(chunk_events, memory):
        pool = {"memory_gib": memory, "threads": 3, "engine": "null"}
        site = SiteSpec.model_validate({"name": "x", "pools": {"cpu": pool}})
        out = str(tmp_path / "out")
        spec = CampaignSpec(tagger=str(file), inputs=(url,), output=out, chunk_events=chunk_events)
        return plan_campaign(spec, site).plan

    memory = 40 * make_plan(tagger, [url]).event_bytes * 4 * 3 / 2**30
    with pytest.raises(ResourceError) as caught:
        plan(100, memory)
    if not works:
        assert caught.value.todo == "Its clusters are that large: more memory, or fewer threads."
        return
    number = int(caught.value.todo.split("--chunk-events ")[1].split()[0])
    plan(number, memory)


# ---- datasets of the inputs, files that are skipped


def campaign_of(small, tmp_path, **given):
    tagger, _ = small
    folder = tmp_path / "t"
    folder.mkdir(exist_ok=True)
    file = write_tagger(folder / "t.toml", tagger.model.path, objects={"kinds": ["photon"]}, batch=1)
    site = SiteSpec.model_validate({"name": "x", "pools": {"cpu": {"engine": "null"}}})
    spec = load_campaign(None, {"tagger": str(file), "output": str(tmp_path / "out")} | given)
    said = []
    return plan_campaign(spec, site, say=said.append), said


@pytest.fixture
def three_files(tmp_path):
    return [str(write_hits(tmp_path / f"{name}.root", 20, 10)) for name in "abc"]


def test_a_plan_knows_datasets_and_metadata_and_its_numbers_do_not(small, tmp_path, three_files):
    a, b, c = three_files
    fileset = {"TT": {"files": {a: "Events"}, "metadata": {"xsec": 88.3}}, "QCD": [b]}
    (tmp_path / "f.json").write_text(json.dumps(fileset))
    inputs = [str(tmp_path / "f.json"), c]
    campaign, _ = campaign_of(small, tmp_path, inputs=inputs)
    plan = campaign.plan
    uuid = {file.url: file.uuid for file in plan.files}
    assert [(one.name, one.metadata, one.files) for one in plan.datasets] == [
        ("QCD", {}, (uuid[b],)),
        ("TT", {"xsec": 88.3}, (uuid[a],)),
    ]
    bare, _ = campaign_of(small, tmp_path, inputs=three_files)
    assert bare.plan.fingerprint == plan.fingerprint
    assert bare.plan.checksum != plan.checksum
    bare.plan.write(tmp_path / "bare")
    assert "datasets" not in json.loads(CampaignFolder(tmp_path / "bare").plan.read_text())
    plan.write(tmp_path / "out")
    assert read_plan(tmp_path / "out").datasets == plan.datasets
    again, said = campaign_of(small, tmp_path, inputs=inputs[::-1])
    assert (again.resumed, again.plan.checksum, said) == (True, plan.checksum, [])
    again, said = campaign_of(small, tmp_path, datasets={"all": three_files})
    assert again.plan.datasets == plan.datasets
    assert "keeps the names and metadata of datasets" in said[0]


def test_trees_of_a_fileset_are_those_that_are_read(small, tmp_path, three_files):
    fileset = {"A": {"files": {three_files[0]: "Events", three_files[1]: "Others"}}}
    (tmp_path / "f.json").write_text(json.dumps(fileset))
    with pytest.raises(InputError, match=r"b.root.*Others"):
        campaign_of(small, tmp_path, inputs=[str(tmp_path / "f.json")])
    campaign, _ = campaign_of(small, tmp_path, inputs=[str(tmp_path / "f.json")], tree="Events")
    assert [file.tree for file in campaign.plan.files] == ["Events", "Events"]


def test_a_fileset_that_knows_fewer_entries_than_there_are_is_told_so(small, tmp_path, three_files):
    a, b, c = three_files
    content = {"A": {"files": {a: {"steps": [[0, 5]], "num_entries": 5}, b: {"num_entries": 20}}}}
    (tmp_path / "f.json").write_text(json.dumps(content))
    campaign, said = campaign_of(small, tmp_path, inputs=[str(tmp_path / "f.json"), c])
    assert said == [f"warning: {a}: its list says 5 entries, it has 20, and all are read"]
    campaign.plan.write(tmp_path / "out")
    assert campaign_of(small, tmp_path, inputs=[str(tmp_path / "f.json"), c])[1] == said


def test_chunks_larger_than_asked_for_are_said(small, tmp_path, three_files):
    _, said = campaign_of(small, tmp_path, inputs=three_files, chunk_events=10)
    assert said == []
    _, said = campaign_of(small, tmp_path, inputs=three_files, chunk_events=3)
    text = "note: chunks have up to 10 events, not 3: a chunk is made of whole clusters of its file"
    assert said == [text]


def test_files_without_any_event_are_warned_of_and_some_of_them_are_fine(small, tmp_path, three_files):
    none = str(write_hits(tmp_path / "none.root", 0, 10))
    assert campaign_of(small, tmp_path, inputs=[none, *three_files])[1] == []
    _, said = campaign_of(small, tmp_path, inputs=[none])
    assert said == ["warning: the file holds no events, so there will be no rows"]


def test_a_file_that_cannot_be_used_stops_the_plan_with_the_way_to_skip_it(small, tmp_path, three_files):
    (tmp_path / "b.root").write_bytes(b"root")
    with pytest.raises(InputError, match=r"b.root.*To go on without: --skip-bad-files\."):
        campaign_of(small, tmp_path, inputs=three_files)
    campaign, _ = campaign_of(small, tmp_path, inputs=three_files, skip_bad_files=True)
    assert [url for url, _ in campaign.plan.skipped] == [three_files[1]]
    assert campaign.plan.skip_bad_files
    campaign.plan.write(tmp_path / "out")
    again, _ = campaign_of(small, tmp_path, inputs=three_files)
    assert again.plan.skip_bad_files
    for name in "ac":
        (tmp_path / f"{name}.root").write_bytes(b"root")
    with pytest.raises(InputError, match="3 of 3 input files") as caught:
        campaign_of(small, tmp_path, inputs=three_files, skip_bad_files=True, mode="fresh")
    assert "--skip-bad-files" not in str(caught.value)
    write_hits(tmp_path / "a.root", 20, 10)
    with pytest.raises(
        InputError, match=r"^2 of 3 input files can't be used \(to go on without: --skip-bad-files\):"
    ):
        campaign_of(small, tmp_path, inputs=three_files, mode="fresh")


def test_skipping_that_was_asked_for_is_no_loss_and_was_asked_for_once(small, tmp_path, three_files):
    (tmp_path / "b.root").write_bytes(b"root")
    campaign, _ = campaign_of(small, tmp_path, inputs=three_files, skip_bad_files=True)
    assert skipped_events(campaign.plan) == 20
    assert unwanted_skips(campaign.plan) == 0
    assert unwanted_skips(replace(campaign.plan, skip_bad_files=False)) == 20
    whole, _ = campaign_of(small, tmp_path, inputs=three_files[::2], skip_bad_files=True)
    assert not whole.plan.skip_bad_files
