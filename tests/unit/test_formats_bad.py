"""What is not a good ROOT file ends in an error that names it and says what to do, never in a traceback."""

import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from e2edist import formats
from e2edist.errors import BranchError, E2EError, InputError, ResourceError
from e2edist.formats import _column_reader
from e2edist.formats._file import _check_end

HITS = {"EB": frozenset({"detid", "energy"})}
EVENTS = 300


def made(path, energies=None, **more):
    """Write a hit ntuple of `EVENTS` events with three hits each."""
    detids = ak.from_regular(ak.Array(np.arange(EVENTS * 3, dtype=np.uint32).reshape(EVENTS, 3)), axis=1)
    if energies is None:
        energies = ak.values_astype(detids, np.float32) / 7
    columns = {"EBRecHit_detid": detids, "EBRecHit_energy": energies, **more}
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree(
            "Events", {k: v.dtype if isinstance(v, np.ndarray) else v.type for k, v in columns.items()}
        )
        file["Events"].extend(columns)
    return path


def full(path):
    with formats.open_events(str(path), HITS) as reader:
        return reader.read(0, reader.info.entries)


def helpful(error, path):
    """Return whether an error names the file and says what to do."""
    return Path(path).name in error.where and bool(error.what) and bool(error.todo)


def test_a_missing_file_answers_with_near_names(tmp_path):
    made(tmp_path / "events_1.root")
    with pytest.raises(InputError, match=r"no such file.*'events_1\.root'"):
        formats.inspect(str(tmp_path / "event_1.root"))
    with pytest.raises(InputError, match="no such file"):
        formats.inspect(str(tmp_path / "nowhere" / "event_1.root"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(1000), "is not a ROOT file"),
        (b"root", "can't be opened"),
        (b"root" + bytes(1000), "can't|closed|no TTree"),
        (b"root\xff" + os.urandom(2000), "can't|cut short|closed|no TTree"),
    ],
)
def test_what_is_not_root_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.root"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        formats.inspect(str(path))
    assert helpful(caught.value, path)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        formats.inspect(str(tmp_path))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.root")
    with pytest.raises(InputError, match="not a regular file"):
        formats.inspect(str(tmp_path / "pipe.root"))


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = made(tmp_path / "mine.root")
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may read everything
    with pytest.raises(InputError, match="may not be read"):
        formats.inspect(str(path))


def test_a_name_that_no_disk_takes_is_refused(tmp_path):
    with pytest.raises(InputError):
        formats.inspect(str(tmp_path / ("x" * 5000)))
    with pytest.raises(InputError):
        formats.inspect("zero\0byte.root")


def test_a_server_that_is_not_there_is_an_input_error():
    with pytest.raises(InputError, match="can't be opened") as caught:
        formats.inspect("nosuchprotocol://host/x.root")
    assert "address" in caught.value.todo


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1])
def test_a_truncated_copy_is_noticed_before_it_is_read(tmp_path, keep):
    path = made(tmp_path / "cut.root")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError) as caught:
        formats.inspect(str(path))
    assert helpful(caught.value, path)


def test_a_truncated_copy_of_a_real_file_is_noticed(data, tmp_path):
    content = (data / "edm/given_1.root").read_bytes()
    (tmp_path / "cut.root").write_bytes(content[:-1024])
    with pytest.raises(InputError, match=f"is cut short: {len(content) - 1024} bytes"):
        formats.inspect(str(tmp_path / "cut.root"))


def test_a_file_that_shrinks_while_it_is_open_is_an_input_error(data, tmp_path):
    path = tmp_path / "shrinks.root"
    content = (data / "root/hits_given_a.root").read_bytes()
    path.write_bytes(content)
    with formats.open_events(str(path), HITS) as reader:
        path.write_bytes(content[:5000])
        with pytest.raises(InputError, match="entries 100-220"):
            reader.read(100, 220)


def test_garbage_in_a_basket_is_an_input_error_with_the_range_and_the_cause(tmp_path):
    path = made(tmp_path / "garbage.root")
    with uproot.open(path) as file:
        branch = file["Events"]["EBRecHit_energy"]
        at, size = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
    content = bytearray(path.read_bytes())
    content[at + size // 2 : at + size] = bytes(size - size // 2)
    path.write_bytes(bytes(content))
    with formats.open_events(str(path), HITS) as reader, pytest.raises(InputError, match="0-300") as caught:
        reader.read(0, EVENTS)
    assert isinstance(caught.value.__cause__, Exception)
    assert helpful(caught.value, path)


@pytest.mark.parametrize(
    "error", [zlib.error("bad"), MemoryError(), IndexError("9"), RecursionError(), OSError("io")]
)
def test_whatever_uproot_raises_is_an_input_error(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    with formats.open_events(str(made(tmp_path / "x.root")), HITS) as reader:
        monkeypatch.setattr(_column_reader, "read_baskets", lambda *_: {})
        monkeypatch.setattr(_column_reader, "read_by_uproot", fail)
        with pytest.raises(InputError, match=type(error).__name__) as caught:
            reader.read(0, 10)
    assert caught.value.__cause__ is error


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_gives_another_error(tmp_path, seed):
    path = made(tmp_path / "damaged.root")
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for at in random.integers(4, len(content), size=10):
        content[at] = random.integers(256)
    path.write_bytes(bytes(content))
    try:
        full(path)
    except E2EError as error:
        assert helpful(error, path)  # noqa: PT017 silence is allowed: bytes that nobody reads may be damaged


def test_columns_that_disagree_on_the_rows_are_an_input_error(tmp_path):
    two = ak.from_regular(ak.Array(np.ones((EVENTS, 2), dtype=np.float32)), axis=1)
    path = made(tmp_path / "rows.root", energies=two)
    with pytest.raises(InputError, match="different numbers of rows"):
        full(path)


def test_integers_that_do_not_fit_are_an_input_error(tmp_path):
    wide = ak.from_regular(ak.Array(np.full((EVENTS, 1), 2**33, dtype=np.int64)), axis=1)
    zeros = ak.from_regular(ak.Array(np.zeros((EVENTS, 1), dtype=np.float32)), axis=1)
    path = made(tmp_path / "wide.root", EERecHit_detid=wide, EERecHit_energy=zeros)
    with (
        formats.open_events(str(path), {"EE": frozenset({"detid"})}) as reader,
        pytest.raises(InputError, match=r"EE\.detid holds numbers that do not fit into uint32"),
    ):
        reader.read(0, EVENTS)


@pytest.mark.parametrize(
    ("branch", "kind"),
    [
        (np.zeros(EVENTS, dtype=np.float32), "a list of numbers an event"),
        (np.zeros((EVENTS, 4), dtype=np.float32), "a list of numbers an event"),
    ],
)
def test_a_branch_of_another_type_is_a_branch_error(tmp_path, branch, kind):
    with uproot.recreate(tmp_path / "type.root") as file:
        detids = ak.from_regular(ak.Array(np.zeros((EVENTS, 3), dtype=np.uint32)), axis=1)
        shape = (branch.dtype, branch.shape[1:]) if branch.ndim > 1 else branch.dtype
        file.mktree("Events", {"EBRecHit_detid": detids.type, "EBRecHit_energy": shape})
        file["Events"].extend({"EBRecHit_detid": detids, "EBRecHit_energy": branch})
    with pytest.raises(BranchError, match=f"EBRecHit_energy' has type.*wanted is {kind}"):
        full(tmp_path / "type.root")


def test_detids_that_are_not_integers_are_a_branch_error(tmp_path):
    floats = ak.from_regular(ak.Array(np.zeros((EVENTS, 3), dtype=np.float32)), axis=1)
    path = made(tmp_path / "float.root", EERecHit_detid=floats)
    with pytest.raises(BranchError, match="a list of integers an event"):
        formats.open_events(str(path), {"EE": frozenset({"detid"})})


def test_a_file_that_asks_for_absurd_memory_is_refused(tmp_path):
    with formats.open_events(str(made(tmp_path / "huge.root")), HITS) as reader:
        reader._bytes = 8 * 1024**3
        with pytest.raises(ResourceError, match=r"8\.0 GiB from a file of"):
            reader.read(0, EVENTS)


def test_a_file_without_trees_is_refused(tmp_path):
    with uproot.recreate(tmp_path / "none.root") as file:
        file["text"] = "hello"
    with pytest.raises(InputError, match="has no TTree and no RNTuple; it holds text"):
        formats.inspect(str(tmp_path / "none.root"))


def test_an_rntuple_without_hits_is_refused_by_its_fields(data):
    with pytest.raises(InputError, match="NanoAOD holds no hits"):
        formats.inspect(str(data / "odd/nano_dy_empty_rntuple.root"))


def test_a_tree_that_no_format_knows_lists_the_formats(data):
    with pytest.raises(InputError, match=r"no format fits its trees \(tree: x, y, z\)") as caught:
        formats.inspect(str(data / "odd/uproot-empty.root"))
    assert "delphes, edm, hits, pfnano" in caught.value.todo


@pytest.mark.parametrize("name", ["nano_dy_empty", "nano_dy_empty_rntuple"])
@pytest.mark.parametrize("kind", ["hits", "pfnano"])
def test_nanoaod_without_candidates_is_refused_by_its_kind(data, name, kind):
    url = str(data / f"odd/{name}.root")
    with pytest.raises(InputError, match="NanoAOD holds no hits") as caught:
        formats.inspect(url)
    assert "MiniAOD (ECAL)" in caught.value.todo
    assert "PFNano" in caught.value.todo
    columns = {"EB": HITS["EB"], "pixels:EB_energy": frozenset({"row"})}
    with pytest.raises(BranchError, match="Events: NanoAOD holds no hits") as caught:
        formats.open_events(url, columns, format=kind)
    assert "nearest" not in caught.value.what


def test_a_plain_double32_leaf_is_read_as_the_float_it_is(data):
    from e2edist.formats.api import BranchErrors, check_branch

    with uproot.open(data / "odd/leaves.root") as file:
        tree, faults = file["tree"], BranchErrors("leaves.root")
        one = check_branch(tree["SliD32"], "x", "number", faults)
        lists = _column_reader.read_by_uproot(tree, [one], 0, 10)["SliD32"]
        expected = ak.to_numpy(ak.flatten(tree["SliF32"].array()))
    assert not faults.messages
    np.testing.assert_array_equal(lists.data, expected)


@pytest.mark.slow
def test_every_odd_file_ends_in_an_error_or_no_rows_in_2_gib(data):
    code = """
    import resource, sys
    from pathlib import Path
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    from e2edist import formats
    from e2edist.errors import InputError
    columns = {"EB": frozenset({"detid", "energy"}), "photon": frozenset({"pt"})}
    for path in sorted(Path(sys.argv[1]).glob("*.root")):
        for format in (None, "hits", "edm"):
            for wanted in (columns, {"photon": frozenset({"pt", "eta", "phi"})}):
                try:
                    with formats.open_events(str(path), wanted, format=format) as reader:
                        batch = reader.read(0, reader.info.entries)
                except InputError as error:
                    assert path.name in error.where and error.todo, error
                else:
                    assert "photon" in batch.tables and batch.events == reader.info.entries
    print("ok")
    """
    code = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(data / "odd")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stderr


@pytest.mark.parametrize(("url", "transient"), [("/data/a.root", False), ("https://host/a.root", True)])
def test_a_size_that_a_server_tells_wrongly_may_pass_and_one_on_a_disk_does_not(url, transient):
    with pytest.raises(InputError, match="its header says") as caught:
        _check_end(url, 100, 101)
    assert caught.value.retryable is transient
