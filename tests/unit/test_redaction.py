"""What of an address is kept and shown, and which spellings mean one file."""

import logging
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2edist.campaign.logfile import log_to
from e2edist.errors import E2EError, InputError, guarded
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.redaction import redact_word
from e2edist.storage.read_attempts import AttemptLog
from e2edist.urls import canonical, identity, public, redact

TOKEN = "SECRETabc.def-ghi"
FORMS = [
    "https://host/a.root?authz=Bearer%20{}",
    "https://host/a.root?authz=Bearer {}",
    "https://host/a.root?{}",
    "https://host/a.root#{}",
    "https://host/a.root?X-Amz-Credential=x%2Fy&X-Amz-Signature={}",
    "https://me:{}@host/a.root",
    "https://{}@host/a.root",
    "https://me:a?{}@host/a.root",
    "https://host?{}",
    "https://host/a.root;token={}",
    "root://host//a.root?xrd.wantprot=unix&authz=Bearer%20{}",
    "root://host//a.root&authz=Bearer%20{}",
    "roots://me:{}@host:1094//a.root",
    "s3://key:{}@bucket/a.root",
    "HTTPS://host/a.root?Token={}",
]


@pytest.mark.parametrize("form", FORMS)
def test_an_address_is_shown_without_its_secrets(form):
    url = form.format(TOKEN)
    assert "SECRET" not in public(url)
    for word in (url, f"--input={url}", f"TTbar={url}"):
        assert "SECRET" not in redact_word(word)
    assert public(public(url)) == public(url)
    assert "SECRET" not in Chunk(url, "f", "t", "u", 1, 1, 0, 1).url
    for text in (f"can't open '{url}', sorry", f"{url}:Events entries 0-1", f"message='x', url='{url}'"):
        assert "SECRET" not in redact(text, url)
        if " " not in url or "Bearer" in url:
            assert "SECRET" not in redact(text)


@pytest.mark.parametrize("form", FORMS)
def test_errors_and_what_was_tried_tell_no_secrets(form):
    url = form.format(TOKEN)
    journal = AttemptLog(url)
    with pytest.raises(InputError), journal.attempt(url, "open"), guarded(url, "fails", "See."):
        raise OSError(f"server says: {url} and also {TOKEN}")
    told = journal.error(InputError(url, f"fails with {url}"))
    for text in (
        str(told),
        repr(told),
        repr(vars(told)),
        repr(pickle.loads(pickle.dumps(told)).args),
        repr(journal),
    ):
        assert "SECRET" not in text
    failure = Failure.of(Chunk(url, "f", "t", "u", 1, 1, 0, 1), f"bug at {url}", 1, [f"bug at {url}"])
    assert "SECRET" not in repr(failure) or " " in url


@pytest.mark.parametrize(
    "text",
    [
        "/data/a?b=c.root: is cut short",
        "a=b, c:d, https://host/a.root: gone",
        "/data/run:1/x::y [z].root",
        "root://host//store/a.root:Events entries 0-5",
    ],
)
def test_what_has_no_secrets_is_told_as_it_is(text):
    assert redact(text) == text
    assert str(E2EError("", text)) == text


@given(
    st.text(alphabet="ab/:?#&;=@%*. '\"\\0[]", max_size=40),
    st.sampled_from(["", "http://", "root://", "x::y://"]),
)
def test_redacting_twice_is_redacting_once_and_never_fails(text, head):
    once = redact(head + text, head + text)
    assert redact(once) == redact(redact(once))
    assert public(public(head + text)) == public(head + text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("root://host//store/a.root", "root://HOST:1094/store//x/../a.root?authz=1"),
        ("root://host//store/a.root", "xroots://me@host//store/a.root&b=c"),
        ("https://host/a%7Eb.root", "HTTPS://host:443/./a~b.root?sig=1#x"),
        ("/data/a.root", "file:///data/x/../a.root"),
        ("/data/a b.root", "file://localhost/data/a%20b.root"),
    ],
)
def test_spellings_of_one_address_are_the_same(one, other):
    assert canonical(one) == canonical(other)
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://host/get?file=a", "https://host/get?file=b"),
        ("https://host/a.root", "https://host:8443/a.root"),
        ("root://one//a.root", "root://two//a.root"),
        ("/data/a%20b.root", "/data/a b.root"),
        ("https://host/A.root", "https://host/a.root"),
    ],
)
def test_other_files_are_not_the_same(one, other):
    assert identity(one) != identity(other)


def test_the_log_of_a_campaign_has_no_secrets_in_lines_nor_in_tracebacks(tmp_path):
    url = "https://me:SECRETword@host/a.root?authz=Bearer%20SECRETtoken"
    with log_to(tmp_path / "submit.log"):
        try:
            int(url)
        except ValueError:
            logging.getLogger("e2edist.campaign").exception("a plug-in failed at %s", url)
    text = (tmp_path / "submit.log").read_text()
    assert "Traceback" in text
    assert text.count("https://host/a.root") == 2
    assert "SECRET" not in text
