"""The bill's arithmetic on the posts' figures comes to what the posts published."""

import msgspec
import pytest

from skerry_train.bill import Table, batch_curve, markdown, memory_line, posts_tables, read_posts
from skerry_train.model import parameters
from skerry_train.settings import ModelSettings

GIB = 1 << 30


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table of the posts, as people read them."""
    (table,) = (each for each in posts_tables(read_posts()) if each.name == name)
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def note(name: str) -> str:
    (table,) = (each for each in posts_tables(read_posts()) if each.name == name)
    return table.notes[0]


@pytest.mark.parametrize(
    ("run", "cost", "of_validation", "without"),
    [
        ("8xa100m40", "$39.86", "$4.30", "$35.56"),
        ("8xa100m80", "$45.87", "$6.56", "$39.31"),
        ("8xh100m80", "$44.19", "$6.06", "$38.13"),
        ("8xb200m160", "$46.46", "$7.32", "$39.14"),
        ("8xa100m40-baseline", "$35.09", "$0.00", "$35.09"),
    ],
)
def test_trains_cost_what_they_cost_with_and_without_validation(
    run: str, cost: str, of_validation: str, without: str
) -> None:
    (row,) = (each for each in rows("cost") if each[0] == run)

    assert [row[8], row[10], row[12]] == [cost, of_validation, without]


def test_what_was_billed_adds_up() -> None:
    assert note("billed") == "All of them: $215.16."


def test_the_bills_of_trains_are_those_of_the_sum() -> None:
    posts = read_posts()

    paid = {each.what: each.usd_micros for each in posts.bills}

    assert all(each.billed_usd_micros in (None, paid.get(each.name)) for each in posts.trains)


def test_tokens_are_whole_global_batches_and_the_fewest_that_suffice() -> None:
    for each in read_posts().trains:
        batch_tokens = each.global_batch * 1024
        assert each.tokens == each.steps * batch_tokens
        assert each.tokens - batch_tokens < 3_260_190_720 <= each.tokens


def test_the_memory_line_is_the_posts() -> None:
    line = memory_line([(6, 24 * GIB), (13, 40 * GIB), (27, 80 * GIB), (64, 160 * GIB)])

    assert line is not None
    assert line.fixed_bytes / GIB == pytest.approx(11.48, abs=0.005)
    assert line.per_sequence_bytes / GIB == pytest.approx(2.346, abs=0.0005)
    assert note("memory") == "Line: 11.48 GiB + 2.346 GiB for each sequence."


def test_the_best_batch_size_and_what_each_comes_to_are_the_posts() -> None:
    curve = batch_curve([(each.global_batch, each.loss) for each in read_posts().batch_sizes])

    assert curve is not None
    assert (curve.a, curve.b, curve.c) == pytest.approx((0.015525, -0.204974, 4.368746), abs=5e-7)
    assert curve.best_batch == pytest.approx(97.1, abs=0.05)
    fitted = [row[2] for row in rows("batch")]
    assert fitted == ["3.943", "3.692", "3.713", "3.715", "3.781"]


def test_models_are_sorted_by_loss_with_their_scores() -> None:
    losses = [(row[2], row[3]) for row in rows("losses")]

    assert losses == sorted(losses)
    assert losses[0] == ("3.231", "38.53")
    assert losses[2:4] == [("3.674", "17.09"), ("3.692", "-")]


def test_each_change_is_worth_what_was_published() -> None:
    gains = [(row[1], row[2]) for row in rows("interventions")]

    assert gains == [
        ("3.578", "+0.114"), ("3.602", "+0.090"), ("3.641", "+0.051"), ("3.643", "+0.049"),
        ("3.669", "+0.023"), ("3.678", "+0.014"), ("3.679", "+0.013"), ("3.692", "-"),
        ("3.867", "-0.175"), ("3.874", "-0.182"),
    ]  # fmt: skip


def test_the_parameters_add_up_to_those_of_the_model() -> None:
    assert read_posts().parameters_total == 163_009_536 == parameters(ModelSettings())
    assert note("parameters") == "Together 163,009,536; 20 tokens for each are 3,260,190,720."


def test_no_figure_is_written_twice_with_two_values() -> None:
    posts = read_posts()
    peaks = {each.microbatch: each.peak_memory_bytes for each in posts.memory}

    assert len(peaks) == len(posts.memory)
    assert posts.source.startswith("gpjt's posts")
    assert all(isinstance(each, Table) for each in posts_tables(posts))
    assert msgspec.json.decode(msgspec.json.encode(posts), type=type(posts)) == posts
