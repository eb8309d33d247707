"""Where items are done: in this process, in processes of this machine, or on a cluster."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn._optional import import_optional
from neurn.study.read import StudyError
from neurn.study.worker import start_process

if TYPE_CHECKING:
    from neurn.study.settings import Cluster

_SECONDS_TO_CONNECT = 60


@dataclass(frozen=True)
class Pool:
    """What takes work.

    Attributes
    ----------
    executor : Executor
    slots : int
        Items at work at once.
    memory : int
        Of all items at work, in bytes; 0: each worker looks after its own.
    """

    executor: Executor
    slots: int
    memory: int


class Serial(Executor):
    """Does work at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function and return what came of it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def open_pool(workers: int, memory: int) -> Iterator[Pool]:
    """Provide processes of this machine; none is left behind, whatever happens.

    Parameters
    ----------
    workers : int
        1: no process but this one.
    memory : int
        In bytes.
    """
    if workers == 1:
        yield Pool(Serial(), 1, memory)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, start_process)
    try:
        yield Pool(executor, workers, memory)
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.kill()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def open_cluster(settings: Cluster, folder: Path, threads: int) -> Iterator[Pool]:
    """Provide workers of dask.distributed.

    Parameters
    ----------
    settings : Cluster
    folder : Path
        Where workers and SLURM write logs.
    threads : int
        That each item uses.

    Raises
    ------
    StudyError
        If no worker or scheduler answers.
    MissingExtraError
        If distributed, or dask-jobqueue for SLURM, is not installed; the extra ``cluster``.
    """
    distributed = import_optional("distributed", "cluster")
    cluster: Any = None
    try:
        if settings.kind == "local":
            cluster = distributed.LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=settings.memory,
                dashboard_address=None,
                local_directory=str(folder),
            )
        elif settings.kind == "slurm":
            if shutil.which("sbatch") is None:
                raise StudyError("cluster: kind = 'slurm' needs sbatch, and there is none here")
            cluster = slurm_cluster(settings, folder)
            cluster.scale(jobs=settings.workers)
        try:
            client = distributed.Client(
                cluster if cluster is not None else _address(settings.address),
                timeout=_SECONDS_TO_CONNECT,
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise StudyError(f"cluster: no scheduler answers ({error})") from None
        with client, client.get_executor(pure=False, retries=settings.retries) as executor:
            if settings.kind == "scheduler":
                slots = sum(client.nthreads().values())
                if not slots:
                    raise StudyError(f"cluster: {settings.address!r} has no worker")
            else:
                each = max(settings.cores // threads, 1) if settings.kind == "slurm" else 1
                slots = settings.workers * each
            yield Pool(executor, slots, 0)
    finally:
        if cluster is not None:
            cluster.close()


def slurm_cluster(settings: Cluster, folder: Path) -> Any:
    """Return dask-jobqueue's cluster of SLURM jobs; none is submitted yet.

    Parameters
    ----------
    settings : Cluster
    folder : Path
        For the jobs' logs.
    """
    jobqueue = import_optional("dask_jobqueue", "cluster")
    return jobqueue.SLURMCluster(
        queue=settings.queue or None,
        account=settings.account or None,
        walltime=settings.walltime,
        cores=settings.cores,
        processes=settings.cores,
        memory=f"{settings.memory} B",
        job_extra_directives=list(settings.directives),
        job_script_prologue=list(settings.setup),
        log_directory=str(folder / "slurm"),
        scheduler_options={"dashboard": False},
    )


def _address(text: str) -> Any:
    path = Path(text)
    return {"scheduler_file": str(path)} if path.suffix == ".json" else text
