"""Local datasets: made by rolling out the package's behaviour policies, stored with Minari, loaded as flat arrays."""

from cqlbench.datasets.kinds import KINDS, dataset_ids
from cqlbench.datasets.offline import OfflineDataset
from cqlbench.datasets.store import DEFAULT_ROOT, dataset_file, load, make_dataset

__all__ = ["DEFAULT_ROOT", "KINDS", "OfflineDataset", "dataset_file", "dataset_ids", "load", "make_dataset"]
