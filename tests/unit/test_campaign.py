"""From files to a frozen plan, from chunks to parts, from parts back to the ledger and the tables."""

import json
import os
import shutil
import threading
import time
import tracemalloc
from dataclasses import asdict, replace

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from handmade import direction_of, eb_id
from hypothesis import given, settings
from hypothesis import strategies as st
from models import write_model, write_tagger
from receipts import make_receipt as receipt

from e2edist.accounting.summary import summarise, write_timing
from e2edist.campaign.planning import default_chunk_events, make_plan
from e2edist.campaign.resume import check_same, match_inputs
from e2edist.campaign.run import plan_campaign
from e2edist.config.campaign import CampaignSpec
from e2edist.config.site import SiteSpec
from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.errors import ChangedFileError, InputError, OutputError, ResourceError
from e2edist.input_file import FileInfo
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import prepare_folder
from e2edist.records.ledger import open_ledger
from e2edist.records.ledger_lines import done_line
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.records.parts import RECEIPT, write_part
from e2edist.records.plan import Plan, read_plan
from e2edist.records.receipt import add_times
from e2edist.storage.staging import InputOptions
from e2edist.worker.clock import OTHER, Clock
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

edges_only = settings(deadline=None, max_examples=150, derandomize=True, database=None)
#: The candidates of every event: what becomes of each, and its (pt, eta).
FATES = {
    "ok": (40.0, None),
    "pt": (5.0, 0.5),
    "eta": (40.0, 2.0),
    "nan": (np.nan, 0.5),
    "no_hit": (40.0, -1.0),
}


def write_hits(path, events, cluster, seed=0):
    """Write an ntuple of photons: in each event one of every fate, round one shower in the barrel."""
    rng = np.random.default_rng(seed)
    with uproot.recreate(path) as file:
        tree = None
        for first in range(0, max(events, 1), cluster):
            data = _columns(rng, first, min(cluster, events - first))
            tree = tree or file.mktree(
                "Events", {k: getattr(v, "dtype", None) or v.type for k, v in data.items()}
            )
            if events:
                tree.extend(data)
    return path


def _columns(rng, first, count):
    f4, fates = np.float32, list(FATES.values())
    rows = rng.integers(90, 150, count)
    detids = [[eb_id(int(row) - 84 + step, 20) for step in (0, 1, 2)] for row in rows]
    eta = [[e if e is not None else direction_of(int(row), 19)[0] for _, e in fates] for row in rows]
    phi = [direction_of(100, 19)[1]] * len(fates)

    def lists(values, dtype, width):
        return ak.unflatten(ak.Array(np.asarray(values, dtype).reshape(-1)), np.full(count, width, np.int64))

    return {
        "run": np.full(count, 7, np.uint32),
        "luminosityBlock": np.full(count, 3, np.uint32),
        "event": np.arange(first, first + count, dtype=np.uint64) + 2**40,
        "EBRecHit_detid": lists(detids, np.uint32, 3),
        "EBRecHit_energy": lists(rng.exponential(20, (count, 3)), f4, 3),
        "Photon_pt": lists([[pt for pt, _ in fates]] * count, f4, len(fates)),
        "Photon_eta": lists(eta, f4, len(fates)),
        "Photon_phi": lists([phi] * count, f4, len(fates)),
        "Photon_label": lists([[1, 0, -1, 0, 1]] * count, np.int32, len(fates)),
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tagger of photons whose model tells images apart, and a file of 50 events in clusters of 10."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "m.onnx", outputs={"photon": 1})
    file = write_tagger(folder / "t.toml", "m.onnx", objects={"kinds": ["photon"]})
    return load_tagger(str(file)), str(write_hits(folder / "a.root", 50, 10))


def plan_of(*edges, uuid="f" * 32):
    file = FileInfo(f"{uuid[0]}.root", "hits", "Events", uuid, 100, edges[-1], edges)
    return Plan({"name": "x", "chunks": [1, 2]}, (file,), 8.0)


def run_all(tagger, chunks, folder, engine="onnx"):
    job = TaskContext(tagger, "print", str(folder), "cpu", EngineOptions(engine))
    prepare(str(folder), job)
    return [run_chunk(str(folder), chunk) for chunk in chunks]


def rows_of(folder):
    tables = [pq.read_table(path) for path in sorted(CampaignFolder(folder).predictions.glob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["entry"], row["object"]))


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


# ---- chunks


def test_rejected_candidates_keep_their_row_with_the_reason_and_no_score(small, tmp_path):
    tagger, url = small
    receipts = run_all(tagger, make_plan(tagger, [url]).with_chunks(20).chunks(), tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == sum(receipt.rows for receipt in receipts) == 250
    assert [row["status"] for row in rows] == list(FATES) * 50
    for row in rows:
        accepted = row["status"] == "ok"
        assert (row["photon"] is not None) == accepted
        assert (row["seed_row"] is not None) == (row["seed_col"] is not None) == accepted
        assert row["label"] == [1, 0, None, 0, 1][row["object"]]
    assert len({row["photon"] for row in rows}) == 51
    first = rows[0]
    assert (first["run"], first["lumi"], first["event"], first["entry"]) == (7, 3, 2**40, 0)
    assert (first["kind"], first["uuid"]) == ("photon", make_plan(tagger, [url]).files[0].uuid)


def test_a_part_has_the_columns_of_all_parts_in_order_then_the_scores(small, tmp_path):
    tagger, url = small
    run_all(tagger, make_plan(tagger, [url]).with_chunks(50).chunks(), tmp_path)
    (path,) = CampaignFolder(tmp_path).predictions.glob("*.parquet")
    schema = pq.read_schema(path)
    assert schema.names == [*PART_COLUMNS, "photon"]
    assert [schema.field(name).type for name in PART_COLUMNS] == [c.type for c in PART_COLUMNS.values()]
    assert schema.field("photon").type == pa.float32()


def test_scores_do_not_depend_on_how_entries_are_cut_into_chunks(small, tmp_path):
    tagger, url = small
    plan = make_plan(tagger, [url])
    (whole,) = plan.with_chunks(50).chunks()
    run_all(tagger, [whole], tmp_path / "one")
    run_all(tagger, plan.chunks(), tmp_path / "clusters")
    pieces = [whole.part(i, min(i + 7, 50)) for i in range(0, 50, 7)]
    run_all(tagger, pieces, tmp_path / "sevens")
    rows = rows_of(tmp_path / "one")
    for name in ("clusters", "sevens"):
        for row, expected in zip(rows_of(tmp_path / name), rows, strict=True):
            assert repr(row) == repr(expected)


def test_a_chunk_run_twice_and_from_two_threads_is_one_part(small, tmp_path):
    tagger, url = small
    chunk = make_plan(tagger, [url]).with_chunks(50).chunks()[0]
    run_all(tagger, [chunk], tmp_path)
    before = rows_of(tmp_path)
    threads = [threading.Thread(target=run_all, args=(tagger, [chunk], tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repr(rows_of(tmp_path)) == repr(before)
    assert len(list(CampaignFolder(tmp_path).predictions.iterdir())) == 1


def test_a_file_that_changed_since_the_plan_is_refused(small, tmp_path):
    tagger, _ = small
    path = write_hits(tmp_path / "a.root", 10, 5)
    chunk = make_plan(tagger, [str(path)]).chunks()[0]
    write_hits(path, 10, 5)
    with pytest.raises(ChangedFileError, match=r"a\.root: changed since it was planned: uuid was"):
        run_all(tagger, [chunk], tmp_path)
    assert not CampaignFolder(tmp_path).predictions.exists()


def test_the_stages_of_a_receipt_count_events_and_objects_and_add_up_to_its_wall_time(small, tmp_path):
    tagger, url = small
    chunks = make_plan(tagger, [url]).with_chunks(50).chunks()
    run_all(tagger, chunks, tmp_path)
    began = time.perf_counter()
    (receipt,) = run_all(tagger, chunks, tmp_path)
    taken = (time.perf_counter() - began) * 1e3
    stages = receipt.stages
    items = {name: stage[2] for name, stage in stages.items()}
    assert items["source"] == items["DetFrameProducer"] == 50
    assert items["EGFrameProducer"] == items["output"] == 250
    assert items["SmallTagger"] == 50
    total = sum(wall for wall, _, _ in stages.values())
    assert 0 < total <= taken + 0.1
    assert all(wall >= -0.01 and cpu >= -0.01 for wall, cpu, _ in stages.values())


# ---- clock


def test_stages_and_the_rest_add_up_to_the_time_of_the_clock():
    began = time.perf_counter()
    clock = Clock()
    for name in ("read", "infer", "read"):
        with clock.stage(name, 10):
            time.sleep(0.02)
        time.sleep(0.01)
    with clock.stage("write", 5):
        time.sleep(0.02)
        times = clock.times()
    taken = (time.perf_counter() - began) * 1e3
    assert {name: items for name, (_, _, items) in times.items()} == {
        "read": 20,
        "infer": 10,
        "write": 5,
        OTHER: 0,
    }
    assert times["read"][0] >= 40
    assert times["write"][0] >= 20
    assert times[OTHER][0] >= 30
    assert 110 <= sum(wall for wall, _, _ in times.values()) <= taken + 0.01
    assert sum(cpu for _, cpu, _ in times.values()) < 60


def test_the_cpu_time_of_a_stage_is_that_of_its_own_thread():
    clock, done = Clock(), threading.Event()
    neighbour = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(done.is_set, True)])
    neighbour.start()
    with clock.stage("wait"):
        time.sleep(0.1)
    done.set()
    neighbour.join()
    wall, cpu, _ = clock.times()["wait"]
    assert wall >= 100
    assert cpu < 50


def test_a_stage_that_fails_still_counts():
    clock = Clock()
    with pytest.raises(ValueError, match="x"), clock.stage("read", 3):
        raise ValueError("x")
    assert clock.times()["read"][2] == 3


times = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.integers(0, 9)] * 3), max_size=4)


@edges_only
@given(times, times, times)
def test_adding_times_is_associative_and_loses_nothing(a, b, c):
    assert add_times(add_times(a, b), c) == add_times(a, add_times(b, c))
    total = add_times(a, b)
    assert sum(map(sum, total.values())) == sum(map(sum, a.values())) + sum(map(sum, b.values()))


# ---- ledger


def path_of(folder, chunk):
    return CampaignFolder(folder).part(chunk.id)


def part(folder, chunk, **changes):
    """Write a part and return its receipt, with size and checksum of its file as the ledger knows them."""
    path = path_of(folder, chunk)
    table = pa.table({"entry": [1, 2, 3]})
    return write_part(path, table, lambda: replace(receipt(chunk), **changes))


@pytest.fixture
def three():
    return plan_of(0, 10, 20, 30).chunks()


def test_a_ledger_that_is_lost_is_made_again_from_the_parts(tmp_path, three):
    expected = {chunk.id: part(tmp_path, chunk) for chunk in three[:2]}
    for _ in range(2):
        ledger = open_ledger(tmp_path, "print", three)
        assert ledger.done == expected
        assert ledger.pending == three[2:]
        assert len(CampaignFolder(tmp_path).ledger.read_text().splitlines()) == 2
        CampaignFolder(tmp_path).ledger.unlink()


def test_a_ledger_cut_at_any_byte_is_whole_again_and_takes_the_next_line(tmp_path, three):
    expected = {chunk.id: part(tmp_path, chunk) for chunk in three[:2]} | {three[2].id: receipt(three[2])}
    open_ledger(tmp_path, "print", three)
    whole = CampaignFolder(tmp_path).ledger.read_bytes()
    for size in range(len(whole)):
        CampaignFolder(tmp_path).ledger.write_bytes(whole[:size])
        ledger = open_ledger(tmp_path, "print", three)
        assert ledger.pending == three[2:]
        ledger.record_done(receipt(three[2]))
        assert ledger.done == expected
        lines = CampaignFolder(tmp_path).ledger.read_text().splitlines()
        assert [json.loads(line)["done"]["id"] for line in lines] == list(expected)


def test_a_part_that_is_gone_is_pending_though_the_ledger_knows_it(tmp_path, three):
    for chunk in three:
        part(tmp_path, chunk)
    open_ledger(tmp_path, "print", three)
    path_of(tmp_path, three[1]).unlink()
    ledger = open_ledger(tmp_path, "print", three)
    assert ledger.pending == [three[1]]
    assert ledger.done.keys() == {three[0].id, three[2].id}


def test_parts_that_are_damaged_or_of_another_plan_do_not_count(tmp_path, three):
    part(tmp_path, three[0])
    os.truncate(path_of(tmp_path, three[0]), 100)
    part(tmp_path, three[1], fingerprint="other")
    path_of(tmp_path, three[2]).write_text("not a part")
    part(tmp_path, Chunk(**asdict(three[0]) | {"uuid": "e" * 32}))
    ledger = open_ledger(tmp_path, "print", three)
    assert ledger.done == {}
    assert ledger.pending == three


def test_lines_of_another_plan_and_lines_that_are_no_json_do_not_count(tmp_path, three):
    expected = part(tmp_path, three[0])
    other = done_line(receipt(three[0], "other", rows=999, size=9)).decode().strip()
    CampaignFolder(tmp_path).ledger.write_text(
        f'{other}\n[]\n"done"\n{{"done": 3}}\n\x00\n{{"done": {{"id": "x"}}}}\n'
    )
    assert open_ledger(tmp_path, "print", three).done == {three[0].id: expected}


def test_a_ledger_that_is_damaged_while_it_is_in_use_says_so_and_is_made_again(tmp_path, three):
    expected = part(tmp_path, three[0])
    ledger = open_ledger(tmp_path, "print", three)
    CampaignFolder(tmp_path).ledger.write_text("{}\n")
    with pytest.raises(OutputError, match="was changed while it was in use"):
        ledger.done[three[0].id]
    assert open_ledger(tmp_path, "print", three).done == {three[0].id: expected}


def test_a_ledger_in_agreement_with_the_parts_is_left_alone_whatever_its_order(tmp_path, three):
    for chunk in three[:2]:
        part(tmp_path, chunk)
    open_ledger(tmp_path, "print", three)
    lines = CampaignFolder(tmp_path).ledger.read_bytes().splitlines(keepends=True)
    CampaignFolder(tmp_path).ledger.write_bytes(lines[1] + lines[0])
    before = CampaignFolder(tmp_path).ledger.stat()
    ledger = open_ledger(tmp_path, "print", three)
    after = CampaignFolder(tmp_path).ledger.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [ledger.done[chunk.id].id for chunk in three[:2]] == [chunk.id for chunk in three[:2]]


def test_memory_holds_no_receipts(tmp_path):
    chunks = plan_of(*range(0, 20_001, 10)).chunks()
    ledger = open_ledger(tmp_path, "print", chunks)
    tracemalloc.start()
    for chunk in chunks:
        ledger.record_done(receipt(chunk))
    assert tracemalloc.get_traced_memory()[0] < 600 * len(chunks)
    tracemalloc.stop()
    assert sum(content.events for content in ledger.done.values()) == ledger.events_done == 20_000


def test_what_was_given_up_is_pending_the_next_time(tmp_path, three):
    ledger = open_ledger(tmp_path, "print", three)
    ledger.record_failed(Failure.of(three[0], "no luck", 3, ["a", "b", "c"]))
    assert (ledger.events_failed, ledger.events_done) == (10, 0)
    assert open_ledger(tmp_path, "print", three).pending == three
    ledger.record_done(receipt(three[0]))
    assert (ledger.events_failed, ledger.events_done) == (0, 10)


@edges_only
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 12)), max_size=5))
def test_pieces_of_a_chunk_and_what_is_pending_cover_its_entries_once(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("tiles")
    whole = plan_of(0, 30).chunks()[0]
    lines = []
    for start, length in dict.fromkeys(pieces):
        piece = whole.part(start, min(start + length, 30))
        CampaignFolder(folder).predictions.mkdir(exist_ok=True)
        lines.append(done_line(part(folder, piece)))
    CampaignFolder(folder).ledger.write_bytes(b"".join(lines))
    ledger = open_ledger(folder, "print", [whole])
    assert bool(ledger.done) == bool(pieces)
    ranges = [(r.chunk.start, r.chunk.stop) for r in ledger.done.values()]
    ranges += [(chunk.start, chunk.stop) for chunk in ledger.pending]
    assert sorted(entry for start, stop in ranges for entry in range(start, stop)) == list(range(30))


# ---- tables


def test_the_timing_table_has_a_row_per_chunk_and_stage_and_sums_to_the_summary(tmp_path, three):
    receipts = [receipt(chunk) for chunk in three]
    write_timing(CampaignFolder(tmp_path).timing, {content.id: content for content in receipts})
    table = pq.read_table(CampaignFolder(tmp_path).timing).to_pylist()
    assert [(row["chunk"], row["stage"]) for row in table] == [
        (chunk.id, stage) for chunk in three for stage in ("source", "output")
    ]
    total = summarise(receipts)
    assert (total.chunks, total.events, total.objects) == (3, 30, 9)
    assert total.status == {"ok": 6, "pt": 3}
    assert total.stages.keys() == {"source", "output"}
    for stage, (wall, cpu, items) in total.stages.items():
        rows = [row for row in table if row["stage"] == stage]
        assert (wall, cpu, items) == tuple(
            sum(row[k] for row in rows) for k in ("wall_ms", "cpu_ms", "items")
        )


def test_nothing_done_is_an_empty_timing_table_with_all_columns(tmp_path):
    write_timing(CampaignFolder(tmp_path).timing, {})
    table = pq.read_table(CampaignFolder(tmp_path).timing)
    assert table.num_rows == 0
    assert {"chunk", "stage", "wall_ms", "cpu_ms", "items", "host", "device"} <= set(table.column_names)


def test_a_part_that_was_cut_is_pending_though_the_ledger_knows_it(tmp_path, three):
    part(tmp_path, three[0])
    open_ledger(tmp_path, "print", three)
    os.truncate(path_of(tmp_path, three[0]), 100)
    assert open_ledger(tmp_path, "print", three).pending == three


def test_parts_with_a_receipt_of_other_keys_do_not_count(tmp_path, three):
    table = pa.table({"entry": [1]}, metadata={RECEIPT: json.dumps({"id": three[0].id})})
    path_of(tmp_path, three[0]).parent.mkdir()
    pq.write_table(table, path_of(tmp_path, three[0]))
    assert open_ledger(tmp_path, "print", three).pending == three


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
