"""Names of input files."""

from pathlib import Path

import pytest

from e2edist.config.inputs import InputSpec
from e2edist.config.toml_models import parse
from e2edist.errors import ConfigError, InputError
from e2edist.storage.read_inputs import InputOptions
from e2edist.urls import host, local_path, replicas, scheme

FNAL, CERN = "root://cmsxrootd.fnal.gov/", "root://xrootd-cms.infn.it"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/data/a.root", ""),
        ("a:b.root", ""),
        ("folder/we://rd.root", ""),
        ("ROOT://host//store/a.root", "root"),
        ("https://host/a.root", "https"),
        ("file:///a.root", "file"),
        ("file:/a.root", "file"),
    ],
)
def test_the_scheme_is_told_from_odd_file_names(url, kind):
    assert scheme(url) == kind


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/a%20b.root", "/data/a%20b.root"),
        ("rel/a#1.root", "rel/a#1.root"),
        ("file:///data/a%20b.root", "/data/a b.root"),
        ("file:///data/50%25.root", "/data/50%.root"),
        ("file:///data/a#1.root", "/data/a#1.root"),
        ("file:///data/a?b.root", "/data/a?b.root"),
        ("file:///data/caf%C3%A9.root", "/data/café.root"),
        ("file://localhost/a.root", "/a.root"),
        ("file:/a%20b.root", "/a b.root"),
        ("FILE:///a.root", "/a.root"),
    ],
)
def test_percent_signs_are_decoded_in_file_urls_alone(url, path):
    assert local_path(url) == Path(path)


@pytest.mark.parametrize("url", ["root://h//a.root", "http://h/a.root", "s3://bucket/a.root"])
def test_what_needs_a_network_has_no_local_path(url):
    assert local_path(url) is None


@pytest.mark.parametrize("url", ["file://other.host/a.root", "file://a.root"])
def test_a_file_url_of_another_host_is_refused(url):
    with pytest.raises(InputError, match="file:///"):
        local_path(url)


@pytest.mark.parametrize(
    ("url", "servers", "expected"),
    [
        ("/data/a.root", [FNAL], []),
        ("file:///data/a.root", [FNAL], []),
        ("root://near:1094//store/a.root", [], []),
        (
            "root://near//store/a.root",
            [FNAL, CERN],
            ["root://cmsxrootd.fnal.gov//store/a.root", "root://xrootd-cms.infn.it//store/a.root"],
        ),
        ("root://near/store/a.root", [CERN], ["root://xrootd-cms.infn.it//store/a.root"]),
        ("/store/a.root", [FNAL], ["root://cmsxrootd.fnal.gov//store/a.root"]),
        ("/store/a.root", ["https://mirror/cms/"], ["https://mirror/cms/store/a.root"]),
        ("root://near//store/a.root", ["root://eos//eos/uscms/"], ["root://eos//eos/uscms/store/a.root"]),
        ("http://near/x/a.root", [FNAL, "https://mirror"], ["https://mirror/x/a.root"]),
        ("root://cmsxrootd.fnal.gov//store/a.root", [FNAL, FNAL], []),
    ],
)
def test_other_places_have_the_same_path(url, servers, expected):
    assert replicas(url, servers) == [url, *expected]


def test_tokens_and_user_names_stay_with_their_host():
    url = "root://me@near//store/a.root?authz=Bearer%20secret"
    assert replicas(url, [CERN]) == [url, "root://xrootd-cms.infn.it//store/a.root"]


def test_a_site_file_gives_the_options():
    spec = parse(InputSpec, {"redirectors": [FNAL], "stage": "fallback", "cache_gib": 50}, "site")
    options = InputOptions(**spec.model_dump())
    assert options.redirectors == (FNAL,)
    assert options.cache_gib == 50.0
    defaults = InputSpec().model_dump()
    assert InputOptions() == InputOptions(**defaults)


@pytest.mark.parametrize(
    "fault",
    [
        {"redirectors": ["host"]},
        {"redirectors": ["ftp://h"]},
        {"stage": "maybe"},
        {"cache_gib": 0},
        {"tries": 0},
    ],
)
def test_faults_of_a_site_file_are_named(fault):
    with pytest.raises(ConfigError, match=next(iter(fault))):
        parse(InputSpec, fault, "site")


@pytest.mark.parametrize(
    ("url", "name"),
    [("root://Near:1094//a", "near:1094"), ("http://[::1", "[::1"), ("/a/b", ""), ("file:///a", "")],
)
def test_the_server_of_a_url_is_told_however_odd_it_is(url, name):
    assert host(url) == name
    assert replicas(url, ["root://far", "http://far"])[0] == url
