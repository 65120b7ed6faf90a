"""Running the commands of a sweep, in processes on this machine or on a Ray cluster."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.processes import start_ganvas

CommandRunner = Callable[[Sequence[str], Path], int]  # the arguments of `ganvas`, a log file -> the exit code

POLL_SECONDS = 0.1  # between two checks of a process


class StopSignal:
    """Counts the requests to stop: the first lets the runs save a checkpoint, the second kills their processes."""

    def __init__(self, file: Path | None = None) -> None:
        """If `file` is given, the count is also written there, for processes on other nodes."""
        self.count, self.file = 0, file

    def __bool__(self) -> bool:
        return self.count > 0

    def request(self) -> None:
        self.count += 1
        if self.file is not None:
            files.write(self.file, str(self.count).encode())

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM request a stop. The processes run in their own sessions and do not get the signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, lambda *_: self.request()) for number in wanted}
        try:
            yield
        finally:
            for number, old in previous.items():
                signal.signal(number, old)


@contextmanager
def command_runner(on: Literal["here", "ray"], jobs: int, device: str, stop: StopSignal) -> Iterator[CommandRunner]:
    """Gives a function that runs a command; each of `jobs` commands at a time gets an equal share of the cores."""
    here = Path.cwd()
    if on == "ray":
        assert stop.file is not None, "the other nodes read it"
        stop.file.unlink(missing_ok=True)
        with _ray(jobs, device) as (threads, run):
            yield lambda words, log: run(words, log, threads, here, stop.file)
    else:
        threads = max(1, int(os.environ.get("OMP_NUM_THREADS") or _cores()) // jobs)
        yield lambda words, log: run_ganvas(words, log, threads, here, lambda: stop.count)


def run_ganvas(words: Sequence[str], log: Path, threads: int, folder: Path, stop: Callable[[], int]) -> int:
    """Run `ganvas` with the arguments `words` and this number of `threads` in `folder`; returns the exit code.

    The output is appended to `log`. When `stop()` is 1 the process is terminated (a run saves a checkpoint); at 2 it is
    killed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as output:
        process = start_ganvas(words, output, environment, folder)
        handled = 0
        try:
            while process.poll() is None:
                if stop() > handled:
                    handled = stop()
                    process.terminate() if handled == 1 else process.kill()
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode < 0 and not handled:
            output.write(f"error: killed by signal {-process.returncode} (was the memory full?)\n".encode())
    return process.returncode


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def import_ray() -> Any:
    """The module ray, with usage statistics off; raises UserError when it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("sweeps on Ray need the extra 'ray': pip install 'ganvas[ray]'") from None
    return ray


@contextmanager
def _ray(jobs: int, device: str) -> Iterator[tuple[int, Callable[..., int]]]:
    """Connect to a Ray cluster (RAY_ADDRESS, or a local one); gives the threads per task and `run_ganvas` as a task.

    The last argument of the task is the file with the number of requests to stop.
    """
    ray = import_ray()
    ray.init(log_to_driver=False, logging_level="error")
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    threads = max(1, int(min(sum(nodes) // jobs, max(nodes))))
    # A task that requests no GPU sees none.
    gpus = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    task = ray.remote(num_cpus=threads, num_gpus=int(gpus), max_retries=0)(_run_on_node)

    def run(*words: Any) -> int:
        try:
            return int(ray.get(task.remote(*words)))
        except ray.exceptions.RayError as error:
            with Path(words[1]).open("a") as log:
                log.write(f"error: the task was lost ({' '.join(str(error).split())[:200]})\n")
            return 1

    try:
        yield threads, run
    finally:
        ray.shutdown()


def _run_on_node(words: Sequence[str], log: Path, threads: int, folder: Path, stop_file: Path) -> int:
    """`run_ganvas` on the node that Ray chose; every node must see the folder of the sweep."""

    def stop() -> int:
        return int(stop_file.read_text()) if stop_file.is_file() else 0

    return run_ganvas(words, log, threads, folder, stop)
