"""A part is there whole with its receipt, or not at all, whatever ends its writer."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from receipts import make_receipt

from e2edist.errors import OutputError
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.records.parts import (
    RECEIPT,
    checksum,
    footer_crc,
    read_part,
    read_receipt,
    write_part,
)
from e2edist.records.receipt import Receipt
from e2edist.storage.publish import publish, sweep

TABLE = pa.table({"entry": np.arange(1000), "score": np.random.default_rng(0).random(1000)})
SHORT = TABLE.slice(0, 10)
PROOF = make_receipt(rows=1000)


def in_footer(receipt):
    """Return what of a receipt can stand in the part itself."""
    return replace(receipt, size=None, footer_crc=None)


def in_child(code, *arguments):
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- publish


def test_a_file_appears_under_its_name_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with publish(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
        assert draft.parent == path.parent
        assert draft.name.startswith(".")
        assert not draft.match("*.txt")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OutputError("a", "b")], ids=repr)
def test_any_error_in_the_block_passes_and_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with publish(path) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_second_publish_replaces_the_first(tmp_path):
    for content in ("first", "second"):
        with publish(tmp_path / "a.txt") as draft:
            draft.write_text(content)
    assert (tmp_path / "a.txt").read_text() == "second"
    assert names(tmp_path) == ["a.txt"]


def test_writers_of_one_name_at_the_same_time_do_not_mix(tmp_path):
    def write(number):
        with publish(tmp_path / "a.txt") as draft, draft.open("w") as stream:
            for _ in range(50):
                stream.write(f"{number}\n")
                stream.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(32)))
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert len(lines) == 50
    assert len(set(lines)) == 1
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"file/a\.txt: can't be written \((File exists|Not a directory)\)"),
        publish(tmp_path / "file" / "a.txt"),
    ):
        pytest.fail("there is nothing to write to")


KILLED = """
import os, sys
from pathlib import Path
from e2edist.storage import publish as module
if sys.argv[2] == "before rename":
    module._sync = lambda path: os._exit(9)
with module.publish(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    if sys.argv[2] == "in the block":
        os._exit(9)
"""


@pytest.mark.parametrize("moment", ["in the block", "before rename"])
def test_a_process_that_is_killed_leaves_a_draft_that_is_swept_and_no_file(tmp_path, moment):
    assert in_child(KILLED, tmp_path / "a.parquet", moment).returncode == 9
    (draft,) = names(tmp_path)
    assert draft.startswith(".a.parquet.")
    assert list(tmp_path.glob("*.parquet")) == []
    (tmp_path / "b.parquet").touch()
    (tmp_path / ".hidden").touch()
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == [".hidden", "b.parquet"]


def test_sweeping_a_folder_that_is_not_there_finds_nothing(tmp_path):
    assert sweep(tmp_path / "none") == 0


# ---- parts

FULL = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from e2edist.errors import OutputError
from e2edist.records.parts import write_part
from receipts import make_receipt
table = pa.table({"score": np.random.default_rng(0).random(100_000)})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_part(Path(sys.argv[1]), table, lambda: make_receipt(rows=100_000))
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("room", [0, 3, 4096, 400_000, 700_000])
def test_no_room_on_the_disk_is_an_output_error_that_leaves_the_old_part(tmp_path, room):
    path = tmp_path / "a.parquet"
    before = in_footer(write_part(path, TABLE, lambda: PROOF))
    ended = in_child(FULL, path, room)
    assert ended.returncode == 1
    assert "a.parquet: can't be written (" in ended.stderr
    assert "Free space or choose another --output" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert names(tmp_path) == ["a.parquet"]
    assert read_part(path).receipt == before


def test_a_part_that_fits_is_written_under_the_same_limit(tmp_path):
    path = tmp_path / "a.parquet"
    assert in_child(FULL, path, 10_000_000).returncode == 0
    assert read_part(path).receipt.rows == 100_000
    assert path.stat().st_size > 700_000


def test_rows_and_receipt_come_back_as_written(tmp_path):
    path = tmp_path / "a.parquet"
    receipt = write_part(path, TABLE, lambda: PROOF)
    assert (receipt.size, receipt.footer_crc) == (path.stat().st_size, footer_crc(path))
    written = in_footer(receipt)
    assert written == replace(PROOF, checksum=checksum(TABLE))
    assert read_part(path).receipt == read_receipt(path) == written
    assert pq.read_table(path, page_checksum_verification=True).equals(TABLE)


def test_the_receipt_is_made_after_the_rows_are_written_so_that_it_can_time_them(tmp_path):
    sizes = []

    def receipt():
        sizes.extend(path.stat().st_size for path in tmp_path.iterdir())
        return PROOF

    write_part(tmp_path / "a.parquet", TABLE, receipt)
    assert len(sizes) == 1
    assert sizes[0] > 1000


def test_a_receipt_that_fails_leaves_no_part(tmp_path):
    def receipt():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_part(tmp_path / "a.parquet", TABLE, receipt)
    assert names(tmp_path) == []


def test_a_part_cut_anywhere_has_no_receipt(tmp_path):
    path = tmp_path / "a.parquet"
    write_part(path, TABLE, lambda: PROOF)
    whole = path.read_bytes()
    for size in [*range(0, len(whole) - 1000, 997), *range(len(whole) - 100, len(whole))]:
        os.truncate(path, 0)
        path.write_bytes(whole[:size])
        with pytest.raises(OutputError, match=r"a\.parquet: is not a part of a campaign, or is damaged"):
            read_receipt(path)


def test_a_flipped_byte_in_the_footer_never_raises_anything_but_an_output_error(tmp_path):
    path = tmp_path / "a.parquet"
    write_part(path, TABLE, lambda: PROOF)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for position in range(len(whole) - footer - 8, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert isinstance(read_receipt(path), Receipt)
        except OutputError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "metadata", [{}, {RECEIPT: "[]"}, {RECEIPT: '"text"'}, {RECEIPT: "{"}, {RECEIPT: "\udcff"}]
)
def test_a_parquet_file_that_is_no_part_has_no_receipt(tmp_path, metadata):
    raw = {key: value.encode(errors="surrogateescape") for key, value in metadata.items()}
    pq.write_table(TABLE.replace_schema_metadata(raw or None), tmp_path / "a.parquet", store_schema=False)
    with pytest.raises(OutputError, match="is not a part of a campaign"):
        read_receipt(tmp_path / "a.parquet")


@pytest.mark.parametrize("make", ["folder", "text"])
def test_what_is_no_parquet_file_has_no_receipt(tmp_path, make):
    path = tmp_path / "a.parquet"
    if make == "folder":
        path.mkdir()
    else:
        path.write_text("hello " * 100)
    with pytest.raises(OutputError, match="is not a part of a campaign"):
        read_receipt(path)


def test_a_part_written_twice_is_the_second_and_one_file(tmp_path):
    path = tmp_path / "a.parquet"
    write_part(path, TABLE, lambda: PROOF)
    write_part(path, TABLE.slice(0, 10), lambda: replace(PROOF, rows=10))
    assert names(tmp_path) == ["a.parquet"]
    assert read_receipt(path).rows == pq.read_metadata(path).num_rows == 10


# ---- verifying

#: A column of every type that a part can have, scores of all kinds included, with nulls.
TYPES = [
    *(column.type for column in PART_COLUMNS.values()),
    pa.bool_(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
]


def table_of_all_types(rows):
    def column(kind):
        words = pa.types.is_dictionary(kind)
        value = (lambda i: f"word{i % 3}") if words else (lambda i: i % 2 == 0) if kind == pa.bool_() else int
        plain = pa.array(
            [None if i % 5 == 4 else value(i) for i in range(rows)], pa.string() if words else kind
        )
        return plain.dictionary_encode() if words else plain

    return pa.table({f"c{i}": column(kind) for i, kind in enumerate(TYPES)})


@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_every_type_of_column_is_written_and_verified_with_its_nulls(tmp_path, rows):
    path = tmp_path / "a.parquet"
    table = table_of_all_types(rows)
    written = in_footer(write_part(path, table, lambda: make_receipt(rows=rows)))
    assert read_part(path).receipt == written
    halves = pa.concat_tables([table.slice(0, rows // 2), table.slice(rows // 2)])
    assert checksum(halves) == written.checksum


def test_any_value_that_changes_or_becomes_null_changes_the_checksum():
    table = table_of_all_types(10)
    sums = {checksum(table)}
    for i, kind in enumerate(TYPES):
        values = table.column(i).to_pylist()
        words = pa.types.is_dictionary(kind)
        for place, new in (
            (0, None),
            (1, "other" if words else not values[1] if kind == pa.bool_() else 100),
        ):
            changed = pa.array([*values[:place], new, *values[place + 1 :]], pa.string() if words else kind)
            changed = changed.dictionary_encode() if words else changed
            sums.add(checksum(table.set_column(i, table.column_names[i], changed)))
    assert len(sums) == 1 + 2 * len(TYPES)


def test_a_flipped_byte_anywhere_in_a_part_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "a.parquet"
    written = in_footer(write_part(path, TABLE, lambda: PROOF))
    whole = path.read_bytes()
    footer = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8
    refused = 0
    for position in range(4, footer, 211):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        try:
            assert read_part(path).receipt == written
        except OutputError:
            refused += 1
    assert refused > 0.9 * len(range(4, footer, 211))


def test_a_part_with_other_rows_than_its_receipt_says_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    write_part(path, SHORT, lambda: make_receipt(rows=11))
    with pytest.raises(
        OutputError, match=r"a\.parquet: has 10 rows, its receipt 11.*next submit makes it again"
    ):
        read_part(path)


def test_publishing_leaves_no_file_open(tmp_path):
    def publish_some():
        for i in range(5):
            with publish(tmp_path / f"{i}.txt") as draft:
                draft.write_text("x")

    def handles():
        return len(list(Path("/proc/self/fd").iterdir()))

    publish_some()  # what is opened once and kept
    before = handles()
    publish_some()
    assert handles() == before


def test_devices_and_pipes_are_written_to_and_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with publish(pipe) as draft:
        draft.write_text("verdict")
    assert os.read(reader, 100) == b"verdict"
    os.close(reader)
    assert pipe.is_fifo()
    node = tmp_path / "full"
    node.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device"), publish(node) as draft:
        draft.write_text("verdict")
    assert node.is_symlink()
    out = tmp_path / "out"
    code = (
        "from pathlib import Path\nfrom e2edist.storage.publish import publish\n"
        "with publish(Path('/dev/stdout')) as draft: draft.write_text('verdict')"
    )
    before = Path("/dev/stdout").readlink()
    with out.open("wb") as stream:
        subprocess.run([sys.executable, "-c", code], stdout=stream, check=True)
    assert out.read_text() == "verdict"
    assert Path("/dev/stdout").readlink() == before
