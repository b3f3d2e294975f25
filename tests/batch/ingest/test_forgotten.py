"""List of forgotten users: hashes, added to and never ignored."""

import pytest

from reco_batch.data.dataset import RejectedRow
from reco_batch.errors import NightFailed
from reco_batch.ingest.forgotten import (
    Forgotten,
    clear_texts,
    list_of,
    read_forgotten,
    remember_again,
    remember_to_forget,
)


def test_users_are_added_as_hashes(tmp_path):
    """The file contains no ids; a home without one has no users to forget."""
    path = list_of(tmp_path, "reco")
    assert read_forgotten(path, ["7"]).among(["7", "8"]) == {"7"}
    remember_to_forget(path, ["person-42"])
    remember_to_forget(path, ["person-43", "person-42"])
    text = path.read_text("utf-8")
    assert "person" not in text
    known = read_forgotten(path, ["7"])
    assert (len(known), known.among(["person-42", "person-43", "person-4", "7"])) == (
        3,
        {"person-42", "person-43", "7"},
    )
    remember_to_forget(path, ["person-43"])
    assert path.read_text("utf-8") == text


def test_a_mistyped_user_is_removed(tmp_path):
    """The others stay, under the same salt; an unknown user changes nothing."""
    path = list_of(tmp_path, "reco")
    assert remember_again(path, ["person-1"]) == frozenset()
    assert not path.exists()
    remember_to_forget(path, ["person-1", "person-2"])
    assert remember_again(path, ["person-1", "person-3"]) == {"person-1"}
    known = read_forgotten(path)
    assert known.among(["person-1", "person-2"]) == {"person-2"}
    text = path.read_text("utf-8")
    assert remember_again(path, ["person-1"]) == frozenset()
    assert path.read_text("utf-8") == text
    remember_again(path, ["person-2"])
    assert len(read_forgotten(path)) == 0


@pytest.mark.parametrize("text", ["", "[]", '{"salt": "00"}', '{"salt": "00", "sha256": 7}'])
def test_a_damaged_list_is_an_error(tmp_path, text):
    """Otherwise the next run would bring everybody back."""
    path = tmp_path / "reco.json"
    path.write_text(text)
    with pytest.raises(NightFailed, match="cannot be read"):
        read_forgotten(path)


def test_texts_of_rejected_rows_are_cleared():
    """Whatever the delimiter and the quotes, but only where a whole value is the id."""
    rows = [
        RejectedRow("r.csv", n, "", text)
        for n, text in enumerate(
            (
                "1,42,x",
                '"42"; 3',
                '{"userId": "42", "movieId": 3}',
                '{"movieId": 3, "userId":42}',
                "421,4",
            )
        )
    ]
    cleared = clear_texts(rows, Forgotten(frozenset(["42"])))
    assert [row.row for row in cleared] == ["", "", "", "", "421,4"]
