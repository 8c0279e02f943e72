"""Datasets: local ones made of behaviour policies, and those of other people; all become the same flat arrays."""

from cqlbench.datasets.kinds import KINDS, dataset_ids
from cqlbench.datasets.offline import OfflineDataset
from cqlbench.datasets.sources import dataset_file, load
from cqlbench.datasets.store import DEFAULT_ROOT, make_dataset

__all__ = ["DEFAULT_ROOT", "KINDS", "OfflineDataset", "dataset_file", "dataset_ids", "load", "make_dataset"]
