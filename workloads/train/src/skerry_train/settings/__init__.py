"""What a run is told: `model.json` and `train.json`, and presets of both."""

from skerry_train.settings.model import ModelSettings, read_model
from skerry_train.settings.presets import PRESETS
from skerry_train.settings.reading import convert, parse, read
from skerry_train.settings.train import Attention, Loss, Parts, Precision, TrainSettings, read_train

__all__ = [
    "PRESETS",
    "Attention",
    "Loss",
    "ModelSettings",
    "Parts",
    "Precision",
    "TrainSettings",
    "convert",
    "parse",
    "read",
    "read_model",
    "read_train",
]
