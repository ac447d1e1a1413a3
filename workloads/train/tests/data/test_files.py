"""Tokens are read where they lie, in every layout, and files that lie about themselves are told."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from skerry_train.data import open_split
from skerry_train.data.shards import Joined
from skerry_train.errors import BadData

TOKENS = np.arange(1000) % 300


def shard(
    tokens: "np.ndarray[tuple[int], np.dtype[np.int64]]", magic: int = 20240520, version: int = 1
) -> bytes:
    header = np.zeros(256, "<i4")
    header[:3] = magic, version, len(tokens)
    return header.tobytes() + tokens.astype("<u2" if version == 1 else "<u4").tobytes()


@pytest.mark.parametrize("kind", ["uint16", "uint32", "int32", "int64"])
def test_the_posts_layout(tmp_path: Path, kind: str) -> None:
    for name in ("train", "validation"):
        save_file({"tokens": TOKENS.astype(kind)}, tmp_path / f"{name}.safetensors")

    assert np.array_equal(open_split(tmp_path, "train").tokens[:], TOKENS)
    assert len(open_split(tmp_path, "validation")) == 1000


def test_nanogpt_s_layout(tmp_path: Path) -> None:
    TOKENS.astype("<u2").tofile(tmp_path / "train.bin")
    TOKENS[:10].astype("<u2").tofile(tmp_path / "val.bin")

    assert np.array_equal(open_split(tmp_path, "train").tokens[:], TOKENS)
    assert len(open_split(tmp_path, "validation")) == 10


@pytest.mark.parametrize(("magic", "version"), [(20240520, 1), (20240801, 7)])
def test_llm_c_s_layout_in_several_files(tmp_path: Path, magic: int, version: int) -> None:
    for number, part in enumerate(np.split(TOKENS, [300, 301, 900])):
        (tmp_path / f"fineweb_train_{number:06}.bin").write_bytes(shard(part, magic, version))
    (tmp_path / "fineweb_val_000000.bin").write_bytes(shard(TOKENS[:5], magic, version))

    tokens = open_split(tmp_path, "train").tokens

    assert np.array_equal(tokens[:], TOKENS)
    assert np.array_equal(tokens[298:302], TOKENS[298:302])
    assert len(open_split(tmp_path, "validation")) == 5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 60), st.integers(0, 60))
def test_files_that_are_joined_read_as_one(sizes: list[int], begin: int, end: int) -> None:
    whole = np.arange(sum(sizes), dtype=np.uint16)
    joined = Joined(np.split(whole, np.cumsum(sizes)[:-1]))

    assert len(joined) == len(whole)
    assert np.array_equal(joined[begin:end], whole[begin:end])


def header(**told: object) -> bytes:
    text = json.dumps(
        {"tokens": {"dtype": "U16", "shape": [4], "data_offsets": [0, 8]} | told}
    ).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\1", b"\xff" * 100, (5).to_bytes(8, "little") + b"{}", header(shape=[5]), header(shape=[2, 2]),
        header(dtype="F32"), header(data_offsets=[0, 1 << 60]), header(data_offsets=[-8, 0]), header()[:-1],
        header(shape=["4"]), header(data_offsets=None), (2).to_bytes(8, "little") + b"[]",
    ],
)  # fmt: skip
def test_a_safetensors_file_that_lies_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train.safetensors").write_bytes(data)

    with pytest.raises(BadData):
        open_split(tmp_path, "train")


@pytest.mark.parametrize(
    "data", [b"", b"\1", shard(TOKENS)[:-2], shard(TOKENS, 1), shard(TOKENS, version=2)]
)
def test_a_shard_that_lies_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a_train_0.bin").write_bytes(data)

    with pytest.raises(BadData):
        open_split(tmp_path, "train")


def test_a_missing_split_is_told_with_what_would_make_it(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="skerry-train prepare"):
        open_split(tmp_path, "train")
