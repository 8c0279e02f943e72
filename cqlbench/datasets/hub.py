"""The Minari hub: the one place that asks the network, and only when a person says so."""

from __future__ import annotations

import os
import socket
import threading
from importlib import util
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from cqlbench.datasets.minari_root import minari_works_in, move_in
from cqlbench.errors import UserError

HUB = "https://huggingface.co"
# Hidden, so that Minari does not list it; kept after a failure, so that the next try goes on from there.
_WORKSHOP = ".downloading"


def check_hub(wait: float) -> None:
    """Raises UserError where nothing answers at the hub, or at the proxy before it, within `wait` seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise UserError(f"HF_HUB_OFFLINE is set, so nothing is downloaded; unset it. {_other_way()}")
    address = urlsplit(getproxies().get("https") or os.environ.get("HF_ENDPOINT", HUB))
    problems: list[str] = [f"no answer in {wait:g} s, see --wait"]

    def connect() -> None:
        try:
            port = address.port or (80 if address.scheme == "http" else 443)
            socket.create_connection((address.hostname or "", port), timeout=wait).close()
            problems.clear()
        except OSError as error:
            problems[:] = [error.strerror or str(error)]

    # Looking a name up knows no time limit: the thread is left to itself.
    asking = threading.Thread(target=connect, daemon=True)
    asking.start()
    asking.join(wait)
    if problems:
        raise UserError(f"the Minari hub ({address.hostname}) cannot be reached: {problems[0]}. {_other_way()}")


def download(name: str, root: Path, wait: float) -> None:
    """Fetches `mujoco/hopper/medium-v0` into the Minari root `root`, where it is not there already; its folder appears
    whole or not at all.

    What was fetched before a failure is kept and not fetched again. Raises UserError where the hub cannot be reached
    within `wait` seconds, does not have the dataset, or breaks off.
    """
    if (Path(root) / name / "data" / "main_data.hdf5").is_file():
        return
    check_hub(wait)
    if util.find_spec("huggingface_hub") is None:
        raise UserError('downloading needs the package huggingface_hub; pip install "minari[hf]".')
    import minari

    workshop = Path(root) / _WORKSHOP
    workshop.mkdir(parents=True, exist_ok=True)
    try:
        with minari_works_in(workshop):
            # A folder that is there is one that was not finished; unforced, it would be taken for whole.
            minari.download_dataset(name, force_download=(workshop / name).exists())
    except Exception as error:  # of three packages, each with its own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"minari:{name} was not downloaded: {reason}") from error
    move_in(workshop, Path(root))


def _other_way() -> str:
    return "Download on a machine that can, and copy the folder into the folder of the datasets."
