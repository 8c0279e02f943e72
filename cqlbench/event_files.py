"""What TensorBoard shows of a run: its metrics and evaluations as event files."""

from __future__ import annotations

from pathlib import Path

from cqlbench.errors import UserError

FOLDER = "tensorboard"


class EventFiles:
    """A run's progress as event files in `<run folder>/tensorboard`.

    They carry the time of day, so unlike the tables they differ between two equal runs. A run that goes on from a
    checkpoint adds a file. Raises UserError where the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "--tensorboard: the package tensorboard is not installed; install it with pip install tensorboard."
            ) from error
        self.writer = SummaryWriter(folder / FOLDER)

    def trained(self, update: int, metrics: dict[str, float]) -> None:
        """The mean of each metric since the log point before, under `train/`."""
        self._write("train", update, metrics)

    def evaluated(self, update: int, measures: dict[str, float]) -> None:
        """The evaluation's measures, under `evaluation/`."""
        self._write("evaluation", update, measures)

    def _write(self, group: str, update: int, numbers: dict[str, float]) -> None:
        for name, number in numbers.items():
            self.writer.add_scalar(f"{group}/{name}", number, update)
        self.writer.flush()
