"""Models as Hugging Face's libraries keep them: written from a run, and taken in as one."""

from skerry_train.export.card import Told, card
from skerry_train.export.folder import write_folder
from skerry_train.export.hub import check_upload, upload
from skerry_train.export.reference import read_hub_folder, settings_of, write_reference_run
from skerry_train.export.vocabulary import files_of as tokenizer_files
from skerry_train.export.weights import files_of as model_files

__all__ = [
    "Told",
    "card",
    "check_upload",
    "model_files",
    "read_hub_folder",
    "settings_of",
    "tokenizer_files",
    "upload",
    "write_folder",
    "write_reference_run",
]
