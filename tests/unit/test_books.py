"""What finished campaigns come to: one sorted table, sums, losses; friends of the inputs."""

import json
from dataclasses import asdict

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import uproot

from e2edist.aggregate import main
from e2edist.books import compact
from e2edist.campaign.bad import read_bad, write_bad
from e2edist.campaign.chunk import PREDICTIONS
from e2edist.campaign.plan import Plan, PlannedFile
from e2edist.storage.parts import write_part

ENTRIES, CHUNK = 40, 10


def make_plan(*names, tagger="x", uuids=None):
    """A plan of files of 40 entries in chunks of 10."""
    edges = tuple(range(0, ENTRIES + 1, CHUNK))
    uuids = uuids or [f"{ord(name):032x}" for name in names]
    files = [
        PlannedFile(f"/data/{name}.root", "hits", "Events", uuid, 1, ENTRIES, edges)
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
    proof = {
        "id": chunk.id,
        "chunk": asdict(chunk),
        "fingerprint": plan.fingerprint,
        "rows": len(table),
        "events": chunk.events,
        "status": {"ok": len(table)},
        "stages": {"source": [1.0, 0.5, chunk.events]},
        "started": 1.0,
        "host": "h",
        "pid": 1,
        "pool": "cpu",
        "engine": {"device": "d", "provider": "p"},
    }
    path = folder / PREDICTIONS / f"{chunk.id}.parquet"
    write_part(path, table, lambda: proof)
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
    parts = [path for folder in two for path in (folder / PREDICTIONS).glob("*.parquet")]
    wanted = pd.concat([pq.read_table(path, partitioning=None).to_pandas() for path in parts])
    wanted = wanted.astype({"uuid": str, "kind": str, "status": str}).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(found, wanted)
    total = json.loads((out / "summary.json").read_text())
    assert total["events"] == {"planned": 120, "done": 120, "lost": 0}
    assert (total["chunks"], total["objects"]) == (12, len(wanted))
    assert total["stages"]["source"] == {"wall_ms": 12.0, "cpu_ms": 6.0, "items": 120}
    assert pq.read_table(out / "timing.parquet").num_rows == 12


def test_arrow_duckdb_pandas_and_dask_read_the_same(two, tmp_path):
    out = tmp_path / "all"
    main([*map(str, two), "--output", str(out)])
    rows = len(table_of(out))
    assert ds.dataset(out / "table").count_rows() == rows
    assert duckdb.sql(f"SELECT count(*) FROM '{out}/table/*.parquet'").fetchall() == [(rows,)]
    assert len(pd.read_parquet(out / "table")) == rows
    assert len(dd.read_parquet(out / "table")) == rows


def test_files_are_as_large_as_asked_and_a_second_call_writes_nothing(two, tmp_path):
    line = [*map(str, two), "--output", str(tmp_path / "all"), "--file-mib", "0.015"]
    assert main(line) == 0
    files = sorted((tmp_path / "all" / "table").glob("*.parquet"))
    assert 2 < len(files) < 12
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").rglob("*.*")}
    assert main(line) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert main([*line[:-1], "100"]) == 0  # fewer files: what is left over goes
    assert len(list((tmp_path / "all" / "table").glob("*.parquet"))) == 1
    assert len(table_of(tmp_path / "all")) == sum(pq.read_metadata(p).num_rows for p in _parts(two))


def _parts(folders):
    return [path for folder in folders for path in (folder / PREDICTIONS).glob("*.parquet")]


def test_what_a_killed_call_left_is_made_whole(two, tmp_path, monkeypatch):
    line = [*map(str, two), "--output", str(tmp_path / "all"), "--file-mib", "0.015"]
    real, calls = compact._write, []

    def dies(path, bundle, proof):
        calls.append(path)
        if len(calls) == 2:
            path.with_name(f".{path.name}.0.draft").write_text("half")
            raise KeyboardInterrupt
        real(path, bundle, proof)

    monkeypatch.setattr(compact, "_write", dies)
    assert main(line) == 130
    monkeypatch.setattr(compact, "_write", real)
    assert main(line) == 0
    assert len(table_of(tmp_path / "all")) == sum(pq.read_metadata(p).num_rows for p in _parts(two))
    assert not list((tmp_path / "all" / "table").glob(".*"))


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
    assert "1 ranges missing" in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_what_was_given_up_is_listed_counted_and_fails_without_leave(tmp_path, capsys):
    plan = make_plan("a")
    finish(tmp_path, plan)[0].unlink()
    chunk = plan.chunks()[0]
    write_bad(tmp_path, [{"url": chunk.url, "uuid": chunk.uuid, "tree": "Events", "start": 0, "stop": 10}])
    out = tmp_path / "aggregated"
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path), "--max-bad-fraction", "0.25"]) == 0
    assert json.loads((out / "summary.json").read_text())["events"] == {"planned": 40, "done": 30, "lost": 10}
    assert read_bad(out) == read_bad(tmp_path)


@pytest.mark.parametrize("how", ["twice", "not its own"])
def test_rows_that_can_not_be_are_an_error_that_names_the_part(tmp_path, how, capsys):
    plan = make_plan("a")
    plan.write(tmp_path)
    first, *others = plan.chunks()
    rows = rows_of(first)
    bad = pa.concat_tables([rows, rows.slice(3, 1)]) if how == "twice" else rows_of(others[0])
    path = put(tmp_path, plan, first, bad)
    for chunk in others:
        put(tmp_path, plan, chunk)
    assert main([str(tmp_path)]) == 2
    said = "".join(capsys.readouterr().err.split())
    assert path.name in said
    assert how.replace("twice", "tworowsofonekey").replace(" ", "") in said


def test_a_friend_has_the_entries_of_its_input_in_order(tmp_path, monkeypatch):
    plan = make_plan("a")
    finish(tmp_path, plan)[1].unlink()
    chunk = plan.chunks()[1]
    write_bad(tmp_path, [{"url": chunk.url, "uuid": chunk.uuid, "tree": "Events", "start": 10, "stop": 20}])
    assert main([str(tmp_path), "--friend", "--max-bad-fraction", "1"]) == 0
    (path,) = (tmp_path / "aggregated" / "friends").glob("a-*.friend.root")
    with uproot.open(path) as file:
        tree = file["Events"]
        assert tree.num_entries == ENTRIES
        arrays = tree.arrays(["done", "e2e_kind", "e2e_status", "e2e_score", "e2e_pt"])
    assert arrays["done"].tolist() == [int(not 10 <= i < 20) for i in range(ENTRIES)]
    rows = table_of(tmp_path / "aggregated").to_pylist()
    for i, entry in enumerate(arrays):
        mine = [row for row in rows if row["entry"] == i]
        kinds = ["photon", "electron", "jet"]
        assert [kinds[kind] for kind in entry["e2e_kind"]] == [row["kind"] for row in mine]
        assert entry["e2e_pt"].tolist() == [row["pt"] for row in mine]
        for score, status, row in zip(entry["e2e_score"], entry["e2e_status"], mine, strict=True):
            assert (status == 0) == (row["status"] == "ok")
            assert np.isnan(score) if row["score"] is None else score == np.float32(row["score"])


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
