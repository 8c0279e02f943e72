"""Files appear whole or not at all."""

import pytest

from cqlbench.writers import CsvWriter, aside, write_json


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), aside(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_table_takes_its_place_when_its_block_ends_well(tmp_path):
    path = tmp_path / "train.csv"
    with CsvWriter(path) as table:
        table.write({"update": 1, "loss": 0.1})
        assert not path.exists()
        assert (tmp_path / "train.csv.partial").read_text() == "update,loss\n1,0.1\n"  # can be watched
        with pytest.raises(ValueError):
            table.write({"update": 2, "another": 0.2})
    assert path.read_text() == "update,loss\n1,0.1\n"
    with pytest.raises(RuntimeError), CsvWriter(path) as table:
        table.write({"update": 9, "loss": 0.9})
        raise RuntimeError
    assert path.read_text() == "update,loss\n1,0.1\n"


def test_json_ends_with_a_line_end_and_keeps_the_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    1\n  ]\n}\n'


def test_a_file_is_for_whom_other_files_are(tmp_path):
    other = tmp_path / "other"
    other.touch()
    with aside(tmp_path / "policy") as beside:
        beside.touch()
        beside.chmod(0o600)  # as safetensors does
    assert (tmp_path / "policy").stat().st_mode == other.stat().st_mode
