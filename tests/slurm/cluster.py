"""A real Slurm on this machine alone: a controller, one node, munge beside them.

Its three daemons run in the foreground below this process, with all their files in one folder, and end with it. Only
the configuration has to lie where Debian's packages look for it: Snakemake's executor takes SLURM_CONF away.

By hand: python tests/slurm/cluster.py FOLDER, then Ctrl-C.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PACKAGES = "slurm-wlm munge"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
CONFIG = Path("/etc/slurm/slurm.conf")
# A second file of Slurm's, which it looks for beside the first as soon as a node has a GPU.
GPUS = CONFIG.with_name("gres.conf")
OURS = "# Of cqlbench's tests, which take it away again.\n"
# What the node says it has, whatever it has: no job of the tests takes what it asks for.
PROCESSORS, MEMORY_MB = 4, 16_000


def why_not() -> str | None:
    """What keeps a Slurm from being started here, None for nothing."""
    if missing := [name for name in PROGRAMS if not find_program(name)]:
        return f"{', '.join(missing)} not found; on Debian: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return f"only root may write {CONFIG}"
    # One of ours that nobody took away may lie there, but not one in use.
    if CONFIG.exists() and (not CONFIG.read_text().startswith(OURS) or _ask("scontrol", "ping").returncode == 0):
        return f"{CONFIG} is there: this machine has a Slurm already"
    return None


def find_program(name: str) -> str | None:
    """Its path, also where the administrator's programs are on no search path."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Inside the block jobs can be submitted, to a partition `main` and a partition `gpu` of the same node.

    The node says it has a GPU: what asks for one can be seen to be given it, not to use it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key, munge, config = folder / "munge.key", folder / "munge.socket", folder / "slurm.conf"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config.write_text(OURS + _configuration(folder, munge))
    with ExitStack() as stack:
        stack.enter_context(_in_its_place(config, CONFIG))
        (folder / "gres.conf").write_text(f"{OURS}Name=gpu File=/dev/null\n")
        stack.enter_context(_in_its_place(folder / "gres.conf", GPUS))
        places = [f"--key-file={key}", f"--socket={munge}", f"--seed-file={folder}/munge.seed"]
        places += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
        # It minds that others may write to a folder above its socket; here that is /tmp.
        stack.enter_context(_daemon(folder, "munged", "--foreground", "--force", *places))
        _until(munge.is_socket, "munged", folder)
        stack.enter_context(_daemon(folder, "slurmctld", "-D", "-c"))
        _until(lambda: _ask("scontrol", "ping").returncode == 0, "slurmctld", folder)
        stack.enter_context(_daemon(folder, "slurmd", "-D", "-c", "-N", "localhost"))
        _until(lambda: "idle" in _ask("sinfo", "--noheader", "--format=%T").stdout, "slurmd", folder)
        try:
            yield
        finally:
            _ask("scancel", "--user", getpass.getuser())
            with suppress(TimeoutError):
                _until(lambda: not _ask("squeue", "--noheader").stdout, "end of its jobs", folder)


def _configuration(folder: Path, munge: Path) -> str:
    settings = {
        "ClusterName": "cqlbench",
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={munge}",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        # No control groups, which a container has none of to give.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        # A job whose processes together take more memory than it asked for is ended, looked at every second.
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=1",
        "JobAcctGatherParams": "OverMemoryKill",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "AccountingStorageType": "accounting_storage/none",
        # A line for each job that ended, which squeue forgets after MinJobAge seconds.
        "JobCompType": "jobcomp/filetxt",
        "JobCompLoc": folder / "jobs.txt",
        "MinJobAge": 86400,
        "ReturnToService": 2,
        "SlurmdParameters": "config_overrides",
        "GresTypes": "gpu",
        # Seconds between being asked to end and being killed.
        "KillWait": 5,
    }
    node = f"NodeName=localhost NodeAddr=127.0.0.1 CPUs={PROCESSORS} RealMemory={MEMORY_MB} Gres=gpu:1"
    partitions = ["PartitionName=main Nodes=localhost Default=YES", "PartitionName=gpu Nodes=localhost"]
    return "\n".join([*(f"{key}={value}" for key, value in settings.items()), node, *partitions, ""])


@contextmanager
def _in_its_place(file: Path, place: Path) -> Iterator[None]:
    if place.exists() and not place.read_text().startswith(OURS):
        raise RuntimeError(f"{place} is not ours to overwrite.")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)
    try:
        yield
    finally:
        place.unlink()


@contextmanager
def _daemon(folder: Path, name: str, *words: str) -> Iterator[None]:
    with (folder / f"{name}.out").open("w") as log:
        # Also where this process is killed.
        command = ["setpriv", "--pdeathsig", "TERM", str(find_program(name)), *words]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True)


def _until(come: Callable[[], bool], what: str, folder: Path) -> None:
    end = time.monotonic() + 60
    while not come():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} after a minute; its words are in {folder}.")
        time.sleep(0.2)


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"no Slurm: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with slurm(Path(sys.argv[1]).resolve()), suppress(KeyboardInterrupt):
        print("Slurm is there; Ctrl-C ends it.", flush=True)
        signal.pause()
