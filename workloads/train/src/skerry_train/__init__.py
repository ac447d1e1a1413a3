"""Skerry's trainer: a base language model from scratch, and what it cost.

Words. A **run** is a directory with `model.json` and `train.json`; all that comes of it is kept there.
A **step** is one change of the weights, by one **global batch**: `world size` x `micro-batch` x
`accumulation` sequences. A **token file** holds the tokens of a split of a **data set**. A **machine**
is what is rented by the hour. The **clock** splits a run's time by what it went into, the **bill** makes
money of it.
"""
