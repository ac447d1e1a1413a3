"""Starting a run on a cluster of Ray, as an alternative to torchrun. Needs the extra `ray`.

Ray sets what torchrun sets, so a run is trained just as it is there. All machines need the run's
directory and the data sets at the same path. It does not know what a session does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skerry_train.errors import BadSettings


def run(
    run_folder: Path, datasets: Path, workers: int, *, use_gpu: bool, restarts: int = 3
) -> None:
    """Train a run on so many workers; when one dies, all go on from the latest checkpoint.

    Raises BadSettings if Ray is not there.
    """
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig  # pyright: ignore[reportMissingImports]
        from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise BadSettings(
            "Ray is not installed; install skerry-train[ray], or use torchrun, which needs nothing more"
        ) from None
    trainer = TorchTrainer(
        _work,
        train_loop_config={"run": str(run_folder.resolve()), "datasets": str(datasets.resolve())},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        run_config=RunConfig(
            storage_path=str(run_folder.resolve()),
            failure_config=FailureConfig(max_failures=restarts),
        ),
    )
    trainer.fit()


def _work(told: dict[str, Any]) -> None:
    """Train in one of Ray's workers, in the group of processes that Ray has made."""
    from skerry_train.run import Quiet, Wanted, train
    from skerry_train.settings import read_train
    from skerry_train.world import StopRequest, joined

    run_folder, datasets = Path(told["run"]), Path(told["datasets"])
    data = datasets / read_train(run_folder).dataset
    with StopRequest() as stop:
        train(Wanted(run_folder, data, "auto"), joined(), stop, Quiet())
