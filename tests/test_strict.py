"""Files that could be read in two ways are not read at all, and the message says which file and where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.errors import FolderError
from atlasmoe.moe.strict import parse_tensors, parse_toml, tensors_of_schema
from atlasmoe.moe.typed_json import Fields, parse_json
from safetensors import numpy as safetensors

PLACE = Path("a/file")
GOOD = {"a": np.arange(3.0), "b": np.zeros((2, 2), np.float32), "none": np.zeros(0, np.uint8)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"epsilon": 1e-9, "epsilon": 0.1}', "'epsilon' is there twice"),
        ('{"a": [{"b": {"c": 1, "c": 1}}]}', "'c' is there twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' is there twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "1e999 is beyond float64"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": 1} {}', "Extra data"),
        ('{"a": 1}\0', "Extra data"),
        ('\ufeff{"a": 1}', "BOM"),
        ('{"a": "\n"}', "Invalid control character"),
        ("[" * 10**6, "recursion"),
        ('{"a": ' + "9" * 5000 + "}", "limit"),
    ],
)
def test_json_that_could_be_read_in_two_ways(text: str, complaint: str) -> None:
    with pytest.raises(FolderError, match=f"a/file: is not valid JSON.*{complaint}"):
        parse_json(text.encode(), PLACE)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(FolderError, match=r"a/file: claims\[0\]: 'proof' is no field of it"):
        Fields.of({"claims": [{"name": "total", "proof": "trust me"}]}, PLACE).children("claims")[0].only("name")


def packed(header: object, body: bytes, pad: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text + pad).to_bytes(8, "little") + text + pad + body


def entry(begin: int, end: int, shape: list[int] | None = None, dtype: str = "F64") -> dict[str, object]:
    return {"dtype": dtype, "shape": [(end - begin) // 8] if shape is None else shape, "data_offsets": [begin, end]}


def test_honest_tensors_come_back() -> None:
    arrays, metadata = parse_tensors(safetensors.save(GOOD, metadata={"schema": "2"}), PLACE)
    assert metadata == {"schema": "2"}
    assert set(arrays) == set(GOOD)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, GOOD[name])
    assert parse_tensors(packed({"a": entry(0, 8)}, bytes(8), b"  "), PLACE)[0]["a"].tolist() == [0.0]


TWICE = ('{"a":' + json.dumps(entry(0, 8)) + ',"a":' + json.dumps(entry(0, 8)) + "}").encode()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "does not begin with the size"),
        (b"\xff" * 64, "does not begin with the size"),
        (packed(b"[]", b""), "its header is no JSON object"),
        (packed(b" {}", b""), "its header is no JSON object"),
        (packed(TWICE, bytes(8)), "'a' is there twice"),
        (packed(b'{"a":{"dtype":"F64","shape":[1],"shape":[1],"data_offsets":[0,8]}}', bytes(8)), "'shape' is there twice"),
        (packed(b'{"__metadata__":{"schema":"2","schema":"1"}}', b""), "'schema' is there twice"),
        (packed({"a": entry(0, 8)}, bytes(9)), "fill 8 bytes, but there are 9"),
        (packed({"a": entry(0, 8)}, bytes(7)), "fill 8 bytes, but there are 7"),
        (packed({"a": entry(8, 16)}, bytes(16)), "tensor a begins at byte 8, but what is before it ends at 0"),
        (packed({"a": entry(0, 16), "b": entry(8, 24)}, bytes(24)), "tensor b begins at byte 8, but what is before it ends at 16"),
        (packed({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)), "tensor b begins at byte 0"),
        (packed({"a": {**entry(0, 8), "more": 1}}, bytes(8)), "tensor a: 'more' is no field"),
        (packed({"a": entry(0, 8, [2])}, bytes(8)), "has 8 bytes, but its dtype and shape say 16"),
        (packed({"a": entry(0, 8, [-1])}, bytes(8)), "not a count"),
        (packed({"a": entry(0, 8, dtype="F128")}, bytes(8)), "'F128', not one of"),
        (packed({"a": {"dtype": "F64", "shape": [True], "data_offsets": [0, 8]}}, bytes(8)), "not an integer"),
        (packed({"__metadata__": {"schema": 2}}, b""), "not an object of strings"),
        (packed({"a": [0, 8]}, bytes(8)), "tensor a is not a JSON object"),
        (packed(b'{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}{}', bytes(8)), "Extra data"),
        (packed(b'{"a":{"dtype":"F64","shape":[1e0],"data_offsets":[0,8]}}', bytes(8)), "not an integer"),
        (packed({"a": entry(0, 2**62, [2**59])}, bytes(8)), "but there are 8"),
    ],
)  # fmt: skip
def test_tensors_that_could_be_read_in_two_ways(data: bytes, complaint: str) -> None:
    with pytest.raises(FolderError, match=complaint) as caught:
        parse_tensors(data, PLACE)
    assert str(caught.value).startswith("a/file: ")


def test_metadata_is_a_schema_version_and_nothing_else() -> None:
    for metadata in (None, {"schema": "3"}, {"schema": "2", "note": "trust me"}, {}):
        with pytest.raises(FolderError, match="its metadata is"):
            tensors_of_schema(safetensors.save(GOOD, metadata=metadata), PLACE, (1, 2))
    assert set(tensors_of_schema(safetensors.save(GOOD, metadata={"schema": "1"}), PLACE, (1, 2))) == set(GOOD)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = 1\na = 2", "not valid TOML"),
        ("[t]\nx = [1, {y = nan}]", r"t\.x\[1\]\.y: is nan"),
        ("x = -inf", "x: is -inf"),
        ("x = 1979-05-27", "x: is a date"),
        ("x = 07:32:00", "x: is a date or a time"),
        (f"x = {2**63}", "beyond 64 bits"),
        (f"x = {'9' * 5000}", "not valid TOML"),
        ("\ufeffx = 1", "not valid TOML"),
        ("x = 1\0", "not valid TOML"),
        ("x = " + "[" * 100 + "]" * 100, "tables deep"),
        ("x = " + "[" * 10**5, "not valid TOML"),
    ],
)
def test_toml_that_no_task_is_written_in(text: str, complaint: str) -> None:
    with pytest.raises(FolderError, match=f"a/file: .*{complaint}"):
        parse_toml(text.encode(), PLACE)
