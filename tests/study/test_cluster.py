import os
import signal
import threading
import time

import pytest

from neurn import study
from neurn.study.pools import open_cluster, slurm_cluster
from neurn.study.settings import Cluster

from .toy import SETTINGS, contents, stages

distributed = pytest.importorskip("distributed", reason="distributed is not installed")


def _on_cluster(**settings):
    return SETTINGS.model_copy(update={"cluster": Cluster(**settings)})


def test_workers_of_a_cluster_give_what_one_process_gives_though_one_is_killed(
    tmp_path, monkeypatch
):
    workers = []
    real = distributed.LocalCluster

    def local(**options):
        cluster = real(**options)
        workers.extend(cluster.workers.values())
        return cluster

    monkeypatch.setattr(distributed, "LocalCluster", local)
    killed = []

    def kill():
        while len(contents(tmp_path / "cluster")) < 4:
            time.sleep(0.02)
        killed.append(workers[0].pid)
        os.kill(workers[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    settings = _on_cluster(kind="local", workers=3, memory="1 GB")
    result = study.run(settings, tmp_path / "cluster", stages(sleep=0.2), quiet=True)
    thread.join()
    assert killed
    assert result.complete
    study.run(SETTINGS, tmp_path / "serial", stages(sleep=0.2, count=12), workers=1, quiet=True)
    assert contents(tmp_path / "cluster") == contents(tmp_path / "serial")


def test_a_scheduler_that_runs_already(tmp_path):
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        settings = _on_cluster(kind="scheduler", address=cluster.scheduler_address)
        result = study.run(settings, tmp_path, stages(2), quiet=True)
    assert result.complete
    assert result.done == 5


def test_no_scheduler_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("neurn.study.pools._SECONDS_TO_CONNECT", 1)
    settings = _on_cluster(kind="scheduler", address="tcp://127.0.0.1:1")
    with pytest.raises(study.StudyError, match=r"^cluster: no scheduler answers"):
        study.run(settings, tmp_path, stages(2), quiet=True)


def test_slurm_is_asked_for_what_the_file_says(tmp_path):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    settings = Cluster(
        kind="slurm",
        workers=3,
        memory="12 GB",
        queue="long",
        account="vision",
        walltime="1-02:00:00",
        cores=4,
        directives=("--gres=gpu:1",),
        setup=("module load python",),
    )
    with slurm_cluster(settings, tmp_path) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH -p long",
        "#SBATCH -A vision",
        "#SBATCH -t 1-02:00:00",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=12G",
        "#SBATCH --gres=gpu:1",
        "module load python",
    ):
        assert line in script, script
    assert f"#SBATCH -o {tmp_path / 'slurm'}" in script
    assert "--nthreads 1" in script


def test_without_slurm_the_error_says_so(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Cluster(kind="slurm", workers=1)
    with pytest.raises(study.StudyError, match="sbatch"), open_cluster(settings, tmp_path, 1):
        pass
