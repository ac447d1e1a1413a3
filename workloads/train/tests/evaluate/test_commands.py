"""The commands, from a folder of weights to a table of scores: as a user types them."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from skerry_train.cli import main
from skerry_train.evaluate import mean_loss, note, read_answers, read_evaluation
from tests.evaluate.judge_server import Answer, judge_server, said
from tests.evaluate.runs import NET, TOKENS, make_data, make_exercises, make_run


def test_sample_writes_on_from_the_prompt_by_its_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(make_run(tmp_path))

    for seed in ("1", "1", "2"):
        assert (
            main(["sample", run, "--seed", seed, "--temperature", "1.4", "--new-tokens", "30"]) == 0
        )

    texts = capsys.readouterr().out.split("Every effort moves you")[1:]
    assert texts[0] == texts[1] != texts[2]


def test_sample_goes_on_from_nothing_and_greedily(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(make_run(tmp_path))

    assert main(["sample", run, "--prompt", "", "--temperature", "0", "--count", "2"]) == 0

    assert capsys.readouterr().out


def test_evaluate_prints_and_keeps_the_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = make_run(tmp_path), make_data(tmp_path / "data")

    assert (
        main(
            ["evaluate", str(run), str(data), "--start", "1000", "--tokens", "3001", "--batch", "7"]
        )
        == 0
    )

    loss = mean_loss(NET, TOKENS[1000:4002])
    assert f"{loss:.6f} over 3,001 tokens" in capsys.readouterr().out
    kept = read_evaluation(run)
    assert kept["held_back_loss"] == pytest.approx(loss, abs=1e-6)
    assert (kept["held_back"]["start"], kept["held_back"]["dataset"]) == (1000, "me/text")


def test_evaluate_refuses_what_the_run_validated_on_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = make_run(tmp_path), make_data(tmp_path / "data")
    asked = ["evaluate", str(run), str(data), "--start", "868", "--tokens", "100"]

    assert main(asked) == 2  # the run looked at 3 batches of 4 x 64 from 100 on: up to 869

    assert "validated on tokens 100 to 869" in capsys.readouterr().err
    assert main([*asked, "--overlap"]) == 0
    assert main([*asked[:4], "869", *asked[5:]]) == 0


def test_instruct_keeps_answers_and_judge_compares_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(tmp_path, name) for name in ("ant", "bee")]
    data = str(make_exercises(tmp_path))
    for run in runs:
        quick = ["--epochs-max", "2", "--answer-max", "5", "--learning-rate", "1e-3"]
        assert main(["instruct", str(run), data, *quick]) == 0
    assert read_answers(runs[0]).plan["learning_rate"] == 1e-3

    with judge_server(lambda *_: said(json.dumps({"1": 60, "2": 20}))) as server:
        out = str(tmp_path / "out")
        asked = [
            "judge",
            *map(str, runs),
            "--url",
            server.url,
            "--model",
            "j",
            "--repeats",
            "3",
            "--out",
            out,
        ]
        assert main(asked) == 0
        assert main(asked) == 0

    assert len(server.asked) == 3 * 2
    scores = [read_evaluation(run)["instruct_score"] for run in runs]
    assert scores[0]["mean"] + scores[1]["mean"] == pytest.approx(80)
    assert scores[0]["epochs"] == read_answers(runs[0]).epochs
    assert "| Model | Score |" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "judging.json").read_text())["items"]) == 2


def test_judge_sends_the_key_and_shows_it_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    main(
        [
            "instruct",
            str(run),
            str(make_exercises(tmp_path)),
            "--epochs-max",
            "1",
            "--answer-max",
            "2",
        ]
    )
    monkeypatch.setenv("MY_KEY", "sk-very-secret")

    with judge_server(lambda *_: (403, b"not with sk-very-secret")) as server:
        asked = [
            "judge",
            str(run),
            "--url",
            server.url,
            "--model",
            "j",
            "--out",
            str(tmp_path / "out"),
        ]
        assert main([*asked, "--key-env", "MY_KEY"]) == 9

    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    written = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()]
    assert not any(b"very-secret" in each for each in written)
    assert "very-secret" not in "".join(capsys.readouterr())


def test_export_makes_a_folder_that_writes_as_the_run_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = make_run(tmp_path), tmp_path / "hub"

    assert main(["export", str(run), str(folder), "--licence", "mit"]) == 0
    main(["sample", str(run), "--temperature", "0", "--new-tokens", "12"])

    theirs: Any = AutoModelForCausalLM.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    ids = words("Every effort moves you", return_tensors="pt").input_ids
    written = theirs.generate(
        ids, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids)
    )
    text = words.decode(written[0], skip_special_tokens=True)
    assert capsys.readouterr().out.split(f"{folder}\n")[1] == f"{text}\n"
    assert "| Learning rate | 0.0014 |" in (folder / "README.md").read_text()


def test_a_card_tells_only_what_was_measured_on_its_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    how = {"checkpoint": (run / "checkpoints" / "best").readlink().name}
    note(
        run,
        held_back_loss=3.5,
        held_back=how,
        instruct_score={"mean": 22.98, "checkpoint": "older"},
    )

    main(["export", str(run), str(tmp_path / "hub")])

    card = (tmp_path / "hub" / "README.md").read_text()
    assert "3.500000" in card
    assert "22.98" not in card


def test_a_judging_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    run, out = make_run(tmp_path), tmp_path / "out"
    quick = ["--epochs-max", "1", "--answer-max", "2"]
    main(["instruct", str(run), str(make_exercises(tmp_path, 100)), *quick])
    killed: list[subprocess.Popen[bytes]] = []
    is_begun = threading.Event()

    def decide(request: dict[str, Any], count: int) -> Answer:
        if count == 6 and is_begun.wait(60):
            killed[0].kill()
            killed[0].wait()
        return said('{"1": 50}')

    with judge_server(decide) as server:
        asked = [
            "judge",
            str(run),
            "--url",
            server.url,
            "--model",
            "j",
            "--out",
            str(out),
            "--at-once",
            "1",
        ]
        killed.append(subprocess.Popen([sys.executable, "-m", "skerry_train", *asked]))
        is_begun.set()
        assert killed[0].wait(60) < 0
        assert main(asked) == 0

    assert len(server.asked) == 10 + 1
    assert read_evaluation(run)["instruct_score"]["mean"] == 50


def test_what_was_exported_is_taken_in_and_has_the_same_loss(tmp_path: Path) -> None:
    data = str(make_data(tmp_path / "data"))
    main(["export", str(make_run(tmp_path)), str(tmp_path / "hub")])

    assert main(["import-gpt2", str(tmp_path / "hub"), str(tmp_path / "again")]) == 0
    slice_ = ["--dataset", "me/text", "--start", "0", "--tokens", "2000"]
    assert main(["evaluate", str(tmp_path / "again"), data, *slice_]) == 0
    assert main(["sample", str(tmp_path / "again")]) == 0

    known = mean_loss(NET, TOKENS[:2001])
    assert read_evaluation(tmp_path / "again")["held_back_loss"] == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (["sample", "none"], 2, "no run directory"),
        (["sample", "small", "--checkpoint", "worst"], 6, "no checkpoint 'worst'"),
        (["sample", "small", "--tokenizer", "none.json"], 3, "--tokenizer"),
        (["sample", "small", "--tokenizer", "small/train.json"], 3, "no tokenizer"),
        (["sample", "small", "--temperature", "-1"], 2, "temperature"),
        (["sample", "small", "--new-tokens", "0"], 2, "--new-tokens"),
        (["evaluate", "small", "nowhere"], 3, "no validation split"),
        (["instruct", "small", "none.json"], 3, "none.json"),
        (["instruct", "small", "small/train.json"], 3, "no list of rows"),
        (["judge", "small", "--url", "https://x", "--model", "j"], 3, "skerry-train instruct"),
        (["judge", "small", "--url", "x", "--model", "j"], 2, "--url"),
        (["judge", "small", "--url", "https://x", "--model", "j", "--body", "["], 2, "--body"),
        (["judge", "small", "--url", "https://x", "--model", "j", "--repeats", "0"], 2, "repeats"),
        (["export", "small", "small"], 2, "--replace"),
        (["export", "small", "hub", "--upload", "x"], 2, "OWNER/NAME"),
        (["import-gpt2", "small", "run"], 3, "config.json"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    asked: list[str], code: int, told: str,
) -> None:  # fmt: skip
    make_run(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert main(asked) == code

    error = capsys.readouterr().err
    assert error.startswith("skerry-train: ")
    assert told in error
    assert error.count("\n") == 1
