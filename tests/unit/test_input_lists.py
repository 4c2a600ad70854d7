"""Inputs as people have them: text, DAS and Rucio outputs, filesets, folders, pages of web servers."""

import gzip
import io
import json
import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from e2edist.errors import ConfigError, E2EError, InputError
from e2edist.storage.input_lists import expand_inputs
from e2edist.storage.read_inputs import InputOptions

STORE = "/store/mc/RunIISummer20UL18RECO/TTTo2L2Nu/AODSIM/106X_v1"
FILES = [f"{STORE}/2520000/{name}.root" for name in ("0A1B", "0C2D")]
REDIRECTORS = InputOptions(redirectors=("root://near.example/",))

DAS_TEXT = "".join(f"{name}\n" for name in FILES)
DAS_COLUMNS = "".join(f"{name} {n}   2147483648\n" for n, name in enumerate(FILES, 1200))
RUCIO_CSV = "".join(f"cms:{name},71C1-0A1B,d2bb1b44,2.148 GB,None\n" for name in FILES)
RUCIO_FILES = f"""\
+{"-" * 40}+--------+-------------+------------+----------+
| SCOPE:NAME | GUID   | ADLER32     | FILESIZE   | EVENTS   |
|{"-" * 40}+--------+-------------+------------+----------|
| cms:{FILES[0]} | (None) | ad:d2bb1b44 | 2.148 GB   |          |
| cms:{FILES[1]} | (None) | ad:00bb1b44 | 1.100 GB   |          |
+{"-" * 40}+--------+-------------+------------+----------+
Total files : 2
Total size : 3.248 GB
"""
RUCIO_REPLICAS = "\n".join(
    [
        "+---------+-----+------------+-----------+----------------+",
        "| SCOPE   | NAME | FILESIZE   | ADLER32   | RSE: REPLICA   |",
        "|---------+-----+------------+-----------+----------------|",
        *(
            f"| cms     | {name} | 2.148 GB   | d2bb1b44  | {rse}: davs://{host}:1094/x{name} |"
            for name in FILES
            for rse, host in (("T1_US_FNAL_Disk", "cmsdcadisk.example"), ("T2_CH_CERN", "eoscms.example"))
        ),
        "+---------+-----+------------+-----------+----------------+",
    ]
)
DAS_JSON = json.dumps(
    [
        {
            "das": {"expire": 1700000000, "instance": "prod/global", "services": [{"dbs3": ["dbs3"]}]},
            "file": [
                {"name": name, "nevents": 1200, "size": 2147483648, "dataset": "/TTTo2L2Nu/X-v1/AODSIM"},
                {"name": name, "adler32": "d2bb1b44"},
            ],
            "qhash": "0f",
        }
        for name in FILES
    ]
)
RUCIO_RECORDS = [
    {
        "scope": "cms",
        "name": name,
        "bytes": 2147483648,
        "adler32": "d2bb1b44",
        "pfns": {
            f"davs://far.example:1094/x{name}": {"rse": "T1", "type": "DISK", "priority": 1},
            f"root://here.example//x{name}": {"rse": "T2", "type": "DISK", "priority": 2},
        },
        "rses": {"T1": [f"davs://far.example:1094/x{name}"]},
        "states": {"T1": "AVAILABLE"},
    }
    for name in FILES
]


def urls_of(*patterns, options=REDIRECTORS, **more):
    return [one.url for one in expand_inputs(patterns, options, **more)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "das.txt": DAS_TEXT,
        "columns.list": DAS_COLUMNS,
        "rucio.csv": RUCIO_CSV,
        "files.txt": RUCIO_FILES,
        "replicas.txt": RUCIO_REPLICAS,
        "das.json": DAS_JSON,
        "web.json": json.dumps({"status": "ok", "nresults": 2, "data": json.loads(DAS_JSON)}),
        "rucio.json": json.dumps(RUCIO_RECORDS),
        "stream.json": "\n".join(map(json.dumps, RUCIO_RECORDS)),
        "names.json": json.dumps([f"cms:{FILES[0]}", FILES[1]]),
        "dbs.json": json.dumps([{"logical_file_name": name} for name in FILES]),
    }.items(),
)
@pytest.mark.parametrize("by_pipe", [False, True])
def test_what_das_and_rucio_print_is_a_list_of_logical_names(here, monkeypatch, name, text, by_pipe):
    (here / name).write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert urls_of("-" if by_pipe else name) == FILES


def test_das_names_the_dataset_of_its_files(here):
    (here / "das.json").write_text(DAS_JSON)
    assert {one.dataset for one in expand_inputs(["das.json"])} == {"/TTTo2L2Nu/X-v1/AODSIM"}
    found = expand_inputs([], datasets={"TT": ["das.json"]})
    assert {one.dataset for one in found} == {"TT"}


def test_of_all_replicas_that_rucio_prints_one_of_each_file_is_read(here):
    """rucio list-file-replicas --pfns prints every replica of every file."""
    lines = [
        f"{server}{name}" for name in FILES for server in ("davs://far.example:1094/x", "root://a.example/")
    ]
    (here / "pfns.txt").write_text("\n".join(lines))
    said = []
    assert urls_of("pfns.txt", say=said.append) == [f"root://a.example/{name}" for name in FILES]
    assert said == ["pfns.txt: 2 further replicas of its 2 files are left out"]
    (here / "davs.txt").write_text(lines[0])
    assert urls_of("davs.txt") == [f"https://far.example:1094/x{FILES[0]}"]


def test_without_redirectors_a_record_of_rucio_gives_an_address(here):
    (here / "rucio.json").write_text(json.dumps(RUCIO_RECORDS))
    assert urls_of("rucio.json", options=InputOptions()) == [
        f"root://here.example//x{name}" for name in FILES
    ]


STEPS = {"object_path": "Events", "steps": [[0, 50], [50, 100]], "num_entries": 100, "uuid": "x"}


@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_a_fileset_of_coffea_gives_datasets_trees_and_metadata(here, ending):
    (here / "qcd").mkdir()
    for name in ("b.root", "c.root"):
        (here / "qcd" / name).touch()
    fileset = {
        "TTbar": {"files": {"a.root": "Events", FILES[0]: STEPS}, "metadata": {"xsec": 88.3, "isMC": True}},
        "QCD": ["qcd/*.root"],
        "Old": {"treename": "mytree", "files": ["/data/old.root"]},
        "Plain": {"files": ["root://h.example//store/x.root"], "metadata": None},
    }
    text = json.dumps(fileset).encode()
    file = here / f"fileset{ending}"
    file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    said = []
    found = expand_inputs([file.name], say=said.append)
    assert [(one.url, one.dataset, one.tree) for one in found] == [
        (f"{here}/a.root", "TTbar", "Events"),
        (FILES[0], "TTbar", "Events"),
        (f"{here}/qcd/b.root", "QCD", None),
        (f"{here}/qcd/c.root", "QCD", None),
        ("/data/old.root", "Old", "mytree"),
        ("root://h.example//store/x.root", "Plain", None),
    ]
    assert found[0].metadata == {"xsec": 88.3, "isMC": True}
    assert not said
    with pytest.raises(ConfigError, match="names datasets of its own, as Old and Plain"):
        expand_inputs([], datasets={"all": [file.name]})


@pytest.mark.parametrize("steps", [[[0, 50]], [[10, 100]], [[0, 40], [50, 100]]])
def test_steps_that_leave_out_entries_are_not_followed_and_that_is_said(here, steps):
    (here / "f.json").write_text(json.dumps({"A": {"files": {"a.root": STEPS | {"steps": steps}}}}))
    said = []
    expand_inputs(["f.json"], say=said.append)
    assert said == ["f.json: its steps leave out entries; all entries of its files are read"]


@pytest.mark.parametrize(
    ("facts", "cut", "entries"),
    [
        (STEPS, False, 100),
        ({"steps": [[0, 50]]}, False, 50),
        ({"num_entries": 7}, False, 7),
        ({}, False, None),
    ],
)
def test_what_a_fileset_says_of_entries_is_kept_for_planning(here, facts, cut, entries):
    content = {"A": {"files": {"a.root": {"object_path": "Events"} | facts}}}
    (here / "f.json").write_text(json.dumps(content))
    [found] = expand_inputs(["f.json"])
    assert (found.cut, found.entries) == (cut, entries)


FAULTS = {
    "empty dataset": ('{"TTbar": {"files": {}}, "QCD": []}', "TTbar: is empty; QCD: is empty"),
    "no files": ('{"TTbar": {"metadata": {}}}', "TTbar: has no files, neither as a list nor as a table"),
    "files of another kind": ('{"TTbar": {"files": "a.root"}}', "TTbar: has no files, neither as a list"),
    "a number": ('{"TTbar": [1]}', "TTbar.files: 1 with tree None is no name of a file"),
    "tree": ('{"TTbar": {"files": {"a.root": 3}}}', "TTbar.files: 'a.root' with tree 3 is no name"),
    "metadata": ('{"TTbar": {"files": ["a.root"], "metadata": 3}}', "TTbar.metadata: is no table"),
    "golden": ('{"297050": [[1, 100]]}', "is a list of good luminosity blocks, by run, and names no files"),
    "nothing": ("[]", "names no files"),
    "record": ('[{"dataset": []}]', "its entry 0 names no file"),
    "rucio without address": ('[{"scope": "user.me", "name": "a.root"}]', "its entry 0 names no file"),
    "broken": ('{"TTbar": [', "is not JSON: Expecting value: line 1"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_a_list_is_one_sentence_with_its_name(here, kind):
    text, what = FAULTS[kind]
    (here / "x.json").write_text(text)
    with pytest.raises(E2EError) as caught:
        expand_inputs(["x.json"])
    assert f"x.json: {what}" in str(caught.value)
    (here / "x.json.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"x.json.gz: can't be read as a list of files"):
        expand_inputs(["x.json.gz"])


def test_all_inputs_that_are_faulty_are_named_at_once(here):
    (here / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        expand_inputs(["gone.txt", "a.root", "empty", "*.none"])
    assert "3 of 4 inputs can't be used:" in str(caught.value)
    assert all(name in str(caught.value) for name in ("gone.txt", "empty", "*.none"))


def test_a_file_of_two_lists_is_refused(here):
    (here / "a.txt").write_text(DAS_TEXT)
    (here / "b.json").write_text(DAS_JSON)
    with pytest.raises(ConfigError, match=r"named more than once: .*0A1B.root"):
        expand_inputs(["a.txt", "b.json"])


@pytest.fixture
def crab(here):
    """A folder as CRAB leaves it, with links in circles, and outputs of ours in it."""
    base = here / "crab" / "TTbar" / "240101_120000"
    names = ["0000/a_1.root", "0000/a_2.root", "0001/a_1000.root", "0000/log/l.root", "0000/failed/a_3.root"]
    names += [
        ".hidden/x.root",
        "0000/.y.root",
        "0000/notes.txt",
        "out/plan.json",
        "out/aggregated/friends/a.root",
    ]
    names += ["all/summary.json", "all/table/p.parquet", "all/friends/b.root"]
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    (base / "0001" / "round").symlink_to(base)
    return base


def test_a_folder_is_searched_through_without_logs_failures_and_our_own_outputs(crab, here):
    said = []
    wanted = ["0000/a_1.root", "0000/a_2.root", "0001/a_1000.root"]
    assert urls_of("crab", say=said.append) == [f"{crab}/{name}" for name in wanted]
    assert said == [f"{here}/crab: 3 files in 2 folders"]
    assert urls_of("crab/TT*") == [f"{crab}/{name}" for name in wanted]
    (here / "mine.txt").write_text("crab/TTbar/\n")
    assert len(urls_of("mine.txt")) == 3
    assert urls_of(str(crab / "0000" / "failed")) == [f"{crab}/0000/failed/a_3.root"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_below_that_cannot_be_read_is_an_error(crab):
    (crab / "0001").chmod(0)
    with pytest.raises(InputError, match="can't be searched"):
        urls_of(str(crab))


class Pages(SimpleHTTPRequestHandler):
    """Python's own web server; below /nginx as nginx shows a folder, below /door one that shows none."""

    def log_message(self, *_):
        """Keep the test's output clean."""

    def do_GET(self):
        self.server.asked.append(self.path)
        where = self.path.partition("?")[0]
        if where.startswith("/nginx"):
            page = (
                '<h1>Index of</h1><a href="../">../</a> <a href="?C=N;O=D">Name</a> <a href="/other/">o</a>'
            )
            page += (
                '<a href="0000/">0000/</a> <a href="a%20b.root">a b.root</a> <a href="/nginx/c.root">c</a>'
            )
            page = '<a href="../">..</a><a href="d.root">d</a>' if where == "/nginx/0000/" else page
        elif where.startswith("/door"):
            page = "nothing to see"
        else:
            return super().do_GET()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(page.encode())
        return None


@pytest.fixture
def web(crab, here):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(here)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


ONCE = InputOptions(tries=1, timeout_s=5)


def test_globs_and_folders_of_a_web_server_are_listed(web, crab):
    server, url = web
    base = f"{url}/crab/TTbar/240101_120000"
    wanted = [f"{base}/{name}" for name in ("0000/a_1.root", "0000/a_2.root", "0001/a_1000.root")]
    assert urls_of(f"{base}/000?/a_*.root", options=ONCE) == [f"{base}/000?/a_*.root"]  # begins a query
    assert urls_of(f"{base}/000*/a_*.root", options=ONCE) == wanted
    assert urls_of(f"{base}/0000/", options=ONCE) == wanted[:2]
    with pytest.raises(InputError, match="more than 20 folders in each other"):
        urls_of(f"{url}/crab/*/24*/000*", options=ONCE)
    (crab / "0001" / "round").unlink()
    assert urls_of(f"{url}/crab/*/24*/000*", options=ONCE) == wanted
    server.asked.clear()
    with_token = urls_of(f"{base}/0001/*.root?authz=secret", options=ONCE)
    assert with_token == [f"{wanted[2]}?authz=secret"]
    assert server.asked == ["/crab/TTbar/240101_120000/0001/?authz=secret"]


def test_pages_of_other_servers_are_understood_or_refused(web):
    _, url = web
    found = urls_of(f"{url}/nginx/", options=ONCE)
    assert found == [f"{url}/nginx/0000/d.root", f"{url}/nginx/a%20b.root", f"{url}/nginx/c.root"]
    assert urls_of(f"{url}/nginx/a b*", options=ONCE) == [f"{url}/nginx/a%20b.root"]
    with pytest.raises(
        InputError, match=r"shows no list of this folder\. Name the files in a list, or use root://"
    ):
        urls_of(f"{url}/door/*.root", options=ONCE)
    with pytest.raises(InputError, match=r"lists no file z\*\.root"):
        urls_of(f"{url}/nginx/z*.root", options=ONCE)
    with pytest.raises(InputError, match=r"gone: can't be listed \(FileNotFoundError"):
        urls_of(f"{url}/gone/", options=ONCE)


def test_logical_names_with_a_glob_are_looked_up_at_the_redirectors(web):
    _, url = web
    options = InputOptions(redirectors=("http://127.0.0.1:9/", f"{url}/nginx"), tries=1, timeout_s=5)
    with pytest.raises(InputError) as caught:
        urls_of("/store/user/me/z*.root", options=options)
    assert "127.0.0.1:9" in str(caught.value)
    assert f"{url}/nginx/store/user/me" in str(caught.value)
    with pytest.raises(InputError, match="redirectors"):
        urls_of("/store/user/me/*.root", options=ONCE)
