"""Reading events from a real XRootD server and a web server on this machine, and through their deaths."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import fsspec.config
import numpy as np
import pytest
from runs import environment
from servers import LOOPBACK, Proxy, Web, Wire, XRootD, free_port

from e2edist import urls
from e2edist.campaign.planning import make_plan
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.errors import ChangedFileError, InputError
from e2edist.formats import inspect, open_events
from e2edist.storage import _remote_files
from e2edist.storage.input_lists import expand_inputs
from e2edist.storage.read_inputs import InputOptions, attempts_of, read_input, stage

COLUMNS = {"EB": frozenset({"detid", "energy"}), "electron": frozenset({"pt"})}
#: One number for all: the client of XRootD takes its time limits once per process.
OPTIONS = InputOptions(timeout_s=2.0, backoff_s=0.2)
EVENTS = 400
#: Whoever waits so long was not given up in bounded time.
HANGS_S = 100


def need(service, *missing):
    """Skip without what a test needs; fail where it is promised."""
    absent = [name for name in missing if name]
    if absent:
        text = f"{service} tests need {', '.join(absent)}"
        if service in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail(f"E2EDIST_REQUIRE names {service}, and {text}")
        pytest.skip(text)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Return a file of demo events and what reading it gives."""
    (path,) = make_events(tmp_path_factory.mktemp("demo"), "eg", EVENTS, 5, files=1)
    return path, pick(str(path))


def pick(path):
    """Return what a reader of `path` gets, as chunks do it."""
    with open_events(path, COLUMNS) as reader:
        batch = reader.read(0, reader.info.entries)
        return batch.tables["EB"].columns["energy"].copy(), batch.tables["electron"].columns["pt"].copy()


def same(found, expected):
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


# --- XRootD


@pytest.fixture(scope="module")
def folder(events):
    """Return a folder that the user nobody may enter, with the events in it."""
    modules = [name for name in ("XRootD", "fsspec_xrootd") if find_spec(name) is None]
    need("xrootd", None if shutil.which("xrootd") else "the server xrootd (Debian: xrootd-server)", *modules)
    folder = Path(tempfile.mkdtemp(prefix="e2edist-xrootd-"))
    folder.chmod(0o755)
    (folder / "data" / "store").mkdir(parents=True)
    shutil.copy(events[0], folder / "data" / "store" / "a.root")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def own_limits(monkeypatch):
    """Forget the time limits of tests before: the first ones in a process hold for all web addresses."""
    monkeypatch.delitem(fsspec.config.conf, "http", raising=False)
    _remote_files._bound_http.cache_clear()


@pytest.fixture
def server(folder):
    server = XRootD(folder)
    server.start()
    yield server
    server.stop()


def test_events_over_xrootd_are_the_local_ones(server, events):
    url = f"{server.url}/store/a.root"
    assert same(read_input(url, OPTIONS, pick), events[1])
    info = read_input(url, OPTIONS, inspect)
    assert replace(info, url="") == replace(inspect(str(events[0])), url="")


def test_a_token_for_xrootd_is_told_nowhere(server, events):
    token = "?xrd.wantprot=unix&authz=Bearer%20SECRETold0123"
    assert same(read_input(f"{server.url}/store/a.root{token}", OPTIONS, pick), events[1])
    with pytest.raises(InputError, match="no such file") as raised:
        read_input(f"{server.url}/store/none.root{token}", OPTIONS, pick)
    assert raised.value.where.startswith(f"{server.url}/store/none.root")
    assert "SECRET" not in repr(raised.value) + repr(attempts_of(raised.value))


def test_a_real_redirector_leads_to_the_events(server, folder, events):
    redirector = XRootD(folder, f"xrootd.redirect {LOOPBACK}:{server.port} /")
    redirector.start()
    try:
        options = replace(OPTIONS, redirectors=(redirector.url,))
        assert same(read_input("/store/a.root", options, pick), events[1])
    finally:
        redirector.stop()


@pytest.fixture
def crab(folder, events):
    """Return what CRAB leaves on a server, below /store/user/me."""
    top = folder / "data" / "store" / "user" / "me" / "TTbar"
    for name in ("0000/a_1.root", "0000/a_2.root", "0001/a_3.root", "0000/log/b.root", "0000/failed/c.root"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(events[0], top / name)
    yield "store/user/me/TTbar"
    shutil.rmtree(top)


def test_globs_and_folders_of_a_server_are_listed(server, crab):
    top = f"{server.url}/{crab}"
    wanted = [f"{top}/{name}" for name in ("0000/a_1.root", "0000/a_2.root", "0001/a_3.root")]
    said = []
    for pattern in (f"{top}/", f"{top}/*/a_*.root", f"{server.url}//store/*/me/**/a*.root"):
        found = [one.url for one in expand_inputs([pattern], OPTIONS, say=said.append)]
        assert [urls.canonical(one) for one in found] == [urls.canonical(one) for one in wanted]
    assert said[0] == f"{top}/: 3 files"
    token = "?authz=Bearer%20SECRETold0123"
    assert [one.url for one in expand_inputs([f"{top}/0001/*{token}"], OPTIONS)] == [wanted[2] + token]
    for pattern, fault in {
        f"{top}/none/": "can't be listed .*no such file",
        f"{top}/z*": "lists no file z",
        f"{top}/0000/a_1.root/": "can't be listed .*is a file",
    }.items():
        with pytest.raises(InputError, match=fault):
            expand_inputs([pattern + token], replace(OPTIONS, tries=1))


def test_logical_names_with_a_glob_are_listed_by_a_redirector_and_read(server, crab, events):
    dead = f"root://{LOOPBACK}:{free_port()}/"
    options = replace(OPTIONS, redirectors=(dead, server.url), tries=1)
    found = [one.url for one in expand_inputs([f"/{crab}/*/a_*.root"], options)]
    assert found == [f"/{crab}/{name}" for name in ("0000/a_1.root", "0000/a_2.root", "0001/a_3.root")]
    assert found == [one.url for one in expand_inputs([f"/{crab}/"], options)]
    assert same(read_input(found[2], options, pick), events[1])
    with pytest.raises(InputError, match=r"A folder of a server ends with a slash\.$"):
        make_plan(load_tagger("eg"), [f"/{crab}"], inputs=options)


@pytest.mark.timeout(HANGS_S)  # by default the client waits for 2 minutes, five times
def test_the_next_redirector_is_asked_when_the_first_is_dead(server, events):
    dead = f"root://{LOOPBACK}:{free_port()}//store/a.root"
    options = replace(OPTIONS, redirectors=(server.url,), tries=2)
    assert same(read_input(dead, options, pick), events[1])
    # The dead one is remembered, and asked last.
    assert read_input(dead, options, str) == f"{server.url}/store/a.root"


def test_a_file_that_no_server_has_is_named_with_all_that_was_tried(server):
    options = replace(OPTIONS, redirectors=(server.url,), tries=2)
    dead = f"root://{LOOPBACK}:{free_port()}//store/none.root"
    with pytest.raises(InputError, match="no such file") as raised:
        read_input(dead, options, pick)
    assert raised.value.where.startswith(dead)
    assert "tried to open" in str(raised.value)
    assert [one.url for one in attempts_of(raised.value)] == [dead] * 2 + [
        f"{server.url}/store/none.root"
    ] * 2


@pytest.mark.parametrize("away", [0.5, pytest.param(5.0, marks=pytest.mark.slow)])
def test_a_server_that_dies_midway_and_comes_back_costs_tries_only(server, events, away):
    """The shorter pause the client bridges itself; the longer one is beyond its time limit."""
    calls, back = [], threading.Timer(away, server.start)

    def use(path):
        calls.append(path)
        with open_events(path, COLUMNS) as reader:
            if len(calls) == 1:
                server.stop(signal.SIGKILL)
                back.start()
            reader.read(0, EVENTS)
        return pick(path)

    try:
        assert same(read_input(f"{server.url}/store/a.root", replace(OPTIONS, tries=8), use), events[1])
    finally:
        back.join(30)
    assert len(calls) > 1 or away < 2


def test_a_wire_that_is_cut_midway_costs_tries_only(server, events, tmp_path):
    options = replace(OPTIONS, scratch=str(tmp_path), tries=5)
    with Wire(server.port, [20_000, 40_000]) as wire:
        assert same(read_input(f"root://{LOOPBACK}:{wire.port}//store/a.root", options, pick), events[1])
        assert wire.cut == 2
    with Wire(server.port, [events[0].stat().st_size // 2]) as wire:
        with stage(f"root://{LOOPBACK}:{wire.port}//store/a.root", options) as path:
            assert path.read_bytes() == events[0].read_bytes()
        assert wire.cut == 1


@pytest.mark.timeout(HANGS_S)  # by default it is half an hour
def test_a_server_that_says_nothing_is_left_for_the_next_in_bounded_time(server, folder, events):
    other = XRootD(folder)
    other.start()
    started = time.monotonic()
    server.process.send_signal(signal.SIGSTOP)
    try:
        options = replace(OPTIONS, redirectors=(other.url,), tries=1)
        assert same(read_input(f"{server.url}/store/a.root", options, pick), events[1])
        assert time.monotonic() - started > 1  # it was asked, and given some time
    finally:
        server.process.send_signal(signal.SIGCONT)
        other.stop()


def test_real_events_over_xrootd_are_the_local_ones(server, folder, data):
    for path in sorted((data / "root").glob("hits_*.root"))[:2]:
        shutil.copy(path, folder / "data" / path.name)
        assert same(read_input(f"{server.url}/{path.name}", OPTIONS, pick), pick(str(path)))


def test_a_file_that_is_cut_on_the_server_is_refused(server, folder, events):
    cut = folder / "data" / "store" / "cut.root"
    shutil.copy(events[0], cut)
    os.truncate(cut, cut.stat().st_size - 1000)
    with pytest.raises(InputError, match="cut short"):
        read_input(f"{server.url}/store/cut.root", OPTIONS, pick)


def test_a_copy_over_xrootd_serves_when_the_server_is_gone(server, events, tmp_path):
    options = replace(OPTIONS, stage="remote", scratch=str(tmp_path))
    url = f"{server.url}/store/a.root"
    assert same(read_input(url, options, pick), events[1])
    server.stop()
    assert same(read_input(url, options, pick), events[1])


# --- web


@pytest.fixture
def web(events):
    need("http", "the package aiohttp" if find_spec("aiohttp") is None else None)
    with Web(events[0].parent) as web:
        yield web


def test_events_over_http_are_the_local_ones(web, events):
    assert same(read_input(f"{web.url}/{events[0].name}", OPTIONS, pick), events[1])


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_a_web_server_that_stumbles_is_asked_again(web, events, fault):
    web.faults[:] = [fault, fault]
    assert same(read_input(f"{web.url}/{events[0].name}", OPTIONS, pick), events[1])
    assert not web.faults


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_a_copy_over_http_is_whole_whatever_happens(web, events, tmp_path, fault):
    web.faults[:] = [fault, fault]
    options = replace(OPTIONS, scratch=str(tmp_path))
    with stage(f"{web.url}/{events[0].name}", options) as path:
        assert path.read_bytes() == events[0].read_bytes()
    assert not web.faults


def test_a_web_server_without_ranges_serves_copies(web, events, tmp_path):
    web.ranges = False
    with stage(f"{web.url}/{events[0].name}", replace(OPTIONS, scratch=str(tmp_path))) as path:
        assert path.read_bytes() == events[0].read_bytes()


def test_a_mirror_takes_over_from_a_dead_web_server(web, events):
    dead = f"http://{LOOPBACK}:{free_port()}/{events[0].name}"
    assert same(read_input(dead, replace(OPTIONS, redirectors=(web.url,)), pick), events[1])


@pytest.mark.timeout(HANGS_S)
def test_a_web_server_that_says_nothing_is_left_for_the_next_in_bounded_time(web, events):
    with Web(events[0].parent) as silent:
        silent.faults[:] = ["silent"] * 20
        options = replace(OPTIONS, redirectors=(web.url,), tries=1)
        assert same(read_input(f"{silent.url}/{events[0].name}", options, pick), events[1])
        assert len(silent.faults) < 20  # it was asked


def test_a_page_that_is_missing_is_an_input_error(web):
    with pytest.raises(InputError, match=r"404|FileNotFoundError"):
        read_input(f"{web.url}/none.root", OPTIONS, pick)


def test_a_copy_that_is_no_longer_the_planned_file_is_fetched_once_more(web, events, tmp_path):
    options = replace(OPTIONS, stage="remote", scratch=str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    web.folder = tmp_path
    url = f"{web.url}/a.root"
    (old,) = make_events(tmp_path / "old", "eg", 50, 1, files=1)
    shutil.copy(old, tmp_path / "a.root")
    read_input(url, options, pick)
    shutil.copy(events[0], tmp_path / "a.root")
    planned = inspect(str(events[0]))

    def use(path):
        with open_events(replace(planned, url=path), COLUMNS):
            return pick(path)

    assert same(read_input(url, options, use), events[1])
    gone = replace(planned, uuid="0" * 32)
    with pytest.raises(ChangedFileError, match="changed since it was planned") as raised:
        read_input(url, options, lambda path: open_events(replace(gone, url=path), COLUMNS))
    assert raised.value.where == url


# --- proxies


_READ = """
import sys
from pathlib import Path
from test_remote import OPTIONS, pick, read_input, same, stage
url, copy = sys.argv[1:]
with stage(url, OPTIONS) as path:
    assert path.read_bytes() == Path(copy).read_bytes()
assert same(read_input(url, OPTIONS, pick), pick(copy))
"""


def through(url, copy, **variables):
    """Read `url` in a process with these variables, by staging and directly; return what it said."""
    env = {key: value for key, value in environment().items() if not key.lower().endswith("_proxy")}
    path = os.pathsep.join([env["PYTHONPATH"], str(Path(__file__).parent)])
    line = [sys.executable, "-c", _READ, url, str(copy)]
    env |= {"PYTHONPATH": path, **variables}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=HANGS_S, check=False)
    return done.stderr


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_files_are_had_by_the_proxy_of_the_environment(name, events, tmp_path):
    path = events[0]
    with Proxy(path.parent) as proxy:
        url = f"http://files.invalid/{path.name}"
        assert through(url, path, **{name: proxy.url}, TMPDIR=str(tmp_path)) == ""
        assert set(proxy.asked) == {url}
        proxy.asked.clear()
        secure = through(url.replace("http:", "https:"), path, https_proxy=proxy.url, TMPDIR=str(tmp_path))
        assert "InputError" in secure
        assert set(proxy.asked) == {"CONNECT files.invalid:443"}


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_that_need_no_proxy_are_asked_themselves(name, events, tmp_path):
    path = events[0]
    with Web(path.parent) as web, Proxy(tmp_path) as proxy:
        hosts = {"http_proxy": proxy.url, name: f"elsewhere,{LOOPBACK}"}
        assert through(f"{web.url}/{path.name}", path, **hosts, TMPDIR=str(tmp_path)) == ""
        assert proxy.asked == []
