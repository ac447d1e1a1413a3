"""Finding out what a trained model is worth: what it writes, its loss on held-back text, what it answers.

Words: an exercise is a row of the instruction test; an item is an exercise with a model's answer; a
verdict is what the judge says about all models' answers to one exercise.
"""

from skerry_train.evaluate.answers import (
    ANSWERS,
    TOKENS_MAX,
    Answers,
    Item,
    Words,
    answer,
    read_answers,
    write_answers,
)
from skerry_train.evaluate.findings import evaluation_of, note, read_evaluation, write_object
from skerry_train.evaluate.held_back import START, TOKENS, held_back_slice, mean_loss, validated
from skerry_train.evaluate.instructions import Row, Split, collate, prompt_of, read_rows, text_of
from skerry_train.evaluate.judging import Contest, Manner, contest, judge, open_questions
from skerry_train.evaluate.sampling import Sampling, continue_texts, greedy, picker
from skerry_train.evaluate.service import Refused, Reply, Service, converse
from skerry_train.evaluate.standings import Standing, Standings, annotated, standings, table
from skerry_train.evaluate.tuning import Epoch, Plan, Tuned, tune, validation_loss
from skerry_train.evaluate.verdicts import Failed, Judgement, Verdict, VerdictFile, open_verdicts

__all__ = [
    "ANSWERS",
    "START",
    "TOKENS",
    "TOKENS_MAX",
    "Answers",
    "Contest",
    "Epoch",
    "Failed",
    "Item",
    "Judgement",
    "Manner",
    "Plan",
    "Refused",
    "Reply",
    "Row",
    "Sampling",
    "Service",
    "Split",
    "Standing",
    "Standings",
    "Tuned",
    "Verdict",
    "VerdictFile",
    "Words",
    "annotated",
    "answer",
    "collate",
    "contest",
    "continue_texts",
    "converse",
    "evaluation_of",
    "greedy",
    "held_back_slice",
    "judge",
    "mean_loss",
    "note",
    "open_questions",
    "open_verdicts",
    "picker",
    "prompt_of",
    "read_answers",
    "read_evaluation",
    "read_rows",
    "standings",
    "table",
    "text_of",
    "tune",
    "validated",
    "validation_loss",
    "write_answers",
    "write_object",
]
