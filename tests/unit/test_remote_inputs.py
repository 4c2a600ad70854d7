"""Proxy, token, packages and servers of inputs over a network: real certificates, a real socket."""

import base64
import datetime
import json
import os
import socket
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2edist.checks.remote_inputs import check_remote, find_proxy, find_token
from e2edist.config.site import SiteSpec
from e2edist.config.toml_models import parse
from e2edist.install_hint import pip_install

VOMS = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5"), b"0")


@pytest.fixture(autouse=True)
def nothing_of_mine(tmp_path, monkeypatch):
    """No proxy and no token but those of the test."""
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "proxy"))
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "token"))
    for name in ("BEARER_TOKEN", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def write_proxy(path, hours, *, voms=True, mode=0o600):
    now, key = datetime.datetime.now(datetime.UTC), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    ends = now + datetime.timedelta(hours=hours)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, ends - datetime.timedelta(days=9), ends)
    if voms:
        made = made.add_extension(VOMS, critical=False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + secret
    path.write_bytes(content)
    path.chmod(mode)


def write_token(path, hours):
    body = json.dumps({"exp": time.time() + 3600 * hours}).encode()
    path.write_text(f"h.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.s\n")


def site_of(redirectors=(), **pool):
    content = {"name": "test", "inputs": {"redirectors": list(redirectors)}, "pools": {"cpu": pool}}
    return parse(SiteSpec, content, "test")


def access(site, inputs=("root://127.0.0.1:1//store/a.root",)):
    return next(f for f in check_remote(site, inputs) if f.topic == "grid access")


def test_without_inputs_over_a_network_nothing_is_looked_at():
    assert list(check_remote(site_of(), ["/data/a.root"])) == []


def test_no_proxy_and_no_token_is_a_warning_with_the_command(tmp_path):
    found = access(site_of())
    assert (found.level, found.text) == ("warn", f"no grid proxy at {tmp_path / 'proxy'}, and no token")
    assert "voms-proxy-init -voms cms" in found.todo


def test_a_proxy_says_how_long_it_lasts(tmp_path):
    write_proxy(tmp_path / "proxy", 10)
    found = access(site_of())
    assert (found.level, found.text) == ("ok", f"proxy {tmp_path / 'proxy'}, valid for 10.0 h")


def test_a_proxy_that_ends_before_the_jobs_is_a_warning(tmp_path):
    write_proxy(tmp_path / "proxy", 2)
    found = access(site_of(kind="slurm", job={"walltime_min": 480}))
    assert found.level == "warn"
    assert found.text.endswith("valid for 2.0 h; jobs of cpu may last 8 h")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"hours": -3}, "expired 3.0 h ago"),
        ({"hours": 5, "voms": False}, "has no VOMS attributes"),
        ({"hours": 5, "mode": 0o644}, "others can read it"),
    ],
)
def test_a_proxy_that_will_not_do_says_why(tmp_path, how, why):
    write_proxy(tmp_path / "proxy", **how)
    found = access(site_of())
    assert found.level == "warn"
    assert why in found.text


def test_what_is_no_certificate_is_no_proxy(tmp_path):
    (tmp_path / "proxy").write_text("hello")
    assert "can't be read" in find_proxy().fault


def test_jobs_that_take_the_proxy_along_fail_without_one(tmp_path):
    site = site_of(kind="htcondor", job={"attributes": {"use_x509userproxy": "true"}})
    write_token(tmp_path / "token", 5)  # of no use to HTCondor
    found = access(site, ())
    assert (found.level, found.text) == ("fail", f"no grid proxy at {tmp_path / 'proxy'}")


def test_a_token_is_enough_where_there_is_no_proxy(tmp_path):
    write_token(tmp_path / "token", 5)
    found = access(site_of())
    assert (found.level, found.text) == ("ok", f"token {tmp_path / 'token'}, valid for 5.0 h")


def test_a_token_is_found_where_wlcg_says(tmp_path, monkeypatch):
    monkeypatch.delenv("BEARER_TOKEN_FILE")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    write_token(tmp_path / f"bt_u{os.getuid()}", 1)
    assert find_token().name == f"token {tmp_path}/bt_u{os.getuid()}"
    monkeypatch.setenv("BEARER_TOKEN", "secret")
    assert find_token().fault == "is no token with an end (JWT)"
    assert "secret" not in str(find_token())


def test_servers_that_answer_and_that_do_not_are_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()[1]
        found = check_remote(site_of([f"root://127.0.0.1:{here}/", "root://127.0.0.1:1/"]), ())
        levels = [(f.level, f.text.split()[0]) for f in found if f.topic == "input server"]
    assert levels == [("ok", f"127.0.0.1:{here}"), ("warn", "127.0.0.1:1")]


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr("e2edist.storage._remote_files.find_spec", lambda _: None)
    found = next(check_remote(site_of(), ["root://127.0.0.1:1//a.root"]))
    assert (found.level, found.topic) == ("fail", "root:// inputs")
    assert pip_install("xrootd") in found.todo
    far = site_of(["root://127.0.0.1:1/"])
    assert next(check_remote(far, ())).level == "warn"
    assert next(check_remote(far, ["/store/a.root"])).level == "fail"
