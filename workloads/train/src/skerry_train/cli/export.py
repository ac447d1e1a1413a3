"""`skerry-train export`: writes a run's model as a plain Hugging Face folder, and uploads it if told."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from skerry_train.cli.subject import Subject, add_subject, open_subject
from skerry_train.cli.words import add_words, open_words

if TYPE_CHECKING:
    from skerry_train.export import Told


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("export", help="write a Hugging Face folder", description=__doc__)
    add_subject(parser)
    parser.add_argument("folder", type=Path, help="the folder to make")
    add_words(parser)
    parser.add_argument("--name", help="the model's name on its card (default: the run's)")
    parser.add_argument("--licence", help="as the hub names it, such as apache-2.0")
    parser.add_argument(
        "--replace", action="store_true", help="put it in place of the folder there"
    )
    parser.add_argument("--upload", metavar="OWNER/NAME", help="upload it to Hugging Face's hub")
    parser.add_argument("--private", action="store_true", help="make what is uploaded private")
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.export import (
        card,
        check_upload,
        model_files,
        tokenizer_files,
        upload,
        write_folder,
    )

    if told.upload:
        check_upload(told.upload)
    subject = open_subject(told)
    words = open_words(told, subject)
    files = {
        **model_files(subject.model, words.eot),
        **tokenizer_files(words.as_json(), words.eot, subject.model.settings.context_length),
        "README.md": card(_facts(told, subject)).encode(),
    }
    write_folder(told.folder, files, replaces=told.replace)
    print(f"{subject.name}, {subject.checkpoint}: {told.folder}")
    if told.upload:
        print(upload(told.folder, told.upload, is_private=told.private))
    return 0


def _facts(told: argparse.Namespace, subject: Subject) -> Told:
    """Return what the run has recorded about itself, for the card."""
    from skerry_train.evaluate import evaluation_of
    from skerry_train.export import Told
    from skerry_train.record import read_summary
    from skerry_train.settings import read_train

    name = told.name or subject.name
    return Told(
        name=name,
        where=told.upload or str(told.folder),
        model=subject.model.settings,
        train=read_train(subject.run) if (subject.run / "train.json").exists() else None,
        summary=read_summary(subject.run),
        evaluation=evaluation_of(subject.run, subject.checkpoint),
        licence=told.licence,
    )
