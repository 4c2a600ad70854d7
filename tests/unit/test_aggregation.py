"""What finished campaigns come to: one sorted table, sums, losses; friends of the inputs."""

import json
from dataclasses import replace

import awkward as ak
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import uproot
from receipts import make_receipt

from e2edist.aggregate import main
from e2edist.aggregation import aggregated_files, friend, sorted_table
from e2edist.api.results import open_results
from e2edist.imaging.seeds import STATUSES
from e2edist.input_file import FileInfo
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import prepare_folder
from e2edist.records.lock import locked
from e2edist.records.losses import read_losses, write_losses
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan, PlannedDataset, read_plan

ENTRIES, CHUNK = 40, 10


def make_plan(*names, tagger="x", uuids=None):
    """A plan of files of 40 entries in chunks of 10."""
    edges = tuple(range(0, ENTRIES + 1, CHUNK))
    uuids = uuids or [f"{ord(name):032x}" for name in names]
    files = [
        FileInfo(f"/data/{name}.root", "hits", "Events", uuid, 1, ENTRIES, edges)
        for name, uuid in zip(names, uuids, strict=True)
    ]
    return Plan({"name": tagger}, tuple(files), 8.0)


def rows_of(chunk):
    """Two objects in every entry that is not a multiple of three, in the order in which they were found."""
    rng = np.random.default_rng(chunk.start)
    entry = np.repeat([i for i in range(chunk.start, chunk.stop) if i % 3], 2).astype(np.int64)
    n = len(entry)
    score = pa.array(rng.random(n, np.float32), mask=np.arange(n) % 4 == 3)
    return pa.table(
        {
            "uuid": pa.array([chunk.uuid] * n).dictionary_encode(),
            "entry": entry,
            "kind": pa.array(["photon", "electron"] * (n // 2)).dictionary_encode(),
            "object": pa.array(np.zeros(n, np.int32)),
            "pt": rng.random(n, np.float32),
            "eta": rng.random(n, np.float32),
            "phi": rng.random(n, np.float32),
            "status": pa.array(["pt" if i % 4 == 3 else "ok" for i in range(n)]).dictionary_encode(),
            "score": score,
        }
    )


def put(folder, plan, chunk, table=None):
    table = rows_of(chunk) if table is None else table
    receipt = make_receipt(
        chunk,
        plan.fingerprint,
        rows=len(table),
        status={"ok": len(table)},
        stages={"source": (1.0, 0.5, chunk.events)},
    )
    path = CampaignFolder(folder).part(chunk.id)
    write_part(path, table, lambda: receipt)
    return path


def finish(folder, plan):
    plan.write(folder)
    return [put(folder, plan, chunk) for chunk in plan.chunks()]


@pytest.fixture
def two(tmp_path):
    """Two campaigns of one tagger, over files b and a, and over file c."""
    folders = tmp_path / "one", tmp_path / "two"
    finish(folders[0], make_plan("b", "a"))
    finish(folders[1], make_plan("c"))
    return folders


def table_of(folder):
    return pq.read_table(sorted((folder / "table").glob("*.parquet")), partitioning=None)


KEY = ["uuid", "entry", "kind", "object"]


def test_the_table_of_several_campaigns_is_all_their_rows_sorted_by_key(two, tmp_path):
    out = tmp_path / "all"
    assert main([*map(str, two), "--output", str(out)]) == 0
    found = table_of(out).to_pandas().astype({"uuid": str, "kind": str, "status": str})
    parts = [path for folder in two for path in CampaignFolder(folder).predictions.glob("*.parquet")]
    wanted = pd.concat([pq.read_table(path, partitioning=None).to_pandas() for path in parts])
    wanted = wanted.astype({"uuid": str, "kind": str, "status": str}).sort_values(KEY, ignore_index=True)
    assert list(found.columns[:2]) == ["dataset", "file"]
    assert set(found.pop("dataset")) == {""}
    files = found.pop("file").astype(str)
    assert [f"{ord(file[-6]):032x}" for file in files] == list(found["uuid"])
    pd.testing.assert_frame_equal(found, wanted)
    assert not (out / "datasets.json").exists()
    total = json.loads((out / "summary.json").read_text())
    assert total["events"] == {"planned": 120, "skipped": 0, "done": 120, "lost": 0}
    assert (total["chunks"], total["objects"]) == (12, len(wanted))
    assert total["stages"]["source"] == {"wall_ms": 12.0, "cpu_ms": 6.0, "items": 120}
    assert pq.read_table(out / "timing.parquet").num_rows == 12


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask's, of pandas 3.1
def test_arrow_duckdb_pandas_and_dask_read_the_same(two, tmp_path):
    out = tmp_path / "all"
    datasets = ["--dataset", "qcd=*/[ab].root", "--dataset", "top=*/c.root"]
    assert main([*map(str, two), "--output", str(out), *datasets]) == 0
    query = f"FROM read_parquet('{out}/table/**/*.parquet', hive_partitioning=true)"
    ways = {
        "arrow": ds.dataset(out / "table", partitioning="hive").to_table().to_pandas(),
        "duckdb": duckdb.sql(query).df(),
        "pandas": pd.read_parquet(out / "table"),
        "dask": dd.read_parquet(out / "table").compute(),
    }
    keys = [*KEY, "status", "score", "dataset"]
    ways = {
        name: rows.astype(dict.fromkeys(("uuid", "kind", "status", "dataset"), str))[keys]
        for name, rows in ways.items()
    }
    first = ways.pop("arrow").sort_values(KEY, ignore_index=True)
    assert len(first) == sum(pq.read_metadata(path).num_rows for path in _parts(two))
    for rows in ways.values():
        pd.testing.assert_frame_equal(rows.sort_values(KEY, ignore_index=True), first, check_dtype=False)


def test_files_are_as_large_as_asked_and_a_second_call_writes_nothing(two, tmp_path):
    line = [*map(str, two), "--output", str(tmp_path / "all"), "--file-mib", "0.003"]
    assert main(line) == 0
    files = sorted((tmp_path / "all" / "table").glob("*.parquet"))
    assert 2 < len(files) < 12
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").rglob("*.[jp]*")}
    assert main(line) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert main([*line[:-1], "100"]) == 0  # fewer files: what is left over goes
    assert len(list((tmp_path / "all" / "table").glob("*.parquet"))) == 1
    assert len(table_of(tmp_path / "all")) == sum(pq.read_metadata(p).num_rows for p in _parts(two))


def _parts(folders):
    return [path for folder in folders for path in CampaignFolder(folder).predictions.glob("*.parquet")]


def test_what_a_killed_call_left_is_made_whole(two, tmp_path, monkeypatch):
    line = [*map(str, two), "--output", str(tmp_path / "all"), "--file-mib", "0.003"]
    real, calls = sorted_table._write, []

    def dies(path, *rest):
        calls.append(path)
        if len(calls) == 2:
            path.with_name(f".{path.name}.0.draft").write_text("half")
            raise KeyboardInterrupt
        real(path, *rest)

    monkeypatch.setattr(sorted_table, "_write", dies)
    assert main(line) == 130
    monkeypatch.setattr(sorted_table, "_write", real)
    assert main(line) == 0
    assert len(table_of(tmp_path / "all")) == sum(pq.read_metadata(p).num_rows for p in _parts(two))
    assert not list((tmp_path / "all" / "table").glob(".*"))


def test_a_table_that_is_half_rewritten_has_no_summary_of_another_one(two, tmp_path, monkeypatch):
    out = ["--output", str(tmp_path / "all")]
    assert main([*map(str, two), *out]) == 0
    summary, old = tmp_path / "all" / "summary.json", b""
    assert (old := summary.read_bytes())
    with monkeypatch.context() as patch:

        def killed(*_):
            raise KeyboardInterrupt

        patch.setattr(aggregated_files, "compact", killed)
        main([str(two[0]), *out])
    assert not summary.exists()
    assert main([*map(str, two), *out]) == 0
    assert summary.read_bytes() == old


def test_files_that_two_campaigns_share_are_refused_by_name(tmp_path, capsys):
    finish(tmp_path / "one", make_plan("a"))
    finish(tmp_path / "two", make_plan("b", "copy", uuids=["b" * 32, f"{ord('a'):032x}"]))
    assert main([str(tmp_path / "one"), str(tmp_path / "two"), "--output", str(tmp_path / "all")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "/data/copy.root is also in" in said
    assert "/data/a.root" in said


def test_campaigns_of_two_taggers_are_refused_with_what_differs(tmp_path, capsys):
    finish(tmp_path / "one", make_plan("a"))
    finish(tmp_path / "two", make_plan("b", tagger="y"))
    assert main([str(tmp_path / "one"), str(tmp_path / "two"), "--output", str(tmp_path / "all")]) == 2
    assert "they differ in name" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_written_where_a_campaign_is_not_whole(two, tmp_path, capsys):
    _parts(two)[3].unlink()
    assert main([*map(str, two), "--output", str(tmp_path / "all")]) == 1
    assert "1 range missing" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_what_was_given_up_is_listed_counted_and_fails_without_leave(tmp_path, capsys):
    plan = make_plan("a")
    finish(tmp_path, plan)[0].unlink()
    chunk = plan.chunks()[0]
    row = {"url": chunk.url, "uuid": chunk.uuid, "tree": "Events", "start": 0, "stop": 10, "events": 10}
    write_losses(CampaignFolder(tmp_path).losses, [row | {"fraction": 0.25}])
    out = tmp_path / "aggregated"
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path), "--max-bad-fraction", "0.25"]) == 0
    found = json.loads((out / "summary.json").read_text())["events"]
    assert found == {"planned": 40, "skipped": 0, "done": 30, "lost": 10}
    assert read_losses(out) == read_losses(tmp_path)


@pytest.mark.parametrize("how", ["two rows of one key", "not its own"])
def test_rows_that_can_not_be_are_an_error_that_names_the_part(tmp_path, how, capsys):
    plan = make_plan("a")
    plan.write(tmp_path)
    first, *others = plan.chunks()
    rows = rows_of(first)
    bad = pa.concat_tables([rows, rows.slice(3, 1)]) if how.startswith("two") else rows_of(others[0])
    path = put(tmp_path, plan, first, bad)
    for chunk in others:
        put(tmp_path, plan, chunk)
    assert main([str(tmp_path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert path.name in said
    assert how in said


def test_a_part_that_was_made_again_with_other_values_goes_into_the_table(two, tmp_path):
    line = [*map(str, two), "--output", str(tmp_path / "all")]
    assert main(line) == 0
    plan = read_plan(two[0])
    chunk = plan.chunks()[2]
    rows = rows_of(chunk)
    again = rows.set_column(
        rows.schema.get_field_index("pt"), "pt", pa.array(np.full(len(rows), 7, np.float32))
    )
    put(two[0], plan, chunk, again)
    assert main(line) == 0
    assert pc.sum(pc.equal(table_of(tmp_path / "all")["pt"], 7)).as_py() == len(rows)


def test_the_table_says_where_it_is_from_and_how_it_is_sorted(two, tmp_path):
    assert main([*map(str, two), "--output", str(tmp_path / "all")]) == 0
    meta = pq.read_metadata(tmp_path / "all" / "table" / "part-00000.parquet")
    origin = json.loads(meta.metadata[b"e2edist"])
    assert [one["plan"] for one in origin["campaigns"]] == [read_plan(folder).checksum for folder in two]
    assert (origin["tagger"], origin["parts"]) == ({"name": "x"}, 12)
    group = meta.row_group(0)
    order = [meta.schema.column(one.column_index).name for one in group.sorting_columns]
    assert order == ["uuid", "entry", "kind", "object"]
    assert {group.column(i).compression for i in range(meta.num_columns)} == {"ZSTD"}


def test_row_groups_hold_half_a_million_rows_whatever_the_parts_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(sorted_table, "_ROW_GROUP", 50)
    finish(tmp_path, make_plan("a", "b", "c"))
    assert main([str(tmp_path)]) == 0
    meta = pq.read_metadata(tmp_path / "aggregated" / "table" / "part-00000.parquet")
    sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert sizes == [50] * (156 // 50) + [156 % 50]


def test_files_of_several_datasets_make_a_table_each(two, tmp_path):
    out = tmp_path / "all"
    line = [*map(str, two), "--output", str(out)]
    assert main([*line, "--dataset", "qcd=*/[ab].root", "--dataset", "top=*/c.root"]) == 0
    found = ds.dataset(out / "table", partitioning="hive").to_table().to_pandas()
    uuids = found.astype({"uuid": str, "dataset": str}).groupby("dataset")["uuid"].unique()
    assert {name: sorted(int(uuid, 16) for uuid in some) for name, some in uuids.items()} == {
        "qcd": [ord("a"), ord("b")],
        "top": [ord("c")],
    }
    assert len(pd.read_parquet(out / "table")) == len(found)
    assert json.loads((out / "summary.json").read_text())["datasets"] == {"qcd": 2, "top": 1}
    assert main(line) == 0  # and back: nothing of before stays
    assert [path.name for path in (out / "table").iterdir()] == ["part-00000.parquet"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["qcd=*/a.root"], "/data/b.root belongs to none"),
        (["qcd=*", "top=*/a.root"], "/data/a.root belongs to qcd and top"),
        (["qcd=*", "top=*/z.root"], "no input file belongs to top"),
        (["qcd"], "is not understood"),
        (["a/b=*"], "is not understood"),
    ],
)
def test_a_file_belongs_to_one_dataset_and_each_has_files(tmp_path, words, text, capsys):
    finish(tmp_path, make_plan("a", "b"))
    options = [option for word in words for option in ("--dataset", word)]
    assert main([str(tmp_path), *options]) == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_nothing_is_written_over_a_campaign(two, capsys):
    before = {path: path.read_bytes() for folder in two for path in folder.rglob("*.*")}
    assert main([*map(str, two), "--output", str(two[0])]) == 2
    assert "is a campaign's folder" in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_is_named_twice_is_refused(two, tmp_path, capsys):
    again = two[0] / ".." / two[0].name
    assert main([str(two[0]), str(again), "--output", str(tmp_path / "all")]) == 2
    assert "is named twice" in capsys.readouterr().err


def test_a_campaign_that_is_forgotten_takes_along_what_was_aggregated(tmp_path):
    finish(tmp_path, make_plan("a"))
    assert main([str(tmp_path)]) == 0
    CampaignFolder(tmp_path).clear()
    assert not (tmp_path / "aggregated").exists()
    prepare_folder(tmp_path, fresh=True)


def test_a_second_aggregation_at_the_same_time_is_refused(tmp_path, capsys):
    finish(tmp_path, make_plan("a"))
    (tmp_path / "aggregated").mkdir()
    with locked(tmp_path / "aggregated"):
        assert main([str(tmp_path)]) == 2
    assert "works on it" in capsys.readouterr().err


def test_a_file_that_one_campaign_skipped_and_another_has_is_not_lost(tmp_path):
    skipping = replace(make_plan("a"), skipped=(("/data/b.root", "cut"), ("/data/c.root", "cut")))
    finish(tmp_path / "one", skipping)
    finish(tmp_path / "two", make_plan("b"))
    line = [str(tmp_path / "one"), str(tmp_path / "two"), "--output", str(tmp_path / "all")]
    assert main([*line, "--max-bad-fraction", "0.4"]) == 0
    total = json.loads((tmp_path / "all" / "summary.json").read_text())
    assert total["events"] == {"planned": 80, "skipped": 40, "done": 80, "lost": 40}
    ((url, events, fraction),) = [
        (r["url"], r["events"], r["fraction"]) for r in read_losses(tmp_path / "all")
    ]
    assert (url, events, fraction) == ("/data/c.root", 40, pytest.approx(1 / 3))


def test_a_group_that_is_missing_or_of_another_list_is_told(tmp_path, capsys):
    for name, group in (("a", "1/3 x"), ("b", "3/3 x"), ("c", "2/3 x"), ("d", "2/3 y")):
        finish(tmp_path / name, replace(make_plan(name), group=group))
    some = [str(tmp_path / name) for name in "ab"]
    out = ["--output", str(tmp_path / "all")]
    assert main([*some, *out]) == 2
    assert "groups 2/3 are missing" in capsys.readouterr().err
    assert main([*some, str(tmp_path / "d"), *out]) == 2
    assert "is of other input files" in " ".join(capsys.readouterr().err.split())
    assert main([*some, *out, "--partial"]) == 0
    assert json.loads((tmp_path / "all" / "summary.json").read_text())["groups_missing"] == ["2/3"]
    assert main([*some, str(tmp_path / "c"), *out]) == 0
    assert json.loads((tmp_path / "all" / "summary.json").read_text())["groups_missing"] == []


KINDS = ["photon", "electron", "jet"]


def check_friend(arrays, rows):
    """`arrays`: one record per entry; `rows` of the table."""
    for i, entry in enumerate(arrays):
        mine = [row for row in rows if row["entry"] == i]
        assert [KINDS[kind] for kind in entry["x_kind"]] == [row["kind"] for row in mine]
        assert entry["x_object"].tolist() == [row["object"] for row in mine]
        assert entry["x_pt"].tolist() == [row["pt"] for row in mine]
        for score, status, row in zip(entry["x_score"], entry["x_status"], mine, strict=True):
            assert STATUSES[status] == row["status"]
            assert np.isnan(score) if row["score"] is None else score == np.float32(row["score"])


@pytest.mark.parametrize("option", ["--friend", "--friend-rntuple"])
@pytest.mark.parametrize("tree", ["Events", "fevt/RHTree"])
@pytest.mark.parametrize("block", [15, 1000])
def test_a_friend_has_the_entries_of_its_input_in_order(tmp_path, monkeypatch, option, tree, block):
    monkeypatch.setattr(friend, "_BLOCK", block)
    plan = make_plan("a")
    plan = replace(plan, files=tuple(replace(file, tree=tree) for file in plan.files))
    finish(tmp_path, plan)[1].unlink()
    chunk = plan.chunks()[1]
    row = {"url": chunk.url, "uuid": chunk.uuid, "tree": tree, "start": 10, "stop": 20, "events": 10}
    write_losses(CampaignFolder(tmp_path).losses, [row])
    assert main([str(tmp_path), option, "--max-bad-fraction", "1"]) == 0
    (path,) = (tmp_path / "aggregated" / "friends").glob("a-*.friend.root")
    with uproot.open(path) as file:
        assert file[tree].num_entries == ENTRIES
        arrays = file[tree].arrays()
    if "rntuple" in option:
        arrays = ak.zip(
            {"x_done": arrays["x_done"], **{f"x_{name}": arrays["x"][name] for name in arrays["x"].fields}},
            depth_limit=1,
        )
    assert arrays["x_done"].tolist() == [int(not 10 <= i < 20) for i in range(ENTRIES)]
    check_friend(arrays, table_of(tmp_path / "aggregated").to_pylist())


def test_a_file_of_which_nothing_is_left_has_a_friend_all_the_same(tmp_path):
    plan = make_plan("a", "b")
    for path in finish(tmp_path, plan)[:4]:
        path.unlink()
    chunk = plan.chunks()[0]
    row = {
        "url": chunk.url,
        "uuid": chunk.uuid,
        "tree": "Events",
        "start": 0,
        "stop": ENTRIES,
        "events": ENTRIES,
    }
    write_losses(CampaignFolder(tmp_path).losses, [row])
    assert main([str(tmp_path), "--friend", "--max-bad-fraction", "1"]) == 0
    (path,) = (tmp_path / "aggregated" / "friends").glob("a-*")
    with uproot.open(path) as file:
        assert file["Events"].num_entries == ENTRIES
        assert not file["Events"]["x_done"].array().to_numpy().any()
        assert file["Events"]["x_score"].array().tolist() == [[]] * ENTRIES


def test_a_friend_is_made_again_only_when_its_parts_or_its_kind_changed(two, tmp_path):
    line = [*map(str, two), "--output", str(tmp_path / "all"), "--friend"]

    def times():
        return {path.name[0]: path.stat().st_mtime_ns for path in (tmp_path / "all" / "friends").iterdir()}

    assert main(line) == 0
    before = times()
    assert sorted(before) == ["a", "b", "c"]
    assert main(line) == 0
    assert times() == before
    plan = read_plan(two[1])
    put(two[1], plan, plan.chunks()[0], rows_of(plan.chunks()[0]).slice(1))
    assert main(line) == 0
    assert [name for name, when in times().items() if when != before[name]] == ["c"]
    assert main([*line[:-1], "--friend-rntuple"]) == 0
    assert not set(times().values()) & set(before.values())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--discard"], "goes with --verify"),
        (["--file-mib", "0"], "0 is no size"),
        (["other"], "--output: is missing"),
    ],
)
def test_options_that_make_no_sense_are_told(tmp_path, words, text, capsys):
    assert main([str(tmp_path), *words]) == 2
    assert text in capsys.readouterr().err


def named(plan, name, metadata, *files):
    """A plan with one more named dataset of some of its files."""
    uuids = tuple(f"{ord(file):032x}" for file in files)
    return replace(plan, datasets=(*plan.datasets, PlannedDataset(name, metadata, uuids)))


def test_tables_say_dataset_and_file_and_what_filesets_say_of_datasets(tmp_path, capsys):
    plan = named(make_plan("a", "b"), "TT", {"xsec": 88.3, "era": "C"}, "a")
    finish(tmp_path / "one", named(plan, "QCD", {}, "b"))
    finish(tmp_path / "two", named(make_plan("c"), "TT", {"xsec": 90.0, "isMC": True}, "c"))
    finish(tmp_path / "three", make_plan("d"))
    out = tmp_path / "all"
    line = [*(str(tmp_path / name) for name in ("one", "two", "three")), "--output", str(out)]
    assert main(line) == 0
    found = table_of(out)
    assert all(pa.types.is_dictionary(found[name].type) for name in ("dataset", "file"))
    pairs = set(zip(*(found[name].to_pylist() for name in ("dataset", "file")), strict=True))
    assert pairs == {(n, f"/data/{f}.root") for n, f in (("TT", "a"), ("QCD", "b"), ("TT", "c"), ("", "d"))}
    sums = json.loads((out / "datasets.json").read_text())
    merged = {"xsec": 88.3, "era": "C", "isMC": True}
    assert sums["TT"] == {"files": 2, "events": 80, "done": 80, "rows": 104, "metadata": merged}
    assert {name: one["rows"] for name, one in sums.items()} == {"": 52, "QCD": 52, "TT": 104}
    (path,) = (out / "table").glob("*.parquet")
    assert json.loads(pq.read_metadata(path).metadata[b"e2edist"])["datasets"]["TT"] == merged
    text = capsys.readouterr().out
    assert "worth a look: campaigns differ in TT.xsec: the first counts" in text
    assert all(word in text for word in ("(none)", "QCD", "104"))
    before = path.stat().st_mtime_ns
    assert main(line) == 0
    assert path.stat().st_mtime_ns == before


def test_tables_of_datasets_leave_that_column_to_the_names_of_folders(two, tmp_path):
    out = tmp_path / "all"
    patterns = ["--dataset", "qcd=*/[ab].root", "--dataset", "top=*/c.root"]
    assert main([*map(str, two), "--output", str(out), *patterns]) == 0
    found = ds.dataset(out / "table", partitioning="hive").to_table()
    assert set(found["dataset"].to_pylist()) == {"qcd", "top"}
    assert set(found["file"].to_pylist()) == {f"/data/{name}.root" for name in "abc"}


@pytest.mark.parametrize("words", [(), ("-q",), ("--verify",), ("--verify", "-q")])
def test_counts_are_of_files_that_could_be_opened_quietly_too(tmp_path, capsys, words):
    plan = replace(make_plan("a"), skipped=(("/data/z.root", "cut"),), skip_bad_files=True)
    finish(tmp_path / "out", plan)
    assert main([str(tmp_path / "out"), *words]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "40 of 40 events (and an unknown number in " in text
    found = open_results(tmp_path / "out")
    assert (found.state, found.events, found.events_done, found.complete) == ("done", 40, 40, True)
    if "--verify" not in words:
        assert "1 file below" in text
        found = open_results(tmp_path / "out" / "aggregated")
        assert (found.events, found.events_done, found.complete) == (40, 40, True)


def test_files_that_were_skipped_on_request_are_no_loss(tmp_path):
    plan = replace(make_plan("a"), skipped=(("/data/z.root", "cut"),))
    finish(tmp_path / "lost", plan)
    finish(tmp_path / "asked", replace(plan, skip_bad_files=True))
    for name, code in (("lost", 1), ("asked", 0)):
        assert main([str(tmp_path / name)]) == code
        assert main([str(tmp_path / name), "--verify"]) == code
        aggregated = tmp_path / name / "aggregated"
        total = json.loads((aggregated / "summary.json").read_text())
        assert total["events"] == {"planned": 40, "skipped": 40, "done": 40, "lost": 40 * code}
        assert [row["url"] for row in pq.read_table(aggregated / "bad.parquet").to_pylist()] == [
            "/data/z.root"
        ]
