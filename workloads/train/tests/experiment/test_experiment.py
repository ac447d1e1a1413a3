"""An experiment trains each run once and tells what each change is worth."""

import json
from pathlib import Path
from typing import Any

import pytest

from skerry_train.bill import markdown
from skerry_train.cli import main
from skerry_train.errors import BadSettings, TrainerError
from skerry_train.experiment import Changes, Spec, chance, perform, planned, read_spec, worth_table
from skerry_train.settings import read_model, read_train
from tests.record.test_record import SUMMARY
from tests.small import SMALL, TRAIN, make_data

SPEC: dict[str, Any] = {
    "baseline": {"model": SMALL, "train": TRAIN}, "seeds": [1, 2, 3],
    "interventions": {
        "dropout": {"model": {"drop_rate": 0.5}},
        "two-things": {"model": {"qkv_bias": True}, "train": {"weight_decay": 0.01}},
    },
}  # fmt: skip
NAMES = ["baseline-seed-1", "baseline-seed-2", "baseline-seed-3", "dropout", "two-things"]


def write(folder: Path, **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "experiment.json").write_text(json.dumps(SPEC | changed))
    return folder


def finish(run: Path) -> int:
    """Leave what a run that was trained to its end leaves."""
    import msgspec

    (run / "summary.json").write_bytes(msgspec.json.encode(SUMMARY))
    return 0


def test_each_run_is_the_baseline_but_for_its_changes(tmp_path: Path) -> None:
    perform(write(tmp_path / "e"), finish, print)

    base, other = tmp_path / "e" / "baseline-seed-1", tmp_path / "e" / "dropout"
    assert read_model(other).drop_rate == 0.5
    assert read_train(other) == read_train(base)
    assert read_train(base).random_seed == 1
    assert [each.changed for each in planned(read_spec(tmp_path / "e"))][3:] == [
        ["drop_rate"], ["qkv_bias", "weight_decay"],
    ]  # fmt: skip


def test_what_is_done_is_not_trained_again(tmp_path: Path) -> None:
    seen: list[str] = []

    def launch(run: Path) -> int:
        seen.append(run.name)
        return finish(run) if run.name != "dropout" or seen.count("dropout") > 1 else 3

    assert perform(write(tmp_path / "e"), launch, print) == ["dropout"]
    assert perform(tmp_path / "e", launch, print) == []
    assert seen == [*NAMES, "dropout"]


def test_an_experiment_that_is_ended_ends(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="baseline-seed-1 was ended by signal 2"):
        perform(write(tmp_path / "e"), lambda _: -2, print)


def test_a_run_that_was_stopped_ends_the_experiment(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="baseline-seed-1 was stopped before its end"):
        perform(write(tmp_path / "e"), lambda _: 0, print)


def test_a_default_that_is_written_out_is_no_change(tmp_path: Path) -> None:
    same = {"same": {"train": {"learning_rate": TRAIN["learning_rate"], "adam_beta_1": 0.9}}}

    runs = planned(read_spec(write(tmp_path / "e", interventions=same)))

    assert runs[-1].changed == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seeds": []}, "one seed or several"), ({"seeds": [1, 1]}, "each once"), ({"preset": "x"}, "no preset"),
        ({"interventions": {"../x": {}}}, "no name of an intervention"),
        ({"interventions": {"a": {"model": {"drop": 1}}}}, "did you mean 'drop_rate'"),
        ({"intervention": {}}, "did you mean 'interventions'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_trained(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadSettings, match=words):
        perform(write(tmp_path / "e", **changed), finish, print)

    assert not (tmp_path / "e" / NAMES[0]).exists()


def test_a_run_of_other_settings_is_not_taken_for_one_of_the_experiment(tmp_path: Path) -> None:
    perform(write(tmp_path / "e"), finish, print)
    write(tmp_path / "e", baseline={"model": SMALL, "train": TRAIN | {"weight_decay": 0.5}})

    with pytest.raises(BadSettings, match="is not what the experiment says"):
        perform(tmp_path / "e", finish, print)


def test_the_posts_interventions_are_worth_what_they_say() -> None:
    settings = Changes(model=SMALL, train=TRAIN)
    losses = {"baseline-seed-42": 3.692, "tying": 3.874, "no-dropout": 3.641, "schedule": 3.602}
    spec = Spec(baseline=settings, interventions={name: Changes() for name in list(losses)[1:]})

    table = worth_table(planned(spec), losses, "test loss")

    assert [(row[0], round(float(row[3] or 0), 3)) for row in table.rows] == [
        ("tying", -0.182), ("baseline-seed-42", 0), ("no-dropout", 0.051), ("schedule", 0.09),
    ]  # fmt: skip
    assert "1 of the 3 seeds" in markdown(table)


def test_a_gain_is_told_in_deviations_of_the_noise() -> None:
    losses = dict(zip(NAMES, [3.0, 3.1, 3.2, 2.9, 3.05], strict=True))
    settings = Changes(model=SMALL, train=TRAIN)
    spec = Spec(
        baseline=settings,
        seeds=[1, 2, 3],
        interventions={"dropout": Changes(), "two-things": Changes()},
    )

    rows = {row[0]: row for row in worth_table(planned(spec), losses, "loss").rows}

    assert rows["dropout"][3] == pytest.approx(0.2)
    assert rows["dropout"][4] == pytest.approx(2.0)
    assert rows["baseline-seed-2"][3] is None


def test_with_fewer_seeds_a_gain_has_to_be_larger() -> None:
    assert [round(chance(seeds), 2) for seeds in (3, 5, 8, 11)] == [4.97, 3.04, 2.51, 2.33]
    assert 2.2 < chance(1000) < chance(11)


def test_an_experiment_runs_from_the_command_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_data(tmp_path)
    folder = write(
        tmp_path / "e", seeds=[1], interventions={"dropout": {"model": {"drop_rate": 0.5}}}
    )

    code = main(["experiment", str(folder), str(tmp_path), "--device", "cpu"])

    said = capfd.readouterr().out
    assert code == 0
    assert "| dropout" in said
    assert "| drop_rate |" in said
