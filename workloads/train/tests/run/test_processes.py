"""What becomes of a run's processes: ended politely, killed, alone."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skerry_train.record import read_records
from skerry_train.run.checkpoints import complete
from tests.run.sessions import SESSION_S_MAX, are_equal, losses, session, weights
from tests.small import make_data, make_run

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


PORT: list[int] = []


def free_port() -> int:
    """Return one port for all who ask."""
    if not PORT:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            PORT.append(listener.getsockname()[1])
    return PORT[0]


def started(processes: int, run: Path, datasets: Path, *more: str) -> "subprocess.Popen[str]":
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else []), "-m", "skerry_train", "train", run, datasets, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip


def wait_for_steps(run: Path, process: "subprocess.Popen[str]", steps: int) -> None:
    """Wait until so many steps are written down: each look reads the file, so it takes its time."""
    while len(losses(run)) < steps:
        assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    make_data(tmp_path, 4_000_000)
    run = make_run(tmp_path / "run", min_train_tokens=-1)
    with started(1, run, tmp_path) as process:
        wait_for_steps(run, process, 5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=SESSION_S_MAX)

    records = read_records(run)
    assert process.returncode == 0, errors
    assert records.ends[-1].reason == "stopped"
    assert [each.step for each in records.checkpoints] == [len(records.steps)]
    assert json.loads((run / "summary.json").read_text())["steps"] == len(records.steps)


def test_all_processes_end_at_the_same_step_when_one_is_asked(tmp_path: Path) -> None:
    """torchrun hands SIGTERM on to each of them, at its own time."""
    make_data(tmp_path, 4_000_000)
    run = make_run(tmp_path / "run", min_train_tokens=-1)
    with started(2, run, tmp_path) as process:
        wait_for_steps(run, process, 5)
        process.terminate()
        _, errors = process.communicate(timeout=SESSION_S_MAX)

    assert read_records(run).ends[-1].reason == "stopped", errors
    assert len(complete(run / "checkpoints")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_that_were_launched_save_and_end_with_0(tmp_path: Path, number: signal.Signals) -> None:
    make_data(tmp_path, 4_000_000)
    run = make_run(tmp_path / "run", min_train_tokens=-1)
    command = [sys.executable, "-m", "skerry_train", "train", str(run), str(tmp_path)]
    with subprocess.Popen(
        [*command, "--processes", "2", "--device", "cpu", "--no-charts"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        wait_for_steps(run, process, 5)
        process.send_signal(number)
        said, errors = process.communicate(timeout=SESSION_S_MAX)

    assert process.returncode == 0, errors
    assert said.count("Training ended (stopped)") == 1
    assert len(complete(run / "checkpoints")) == 1


def test_a_run_that_was_killed_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    data = make_data(tmp_path, 20_000)
    told: dict[str, Any] = {
        "min_train_tokens": 64 * 250,
        "checkpoint_interval": 10,
        "keep_checkpoints": 2,
    }
    whole, killed = make_run(tmp_path / "whole", **told), make_run(tmp_path / "killed", **told)
    session(whole, data)

    for steps in (15, 60, 120):
        with started(1, killed, tmp_path, "--resume", "auto") as process:
            wait_for_steps(killed, process, steps)
            process.kill()
            process.communicate()
    session(killed, data, "auto")

    assert losses(killed) == losses(whole)
    assert are_equal(weights(killed), weights(whole))


def test_a_process_whose_peer_is_gone_says_so(tmp_path: Path) -> None:
    make_data(tmp_path, 4_000_000)
    run = make_run(tmp_path / "run", min_train_tokens=-1)
    command = [sys.executable, "-m", "skerry_train", "train", str(run), str(tmp_path)]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    first, second = (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    )  # fmt: skip
    wait_for_steps(run, first, 5)
    second.kill()
    second.communicate()
    _, errors = first.communicate(timeout=SESSION_S_MAX)

    assert "another process of this run has ended" in errors
    assert first.returncode == 8
    assert read_records(run).ends[-1].reason == "failed"


def test_two_nodes_train_as_one(tmp_path: Path) -> None:
    """Two launchers on this machine stand for two machines, one process each."""
    data = make_data(tmp_path)
    whole, shared = make_run(tmp_path / "whole"), make_run(tmp_path / "shared")
    session(whole, data)
    nodes = [
        subprocess.Popen(
            [
                sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(node),
                "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(free_port()),
                "-m", "skerry_train", "train", shared, tmp_path,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )
        for node in (0, 1)
    ]  # fmt: skip
    said = [each.communicate(timeout=SESSION_S_MAX) for each in nodes]

    assert [each.returncode for each in nodes] == [0, 0], said
    assert "Training complete" in said[0][0]
    assert said[1][0] == ""
    assert are_equal(weights(shared), weights(whole))
