"""Texts are continued by the seed, within the vocabulary and the context, each for itself."""

import pytest
import torch

from skerry_train.errors import BadSettings, Diverged
from skerry_train.evaluate import Sampling, continue_texts, picker
from tests.small import model

PROMPTS = [[1, 2, 3], [7], [5, 4, 9, 8, 11, 30, 2]]


def test_a_text_does_not_depend_on_its_neighbours() -> None:
    net = model()

    together = continue_texts(net, PROMPTS, 30)

    assert together == [continue_texts(net, [prompt], 30)[0] for prompt in PROMPTS]
    assert [len(text) for text in together] == [30, 30, 30]


def test_greedy_takes_what_the_last_logits_say_of_the_last_context() -> None:
    net = model()

    written = continue_texts(net, [[1, 2, 3]], 25)[0]

    seen = [1, 2, 3, *written[:-1]][-net.settings.context_length :]
    assert net(torch.tensor([seen]))[0, -1, :61].argmax() == written[-1]


def test_a_prompt_longer_than_the_context_is_cropped_to_its_end() -> None:
    net, long = model(), [i % 61 for i in range(50)]

    assert continue_texts(net, [long], 5) == continue_texts(net, [long[-16:]], 5)


def test_the_same_seed_draws_the_same_text_and_another_seed_another() -> None:
    net = model()

    drawn = [
        continue_texts(net, PROMPTS, 20, picker(Sampling(temperature=1.4, seed=seed)))
        for seed in (1, 1, 2)
    ]

    assert drawn[0] == drawn[1] != drawn[2]


def test_columns_of_padding_are_never_drawn_though_they_are_the_likeliest() -> None:
    net = model(vocab_padding=64)
    with torch.no_grad():
        net.final_norm.bias.fill_(1)
        net.out_head.weight[61:] = 100  # the logits of padding are far above all others

    for sampling in (Sampling(temperature=0), Sampling(top_k=None), Sampling(top_k=64)):
        assert max(max(text) for text in continue_texts(net, PROMPTS, 50, picker(sampling))) < 61


def test_only_the_likeliest_are_drawn() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(500, 4)

    drawn = picker(Sampling(top_k=2, temperature=5.0))(logits)

    assert set(drawn.tolist()) == {1, 3}


def test_a_text_ends_before_the_end_token_while_others_go_on() -> None:
    net = model()
    free = continue_texts(net, PROMPTS, 12)
    end = free[0][4]

    ended = continue_texts(net, PROMPTS, 12, end=end)

    assert ended == [text[: text.index(end)] if end in text else text for text in free]


def test_weights_that_are_no_numbers_are_told() -> None:
    net = model()
    with torch.no_grad():
        net.out_head.weight[3] = torch.nan

    with pytest.raises(Diverged, match="no numbers"):
        continue_texts(net, [[1]], 3)


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": 0}]
)
def test_sampling_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSettings):
        Sampling(**wrong)  # pyright: ignore[reportArgumentType]
