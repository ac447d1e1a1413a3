"""`skerry-train import-gpt2`: takes a GPT-2 of Hugging Face's in as a run, so that it can be tested too."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "import-gpt2", help="take in a Hugging Face folder", description=__doc__
    )
    parser.add_argument(
        "folder", type=Path, help="with config.json and model.safetensors or pytorch_model.bin"
    )
    parser.add_argument("run", type=Path, help="the run directory to make")
    parser.add_argument("--replace", action="store_true", help="put it in place of the one there")
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.export import read_hub_folder, write_reference_run
    from skerry_train.model import parameters
    from skerry_train.tokens import read_hub_tokenizer

    model = read_hub_folder(told.folder)
    tokenizer = read_hub_tokenizer(told.folder)
    extra = {} if tokenizer is None else {"tokenizer.json": tokenizer}
    write_reference_run(model, told.run, extra, replaces=told.replace)
    has = "with its tokenizer" if tokenizer else "without a tokenizer, which the folder has not"
    print(f"{told.run}: {parameters(model.settings):,} parameters, {has}")
    return 0
