"""A run comes to the same, bit for bit, whether it was broken off, shared or accumulated."""

from pathlib import Path
from typing import Any

import pytest

from skerry_train.errors import BadData, BadSettings, Diverged
from skerry_train.record import read_records, read_summary
from tests.run.sessions import are_equal, losses, session, torchrun, weights
from tests.small import make_data, make_run

LEVERS: list[dict[str, Any]] = [
    {}, {"model": {"drop_rate": 0.2}}, {"precision": "bf16"}, {"use_amp": True}, {"decay_all": False},
    {"schedule_learning_rate": True, "warmup_period_percent": 25, "clipping_max_norm": 0.4},
    {"log_interval": 3}, {"mix_sequences": True, "model": {"drop_rate": 0.2}},
    {"model": {"tie_weights": True, "vocab_padding": 64}}, {"fused_optimizer": False},
]  # fmt: skip


def test_a_run_learns_and_says_what_it_came_to(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run", validation_interval=5, validation_batches=2)

    summary = session(run, data, price=3_600_000_000)

    records = read_records(run)
    assert [each.step for each in records.steps] == list(range(1, 13))
    assert [each.step for each in records.validations] == [0, 5, 10, 12]
    assert [each.step for each in records.checkpoints] == [5, 10, 12]
    assert records.validations[-1].loss < records.validations[0].loss
    assert summary == read_summary(run)
    assert (summary.reason, summary.steps, summary.tokens) == ("done", 12, 12 * 64)
    assert summary.cost_usd_micros == pytest.approx(summary.clock_s.total * 1e6, abs=1)


@pytest.mark.parametrize("levers", LEVERS, ids=str)
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(
    tmp_path: Path, levers: dict[str, Any]
) -> None:
    data = make_data(tmp_path)
    whole = make_run(tmp_path / "whole", **levers)
    broken = make_run(tmp_path / "broken", **levers, stop_after_steps=5)

    session(whole, data)
    reasons = [session(broken, data, "auto").reason for _ in range(3)]

    assert reasons == ["stopped", "stopped", "done"]
    assert losses(broken) == losses(whole)
    assert are_equal(weights(broken), weights(whole))


def test_accumulated_batches_are_whole_ones(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    whole = make_run(tmp_path / "whole", microbatch_size=4)
    parts = make_run(tmp_path / "parts", microbatch_size=1)

    session(whole, data)
    session(parts, data)

    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)


@pytest.mark.parametrize(
    "levers", [{}, {"model": {"drop_rate": 0.2}, "clipping_max_norm": 0.4}], ids=str
)
def test_two_processes_do_what_one_does_that_accumulates(
    tmp_path: Path, levers: dict[str, Any]
) -> None:
    data = make_data(tmp_path)
    alone = make_run(tmp_path / "alone", **levers)
    shared = make_run(tmp_path / "shared", **levers)

    session(alone, data)
    done = torchrun(2, "train", shared, tmp_path)

    assert done.returncode == 0, done.stderr
    assert losses(shared) == losses(alone)
    assert are_equal(weights(shared), weights(alone))


def test_one_process_goes_on_with_what_two_began(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    whole = make_run(tmp_path / "whole", model={"drop_rate": 0.2})
    begun = make_run(tmp_path / "begun", model={"drop_rate": 0.2}, stop_after_steps=5)

    session(whole, data)
    done = torchrun(2, "train", begun, tmp_path)
    make_run(begun, model={"drop_rate": 0.2})
    session(begun, data, "latest")

    assert done.returncode == 0, done.stderr
    assert are_equal(weights(begun), weights(whole))


def test_two_processes_go_on_with_what_one_began(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    whole = make_run(tmp_path / "whole")
    begun = make_run(tmp_path / "begun", stop_after_steps=5)

    session(whole, data)
    session(begun, data)
    make_run(begun)
    done = torchrun(2, "train", begun, tmp_path, "--resume", "auto")

    assert done.returncode == 0, done.stderr
    assert losses(begun) == losses(whole)
    assert are_equal(weights(begun), weights(whole))


def test_a_run_goes_on_however_it_computes_now(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    whole = make_run(tmp_path / "whole")
    begun = make_run(tmp_path / "begun", stop_after_steps=5)

    session(whole, data)
    session(begun, data)
    make_run(
        begun,
        model={"vocab_padding": 64},
        fused_qkv=False,
        attention="plain",
        fused_optimizer=False,
    )
    session(begun, data, "auto")

    assert losses(begun) == pytest.approx(losses(whole), abs=1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_another_global_batch_goes_on_with_the_tokens_that_are_left(
    tmp_path: Path,
    mixed: bool,  # noqa: FBT001 - a case gives it
) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run", stop_after_steps=4, mix_sequences=mixed)

    session(run, data)
    make_run(run, global_batch_size=8, mix_sequences=mixed)
    summary = session(run, data, "auto")

    assert summary.steps == 4 + 4
    assert summary.tokens == (4 * 4 + 4 * 8) * 16


def test_what_is_there_is_not_thrown_away_without_a_word(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run")
    session(run, data)

    with pytest.raises(BadSettings, match="go on with --resume auto"):
        session(run, data)

    make_run(run, stop_after_steps=3)
    assert session(run, data, "none").steps == 3
    assert session(run, data, "auto").steps == 6
    assert len(list(run.glob("checkpoints-before-*/latest/meta.json"))) == 1


def test_a_run_that_is_done_stays_done(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run")
    session(run, data)

    assert session(run, data, "auto").reason == "done"
    assert len(losses(run)) == 12


def test_a_loss_that_is_no_number_ends_the_run_and_the_last_checkpoint_holds(
    tmp_path: Path,
) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run", checkpoint_interval=2, stop_after_steps=4)
    session(run, data)
    make_run(run, learning_rate=1e30, checkpoint_interval=2)

    with pytest.raises(Diverged, match="lower learning_rate"):
        session(run, data, "auto")

    make_run(run)
    assert session(run, data, "auto").reason == "done"


def test_a_budget_ends_the_run_after_a_checkpoint(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    run = make_run(tmp_path / "run", budget_usd=0.000001)

    summary = session(run, data, price=3_600_000_000)

    assert summary.reason == "budget"
    assert 0 < summary.steps < 12
    assert (run / "checkpoints" / "latest" / "meta.json").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"min_train_tokens": 10_000}, "10,049 are needed"),
        ({"start_train_token": 5000}, "has 4,000 tokens"),
    ],
)
def test_a_data_set_that_is_too_short_is_told(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    data = make_data(tmp_path)

    with pytest.raises(BadData, match=words):
        session(make_run(tmp_path / "run", **changed), data)


def test_tokens_of_another_tokenizer_are_told(tmp_path: Path) -> None:
    data = make_data(tmp_path, vocab=90)

    with pytest.raises(BadData, match="different tokenizers"):
        session(make_run(tmp_path / "run"), data)
