"""A dataset's health: every section of numbers, and what the rules say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cqlbench.datasets import DEFAULT_ROOT, OfflineDataset
from cqlbench.datasets.foreign import Origin, build
from cqlbench.datasets.from_logs import SUFFIXES
from cqlbench.datasets.offline import Recording
from cqlbench.datasets.sources import HDF5_SUFFIXES, load, read, split_id
from cqlbench.errors import UserError
from cqlbench.inspection import measures
from cqlbench.inspection.coverage import coverage
from cqlbench.inspection.numbers import Section
from cqlbench.inspection.rules import DOUBTFUL, FATAL, SEVERITIES, Finding, judge
from cqlbench.inspection.simulator import simulator
from cqlbench.seeding import seed_for


@dataclass(frozen=True)
class Health:
    """What was found. `judged` is how many numbers a rule looked at, `dataset` the steps that are finite, `seed` what
    its samples were drawn from."""

    seed: int
    dataset: OfflineDataset
    sections: list[Section]
    findings: list[Finding]
    judged: int

    @property
    def fatal(self) -> bool:
        """Whether training refuses the data or would learn nothing from them."""
        return any(finding.severity == FATAL for finding in self.findings)

    @property
    def verdict(self) -> str:
        """`Fit for training, with doubts: 2 doubtful, 1 good to know, of 30 numbers judged`."""
        counts = {severity: sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES}
        fit = "Fit for training" + (", with doubts" if counts[DOUBTFUL] else "")
        said = [f"{count} {severity}" for severity, count in counts.items() if count]
        found = ", ".join(said) or "nothing to say"
        return f"{'Not fit for training' if self.fatal else fit}: {found}, of {self.judged} numbers judged"


def inspect(name: str, root: Path = DEFAULT_ROOT) -> Health:
    """The health of the dataset with the id `name`, or in the file of this path; `root` as in `load`.

    Steps with numbers that are not finite are counted and left out. Raises UserError as `load` does for everything
    else that cannot be read.
    """
    dataset_id = _dataset_id(name)
    seed = seed_for("inspection", dataset_id)
    not_finite = 0
    if split_id(dataset_id)[0] == "":
        dataset = load(dataset_id, root)
        recording, origin = _recorded(dataset)
    else:
        recording, origin = read(dataset_id, root)
        recording, not_finite = measures.finite_part(recording)
        dataset = build(dataset_id, recording, origin)
    choices = (
        origin.choices is not None
        or recording.actions.reshape(len(recording.actions), -1).shape[1] != (dataset.actions.shape[1])
    )
    sections = [
        measures.sizes(dataset, recording, not_finite, seed),
        measures.episodes(dataset),
        measures.ends(dataset, recording, origin.episode_limit, seed),
        measures.observations(dataset, seed),
        measures.actions(dataset, choices),
        measures.rewards(dataset),
        measures.repetitions(dataset),
        coverage(dataset, seed),
        simulator(dataset, seed),
    ]
    return Health(seed, dataset, sections, *judge(sections))


def _dataset_id(name: str) -> str:
    """An id as it is; a path as `file:PATH`."""
    path = Path(name)
    if path.is_dir():
        raise UserError(f"{name} is a folder; name a file in it, or a Minari dataset by its id, minari:ID.")
    looks_like_a_file = path.suffix in (*SUFFIXES, *HDF5_SUFFIXES) and not name.startswith("file:")
    return f"file:{name}" if looks_like_a_file or path.is_file() else name


def _recorded(dataset: OfflineDataset) -> tuple[Recording, Origin]:
    """Our own data as if they had been read: every one of their next observations is stored."""
    terminals = dataset.terminals.astype(bool)
    recording = Recording(
        dataset.observations,
        dataset.actions,
        dataset.rewards,
        terminals,
        terminals | dataset.truncations.astype(bool),
        dataset.next_observations,
    )
    return recording, Origin(dataset.id, dataset.task, episode_limit=dataset.task.episode_limit)
