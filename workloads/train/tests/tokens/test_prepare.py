"""A data set is made of text, the same whatever happened on the way, and holds all of it."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skerry_train.data import open_split
from skerry_train.errors import BadData, NoRoom
from skerry_train.tokens import Wish, documents, find_files, learn, learn_words, load_words, prepare

TEXTS = [
    f"The {number}. document.\nIt has {number} words and ünïcödé.\n" * number
    for number in range(1, 60)
]
FILES = ["train.safetensors", "validation.safetensors", "tokenizer.json", "dataset.json"]


def write(folder: Path, texts: list[str] = TEXTS) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number:03}.txt").write_text(text)
    return folder


def read(folder: Path, split: Any) -> str:
    return load_words(folder).decode([int(each) for each in open_split(folder, split).tokens[:]])


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_data_set_holds_all_documents_each_with_its_end(tmp_path: Path) -> None:
    wish = Wish([write(tmp_path / "text")], tmp_path / "set", held_back=0.1)

    record = prepare(wish, learn(wish, 400))

    texts = [f"{file.read_text()}<|endoftext|>" for file in find_files(wish.sources)]
    assert sorted(texts) == sorted(f"{text}<|endoftext|>" for text in TEXTS)
    assert read(tmp_path / "set", "train") == "".join(texts[:53])
    assert read(tmp_path / "set", "validation") == "".join(texts[53:])
    assert record["documents"] == 59
    assert record["train_tokens"] == len(open_split(tmp_path / "set", "train"))
    assert sorted(each.name for each in (tmp_path / "set").iterdir()) == sorted(FILES)


def test_of_a_single_document_the_end_is_held_back(tmp_path: Path) -> None:
    text = "".join(f"{number}\n" for number in range(1000))
    record = prepare(
        Wish([write(tmp_path / "text", [text])], tmp_path / "set", 0.1), learn_words(TEXTS, 300)
    )

    both = read(tmp_path / "set", "train") + read(tmp_path / "set", "validation")
    assert both == f"{text}<|endoftext|>"
    assert record["validation_tokens"] == pytest.approx(record["train_tokens"] / 9, abs=1)


def test_the_order_of_files_has_nothing_to_do_with_their_names(tmp_path: Path) -> None:
    folder = write(tmp_path / "text")
    names = [each.name for each in find_files([folder])]

    assert names == [each.name for each in find_files([folder])]
    assert names[:20] != sorted(names)[:20] != names[-20:]
    assert find_files([folder / "003.txt", folder / "001.txt"])[0].name == "003.txt"


def test_the_layout_is_the_posts(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    wish = Wish([write(tmp_path / "text")], tmp_path / "set")
    record = prepare(wish, learn(wish, 300))

    tokens = load_file(tmp_path / "set" / "train.safetensors")["tokens"]
    assert (tokens.dtype, tokens.shape) == (np.uint16, (record["train_tokens"],))


def test_lines_of_json_are_documents_and_so_are_packed_files(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": text, "other": 1}) for text in TEXTS)
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(lines)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"the last"))
    wish = Wish([tmp_path], tmp_path / "set", held_back=0)

    prepare(wish, learn(wish, 300))

    assert read(tmp_path / "set", "train").split("<|endoftext|>") == [*TEXTS, "the last", ""]


@pytest.mark.parametrize("piece_bytes", [1, 7, 64])
def test_a_document_in_pieces_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    words = learn_words(TEXTS, 300)
    monkeypatch.setattr(documents, "_PIECE_BYTES", piece_bytes)
    text = "".join(f"{number} word\n" for number in range(100))

    prepare(Wish([write(tmp_path / "text", [text] * 3)], tmp_path / "set", 0), words)

    assert read(tmp_path / "set", "train") == f"{text}<|endoftext|>" * 3


class Killed(BaseException):
    """The process ends here."""


def test_what_was_broken_off_is_gone_on_with_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["skerry_train.tokens.prepare"], "_BATCH_PIECES", 7)
    monkeypatch.setattr(documents, "_PIECE_BYTES", 100)
    text = write(tmp_path / "text")
    words = learn(Wish([text], tmp_path), 300)
    prepare(Wish([text], tmp_path / "whole", 0.1), words)
    seen: list[int] = []

    def die(characters: int) -> None:
        seen.append(characters)
        if len(seen) % 5 == 0:
            raise Killed

    breaks = 0
    while not (tmp_path / "broken" / "dataset.json").exists():
        try:
            prepare(Wish([text], tmp_path / "broken", 0.1), words, die)
        except Killed:
            breaks += 1

    assert breaks > 5
    assert sum(seen) == sum(map(len, TEXTS))
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_another_order_begins_anew(tmp_path: Path) -> None:
    text = write(tmp_path / "text")
    words = learn(Wish([text], tmp_path), 300)

    def die(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        prepare(Wish([text], tmp_path / "set", 0.1), words, die)
    (text / "000.txt").write_text("other")
    prepare(Wish([text], tmp_path / "set", 0.1), words)

    assert "other<|endoftext|>" in read(tmp_path / "set", "train")


def test_a_wide_vocabulary_has_wide_tokens(tmp_path: Path) -> None:
    text = write(tmp_path / "text", [" ".join(f"{n * 7919:x}" for n in range(300_000))])
    wish = Wish([text], tmp_path / "set", 0)
    words = learn(wish, 70_000)

    prepare(wish, words)

    assert words.vocab_size > 1 << 16
    assert open_split(tmp_path / "set", "train").tokens[:].dtype == np.uint32
    assert read(tmp_path / "set", "train").endswith(f" {299_999 * 7919:x}<|endoftext|>")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", b"{", "not JSON"), ("a.jsonl", b'{"txt": 1}', "without a `text`"),
        ("a.jsonl", b"[1]", "without a `text`"), ("a.txt.gz", b"no gzip", "can not be read"),
        ("a.bin", b"x", "no text in"), ("a.txt", b"", "no text in"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_told(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / name).write_bytes(data)

    with pytest.raises(BadData, match=words):
        prepare(Wish([tmp_path / "text"], tmp_path / "set"), learn_words(TEXTS, 300))


def test_bytes_that_are_no_text_are_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\0 odd")
    prepare(Wish([tmp_path / "a.txt"], tmp_path / "set", 0), learn_words(TEXTS, 300))

    assert read(tmp_path / "set", "train") == "��\0 odd<|endoftext|>"


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    wish = Wish([write(tmp_path / "text")], tmp_path / "set")
    prepare(wish, learn(wish, 300))

    with pytest.raises(BadData, match="has a data set already"):
        prepare(wish, learn(wish, 300))


def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path) -> None:
    """The disk is a file system of its own that is really full."""
    place = tmp_path / "set"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can make a small file system")
    wish = Wish([write(tmp_path / "text")], place)
    words = learn(wish, 300)
    try:
        (place / "filler").write_bytes(bytes(150_000))
        with pytest.raises(NoRoom, match="the disk is full"):
            prepare(wish, words)
        (place / "filler").unlink()
        prepare(wish, words)
        assert TEXTS[0] in read(place, "train")
    finally:
        subprocess.run(["umount", str(place)], check=True)
