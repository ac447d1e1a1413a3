"""How a model is trained: the posts' `train.json`, and what else may be set about a run.

It does not know what a setting makes the loop do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from skerry_train.errors import BadSettings
from skerry_train.settings.reading import read

Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Position = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]

Precision = Literal["bf16", "fp16", "tf32", "fp32"]
Attention = Literal["auto", "cudnn", "flash", "efficient", "math", "plain"]
Parts = Literal["native", "plain"]
Loss = Literal["whole", "chunked"]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run. Names and defaults of the first block are the posts'.

    microbatch_size: sequences that one process takes at once. min_train_tokens: the run is the
    smallest whole number of global batches that holds as many; -1 is all that there are.
    validation_interval, validation_batches: steps between validations, and global batches in each;
    without them there is no validation. checkpoint_interval: steps; without it, that of validation.
    """

    microbatch_size: Count
    dataset: str
    min_train_tokens: Annotated[int, msgspec.Meta(ge=-1)] = -1
    start_train_token: Position = 0
    start_val_token: Position = 0
    validation_interval: Count | None = None
    validation_batches: Count | None = None
    checkpoint_interval: Count | None = None
    gradient_accumulation_steps: Count = 1
    clipping_max_norm: Positive | None = None
    learning_rate: Positive = 4e-4
    weight_decay: NotNegative = 0.1
    schedule_learning_rate: bool = False
    warmup_period_percent: Percent = 0
    random_seed: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] = 42
    use_amp: bool = True

    # What the posts do not have.
    precision: Precision | None = None
    """bf16; fp16 with a scaled loss; tf32; fp32. None: what `use_amp` says, fp16 or fp32."""
    mix_sequences: bool = False
    """Read the sequences in an order that looks random, each once: needed where neighbours are alike."""
    global_batch_size: Count | None = None
    """Sequences of a step over all processes; the accumulation follows from it."""
    compile: bool = False
    attention: Attention = "auto"
    """A kernel of PyTorch's, the best there is, or `plain`: written out, as in the posts."""
    parts: Parts = "native"
    """LayerNorm and GELU as PyTorch's kernels, or `plain`: written out, as in the posts."""
    fused_qkv: bool = True
    fused_optimizer: bool = True
    loss: Loss = "whole"
    """The logits of a micro-batch at once, or a chunk at a time, which saves memory."""
    decay_all: bool = True
    """Decay every weight, as in the posts, or only matrices, as in GPT-2."""
    adam_beta_1: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    adam_beta_2: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.999
    bf16_gradients: bool = False
    """Send gradients between processes in half the bytes."""
    keep_checkpoints: Count | None = None
    """How many are kept beside the best and the latest; None keeps all."""
    checkpoint_minutes: Positive | None = None
    log_interval: Count | None = None
    """Steps between looks at what was measured and at what may stop a run; None: 10 on a GPU, 1 on a CPU,
    where they cost nothing."""
    machine: str | None = None
    """The machine's name in `machines.json`, for the bill."""
    budget_usd: Positive | None = None
    stop_after_steps: Count | None = None
    """End after so many steps as if that were the end of a session: with a checkpoint."""

    def __post_init__(self) -> None:
        has_interval, has_batches = self.validation_interval, self.validation_batches
        if (has_interval is None) != (has_batches is None):
            raise BadSettings(
                "validation_interval and validation_batches go together; give both or neither"
            )
        if self.min_train_tokens == 0:
            raise BadSettings("min_train_tokens is 0; give a number of tokens, or -1 for all")
        if self.global_batch_size is not None and self.gradient_accumulation_steps != 1:
            raise BadSettings(
                "global_batch_size and gradient_accumulation_steps both say how much is accumulated; give one"
            )
        if not self.dataset or "\0" in self.dataset:
            raise BadSettings("dataset has to name a data set")

    @property
    def numbers(self) -> Precision:
        """Return the precision that holds."""
        return self.precision or ("fp16" if self.use_amp else "fp32")

    def accumulation(self, world_size: int) -> int:
        """Return how many micro-batches each process takes in a step.

        Raises BadSettings if the global batch does not divide by what one round of all takes.
        """
        if self.global_batch_size is None:
            return self.gradient_accumulation_steps
        round_size = self.microbatch_size * world_size
        if self.global_batch_size % round_size:
            raise BadSettings(
                f"global_batch_size {self.global_batch_size} does not divide by {round_size}, which"
                f" is microbatch_size {self.microbatch_size} on {world_size} processes;"
                f" a micro-batch that divides is {self._near(world_size)}"
            )
        return self.global_batch_size // round_size

    def _near(self, world_size: int) -> str:
        share, rest = divmod(self.global_batch_size or 1, world_size)
        if rest:
            return "found for no micro-batch: the number of processes does not divide it either"
        fits = [n for n in range(1, min(share, self.microbatch_size) + 1) if share % n == 0]
        return str(fits[-1])


def read_train(run: Path) -> TrainSettings:
    """Read `train.json` of a run directory."""
    return read(run / "train.json", TrainSettings)
