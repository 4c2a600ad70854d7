"""A mistake in a program is told as that, with its place; what is wrong with the data is told as that."""

import importlib
import pickle

import awkward as ak
import numpy as np
import pytest
import uproot
from plugin_package import FORMAT, install

from e2edist import formats
from e2edist.campaign.planning import ReadOptions, make_plan
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.errors import E2EError, EntriesError, InputError, OutputError, ProgrammingError, guarded
from e2edist.formats import _baskets, _column_reader, _file
from e2edist.plugins import as_bug, is_bug, load

HITS = {"EB": frozenset({"detid", "energy"})}
BUG = "no_such_name"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return a function that installs a format ``odd`` with a bug in one of its functions."""
    count = iter(range(9))

    def make(**bugs):
        package = f"odd_{tmp_path.name}_{next(count)}".replace("-", "_").replace("[", "_").replace("]", "_")
        path = install(tmp_path / package, "formats", FORMAT, package=package, **bugs)
        monkeypatch.syspath_prepend(str(tmp_path / package))
        importlib.invalidate_caches()
        return path

    return make


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Return a file of demo events."""
    return str(make_events(tmp_path_factory.mktemp("demo"), "eg", 60, 1, files=1)[0])


def ntuple(path, **columns):
    """Write a hit ntuple of 20 events with the given numbers of events."""
    detids = ak.from_regular(ak.Array(np.arange(60, dtype=np.uint32).reshape(20, 3)), axis=1)
    content = {"EBRecHit_detid": detids, "EBRecHit_energy": ak.values_astype(detids, np.float32)} | columns
    with uproot.recreate(path) as file:
        types = {k: v.dtype if isinstance(v, np.ndarray) else v.type for k, v in content.items()}
        file.mktree("Events", types)
        file["Events"].extend(content)
    return str(path)


# ---- what a plug-in raises


def test_a_format_without_a_bug_reads_as_the_format_that_it_wraps(plugin, events):
    plugin()
    with formats.open_events(events, HITS, format="odd") as reader, formats.open_events(events, HITS) as ours:
        one, other = reader.read(0, 60), ours.read(0, 60)
    np.testing.assert_array_equal(one["EB"]["energy"], other["EB"]["energy"])
    np.testing.assert_array_equal(one.event, other.event)


@pytest.mark.parametrize("where", ["detect", "map_branches", "build", "decode"])
def test_a_name_error_of_a_format_is_never_told_as_damage(plugin, events, where):
    path = plugin(**{where: BUG})
    with pytest.raises(NameError) as caught, formats.open_events(events, HITS, format="odd") as reader:
        reader.read(0, 60)
    bug = as_bug(caught.value)
    line = path.read_text().splitlines().index(next(x for x in path.read_text().splitlines() if BUG in x)) + 1
    assert bug.location == f"{path}, line {line}"
    assert str(bug).startswith(
        f"this is a bug in {bug.location}, not bad data: NameError: name 'no_such_name'"
    )
    assert "Correct or update that plug-in." in str(bug)
    assert "Traceback" in bug.traceback
    assert BUG in bug.traceback


@pytest.mark.parametrize("where", ["detect", "map_branches"])
@pytest.mark.parametrize("allowed", [0.0, 0.5])
def test_a_bug_at_planning_is_told_once_and_names_no_file_as_damaged(plugin, events, where, allowed):
    path = plugin(**{where: BUG})
    with pytest.raises(ProgrammingError, match="NameError") as caught:
        make_plan(load_tagger("eg"), [events], ReadOptions("odd"), max_bad_fraction=allowed)
    assert str(path) in str(caught.value)
    assert "damaged" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_plug_in_that_uses_a_function_of_ours_wrongly_is_named_itself(plugin, events):
    path = plugin(map_branches="from e2edist.formats.api import to_dtype; to_dtype(None, 3, None)")
    with pytest.raises(TypeError) as caught:
        formats.open_events(events, HITS, format="odd")
    assert as_bug(caught.value).location.startswith(str(path))


@pytest.mark.parametrize(
    "text", ["def map_branches(:", "import no_such_module", "def detect(names): no_such_name"]
)
def test_a_broken_plug_in_that_is_not_needed_breaks_nothing(plugin, events, text):
    plugin().write_text(text)
    _file._formats.cache_clear()
    assert formats.inspect(events).format == "hits"
    _file._formats.cache_clear()


@pytest.mark.parametrize("text", ["def map_branches(:", "import no_such_module"])
def test_a_plug_in_that_can_not_be_imported_is_named(plugin, text):
    path = plugin()
    path.write_text(text)
    with pytest.raises((SyntaxError, ImportError)) as caught:
        load("formats", "odd")
    assert as_bug(caught.value).location == f"{path}, line 1"


def test_a_bug_survives_pickling_and_its_traceback_is_bounded():
    def deep(n):
        return deep(n - 1) if n else {}["x" * 20_000]

    with pytest.raises(KeyError) as caught:
        deep(100)
    bug = pickle.loads(pickle.dumps(as_bug(caught.value)))
    assert bug.location.startswith(__file__)
    assert len(bug.traceback) < 8100
    assert len(str(bug)) < 600


def test_an_exception_that_can_not_be_shown_is_told_all_the_same():
    class MuteError(Exception):
        def __str__(self):
            raise NameError("oops")

    with pytest.raises(MuteError) as caught:
        raise MuteError
    assert "not bad data: MuteError: no text" in str(as_bug(caught.value))


@pytest.mark.parametrize("error", [OSError(), TimeoutError(), MemoryError(), InputError("", "")])
def test_what_the_system_or_the_data_do_is_no_bug(error):
    assert not is_bug(error)


# ---- whether a retry can help


def test_what_a_library_raises_may_pass_and_what_was_found_out_may_not():
    with pytest.raises(EntriesError) as caught, guarded("f", "can't be read", "", EntriesError):
        raise ValueError("of a library")
    assert caught.value.retryable
    assert pickle.loads(pickle.dumps(caught.value)).retryable
    for kind in (E2EError, InputError, EntriesError, OutputError):
        assert not pickle.loads(pickle.dumps(kind("f", "is so"))).retryable


def test_a_package_that_is_missing_is_no_damage():
    with pytest.raises(ImportError), guarded("f", "can't be read", ""):
        raise ModuleNotFoundError("install the 'cramjam' package")


@pytest.mark.parametrize("error", [NameError, AttributeError, TypeError])
def test_a_bug_of_ours_in_reading_is_no_damage(events, monkeypatch, error):
    code = compile(f"def fail(*_):\n    raise {error.__name__}('oops')", "ours.py", "exec")
    space = {"__name__": "e2edist.formats._baskets"}
    exec(code, space)
    with formats.open_events(events, HITS) as reader:
        monkeypatch.setattr(_column_reader, "read_by_uproot", space["fail"])
        monkeypatch.setattr(_baskets.Baskets, "decode", space["fail"])
        with pytest.raises(error):
            reader.read(0, 60)


# ---- run, lumi and event


def test_event_numbers_that_fail_to_be_read_fail_the_range(events, monkeypatch):
    real = _column_reader.read_baskets

    def read(columns, *rest):
        if any(one.branch.name == "event" for one in columns):
            raise OSError("the network is down")
        return real(columns, *rest)

    with formats.open_events(events, HITS) as reader:
        monkeypatch.setattr(_column_reader, "read_baskets", read)
        with pytest.raises(InputError, match="the network is down") as caught:
            reader.read(0, 60)
        assert caught.value.retryable
        monkeypatch.undo()
        assert reader.read(0, 60).event is not None


def test_event_numbers_that_a_file_lacks_are_noted(tmp_path):
    path = ntuple(tmp_path / "a.root", event=np.arange(20, dtype=np.uint64), run=np.ones(20, np.float32))
    with formats.open_events(path, HITS) as reader:
        batch = reader.read(0, 20)
    assert batch.run is batch.lumi is None
    assert list(batch.event) == list(range(20))
    assert any(note.startswith("lumi: no branch luminosityBlock") for note in batch.notes)
    assert any("run" in note and "float" in note for note in batch.notes)


def test_a_file_with_all_event_numbers_has_no_notes(events):
    with formats.open_events(events, HITS) as reader:
        assert reader.read(0, 60).notes == ()


def test_event_numbers_that_do_not_fit_are_none_and_noted(tmp_path):
    path = ntuple(tmp_path / "a.root", event=np.arange(20, dtype=np.uint64), run=np.full(20, -1, np.int32))
    with formats.open_events(path, HITS) as reader:
        batch = reader.read(0, 20)
    assert batch.run is None
    assert "run: not understood in run, event" in batch.notes


def test_records_of_another_kind_are_noted(data, monkeypatch):
    from e2edist.formats import _event_ids

    none = dict.fromkeys(("run", "lumi", "event"))
    monkeypatch.setattr(_event_ids, "event_ids_of", lambda *_: none)
    with formats.open_events(str(data / "edm/given_1.root"), HITS) as reader:
        assert reader.read(0, 10).notes == ("run, lumi, event: not understood in EventAuxiliary",)


def test_values_that_do_not_fit_a_table_are_a_fact_about_the_entries(tmp_path):
    wide = ak.from_regular(ak.Array(np.full((20, 1), 2**33, dtype=np.int64)), axis=1)
    zeros = ak.from_regular(ak.Array(np.zeros((20, 1), dtype=np.float32)), axis=1)
    path = ntuple(tmp_path / "a.root", EERecHit_detid=wide, EERecHit_energy=zeros)
    with formats.open_events(path, {"EE": frozenset({"detid"})}) as reader:
        with pytest.raises(EntriesError, match=r"a\.root:Events entries 3-9: EE\.detid holds") as caught:
            reader.read(3, 9)
        assert not caught.value.retryable


def test_a_network_that_fails_while_branches_are_looked_at_leaves_none_of_them_out(events, monkeypatch):
    class HangupError(Exception):
        """As of a client's library: no OSError."""

    HangupError.__module__ = "aiohttp.client_exceptions"
    real = uproot.TBranch.interpretation

    for error in (HangupError("gone"), TimeoutError()):

        def fail(branch, error=error):
            if branch.name == "event":
                raise error
            return real.fget(branch)

        monkeypatch.setattr(uproot.TBranch, "interpretation", property(fail))
        with pytest.raises(InputError, match="branch 'event' can't be inspected") as caught:
            formats.open_events(events, HITS)
        assert type(caught.value) is InputError
        assert caught.value.retryable


# ---- bad baskets


def test_a_file_that_can_not_be_read_at_the_moment_has_no_bad_baskets(events, monkeypatch):
    def down(*_):
        raise OSError("the disk is away")

    with formats.open_events(events, HITS) as reader:
        source = reader._opened.directory.file.source
        monkeypatch.setattr(type(source), "chunks", down)
        monkeypatch.setattr(type(source), "chunk", down)
        with pytest.raises(InputError) as caught:
            reader.read(0, 60)
    assert type(caught.value) is InputError
    assert caught.value.retryable
