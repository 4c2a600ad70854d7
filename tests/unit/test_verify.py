"""`aggregate --verify`: what is missing, damaged or foreign in a campaign's output is found."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from receipts import make_receipt

from e2edist.aggregate import main
from e2edist.input_file import FileInfo
from e2edist.records.folder import CampaignFolder
from e2edist.records.losses import write_losses
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan
from e2edist.records.verify import verify

UUID = "a" * 32


@pytest.fixture
def plan():
    file = FileInfo("a.root", "hits", "Events", UUID, 100, 30, (0, 10, 20, 30))
    return Plan({"name": "x"}, (file,), 8.0)


def rows_of(uuid, entries):
    """One photon in each entry."""
    names = {
        name: [word] * len(entries) for name, word in {"uuid": uuid, "kind": "photon", "object": 0}.items()
    }
    return pa.table(names | {"entry": list(entries)})


def put(folder, plan, chunk, rows=None, **changes):
    table = rows_of(chunk.uuid, range(chunk.start, chunk.stop)) if rows is None else rows
    proof = make_receipt(chunk, plan.fingerprint, rows=len(table))
    path = CampaignFolder(folder).part(chunk.id)
    write_part(path, table, lambda: replace(proof, **changes))
    return path


@pytest.fixture
def whole(tmp_path, plan):
    plan.write(tmp_path)
    return [put(tmp_path, plan, chunk) for chunk in plan.chunks()]


def test_a_whole_campaign_is_good(tmp_path, plan, whole):
    found = verify(tmp_path, plan)
    assert (found.good, found.parts, found.rows, found.events) == (True, 3, 30, 30)


def test_pieces_of_a_chunk_are_as_good_as_the_chunk(tmp_path, plan, whole):
    whole[1].unlink()
    for piece in plan.chunks()[1].halves():
        put(tmp_path, plan, piece)
    assert verify(tmp_path, plan).good


def test_a_deleted_part_is_missing(tmp_path, plan, whole):
    whole[1].unlink()
    found = verify(tmp_path, plan)
    assert [(chunk.start, chunk.stop) for chunk in found.missing] == [(10, 20)]


def test_entries_that_were_given_up_are_counted_and_not_missing(tmp_path, plan, whole):
    whole[1].unlink()
    put(tmp_path, plan, plan.chunks()[1].part(10, 14))
    put(tmp_path, plan, plan.chunks()[1].part(15, 20))
    row = {"url": "a.root", "uuid": UUID, "tree": "Events", "start": 14, "stop": 15, "events": 1}
    write_losses(
        CampaignFolder(tmp_path).losses,
        [row | {"fraction": 1 / 30, "reason": "x", "attempts": 3, "tried": []}],
    )
    found = verify(tmp_path, plan)
    assert (found.good, found.given_up, found.events) == (True, 1, 29)


@pytest.mark.parametrize(("start", "stop"), [(12, 15), (10, 15), (15, 20)])
def test_a_piece_beside_the_whole_chunk_is_foreign(tmp_path, plan, whole, start, stop):
    piece = put(tmp_path, plan, plan.chunks()[1].part(start, stop))
    found = verify(tmp_path, plan)
    assert [path for path, _ in found.foreign] == [piece]
    assert (found.events, found.missing) == (30, [])


def test_a_part_of_another_plan_is_foreign(tmp_path, plan, whole):
    put(tmp_path, plan, plan.chunks()[0], fingerprint="other")
    found = verify(tmp_path, plan)
    assert len(found.foreign) == len(found.missing) == 1


@pytest.mark.parametrize(
    ("uuid", "entries", "why"),
    [
        (UUID, [10, 11, 11, 12], "two rows of one key"),
        (UUID, [10, 19, 20], "entries 10-20"),
        (UUID, [9, 10], "entries 9-10"),
        ("b" * 32, [10, 11], "another file"),
    ],
)
def test_a_part_with_rows_that_it_can_not_have_is_damaged(tmp_path, plan, whole, uuid, entries, why):
    path = put(tmp_path, plan, plan.chunks()[1], rows_of(uuid, entries))
    ((damaged, said),) = verify(tmp_path, plan).damaged
    assert damaged == path
    assert why in said


def test_rows_in_another_order_are_as_good(tmp_path, plan, whole):
    put(tmp_path, plan, plan.chunks()[1], rows_of(UUID, [12, 10, 19, 11]))
    assert verify(tmp_path, plan).good


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte_is_damage_or_changes_nothing_that_is_read(tmp_path, plan, whole, fraction):
    before, content = pq.read_table(whole[2]), bytearray(whole[2].read_bytes())
    content[int(len(content) * fraction)] ^= 0x10
    whole[2].write_bytes(content)
    found = verify(tmp_path, plan)
    if found.good:
        assert pq.read_table(whole[2]).equals(before)
    else:
        assert [path for path, _ in (*found.damaged, *found.foreign)] == [whole[2]]


def test_the_verb_says_what_is_wrong_and_discards_it_on_request(tmp_path, plan, whole, capsys):
    whole[0].write_bytes(b"PAR1")
    assert main([str(tmp_path), "--verify"]) == 1
    assert whole[0].exists()
    assert main([str(tmp_path), "--verify", "--discard"]) == 1
    assert not whole[0].exists()
    put(tmp_path, plan, plan.chunks()[0])
    assert main([str(tmp_path), "--verify"]) == 0
    said = capsys.readouterr()
    assert f"damaged {whole[0]}" in said.out
    assert "1 range missing, 1 part damaged, 0 foreign" in said.err


def test_a_part_that_can_not_be_opened_is_neither_damaged_nor_missing_nor_removed(
    tmp_path, plan, whole, capsys
):
    whole[0].unlink()
    whole[0].symlink_to(whole[0].name)  # opening it fails, as of a server that is away
    found = verify(tmp_path, plan)
    assert [path for path, _ in found.unreadable] == [whole[0]]
    assert (found.good, found.damaged, found.foreign, found.missing) == (False, [], [], [])
    for words in (["--verify"], ["--verify", "--discard"], []):
        assert main([str(tmp_path), *words]) == 1
        said = capsys.readouterr()
        assert f"unreadable {whole[0]}" in said.out + said.err
        assert "0 parts damaged, 1 can't be read now, 0 foreign" in said.err
        assert "permissions" in said.err
        assert whole[0].is_symlink()


def test_a_list_of_losses_that_can_not_be_opened_is_not_an_empty_one(tmp_path, plan, whole, capsys):
    (tmp_path / "bad.parquet").symlink_to("bad.parquet")
    assert main([str(tmp_path), "--verify"]) == 2
    assert "bad.parquet: can't be read" in capsys.readouterr().err


def test_a_folder_of_parts_that_can_not_be_listed_is_not_an_empty_one(tmp_path, plan, capsys):
    plan.write(tmp_path)
    CampaignFolder(tmp_path).predictions.symlink_to(CampaignFolder.predictions.name)
    assert main([str(tmp_path), "--verify"]) == 2
    assert "can't be listed" in capsys.readouterr().err


def test_a_folder_without_a_campaign_is_the_users_mistake(tmp_path, capsys):
    assert main([str(tmp_path), "--verify"]) == 2
    assert "holds no campaign" in capsys.readouterr().err


def test_a_file_that_is_not_named_as_a_part_is_never_removed(tmp_path, plan, whole, capsys):
    stray = CampaignFolder(tmp_path).predictions / "mine.parquet"
    stray.write_bytes(b"anything")
    assert main([str(tmp_path), "--verify", "--discard"]) == 1
    assert stray.read_bytes() == b"anything"
    assert "mine.parquet: is not named as a part: it stays" in capsys.readouterr().out
    assert all(path.exists() for path in whole)
