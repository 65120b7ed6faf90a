"""Where the runs of a sweep are trained and scored: in processes of this machine, or of a Ray cluster."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ganvas.core import files
from ganvas.core.errors import UserError

Execute = Callable[[Sequence[str], Path], int]  # the words of a `ganvas` command, its log -> its exit code

PROMPT = "$ ganvas "  # before each command in a log
POLL_SECONDS = 0.1  # between two looks at a process


class Stop:
    """How often somebody asked the processes to stop: 1 lets the runs checkpoint, 2 does not."""

    def __init__(self, file: Path | None = None) -> None:
        """The count is kept in `file`, if given, where processes on other nodes see it."""
        self.times, self.file = 0, file

    def __bool__(self) -> bool:
        return self.times > 0

    def ask(self) -> None:
        self.times += 1
        if self.file is not None:
            files.write(self.file, str(self.times).encode())

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask to stop; the processes have sessions of their own, and hear it from here alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, lambda *_: self.ask()) for number in wanted}
        try:
            yield
        finally:
            for number, old in previous.items():
                signal.signal(number, old)


@contextmanager
def executor(on: Literal["here", "ray"], jobs: int, device: str, stop: Stop) -> Iterator[Execute]:
    """What runs the processes of `jobs` runs side by side, each with a fair share of the cores."""
    here = Path.cwd()
    if on == "ray":
        assert stop.file is not None, "the other nodes look at it"
        stop.file.unlink(missing_ok=True)
        with _ray(jobs, device) as (threads, run):
            yield lambda words, log: run(words, log, threads, here, stop.file)
    else:
        threads = max(1, int(os.environ.get("OMP_NUM_THREADS") or _cores()) // jobs)
        yield lambda words, log: run_ganvas(words, log, threads, here, lambda: stop.times)


def run_ganvas(words: Sequence[str], log: Path, threads: int, folder: Path, stop: Callable[[], int]) -> int:
    """Run `ganvas` with `words` in a process with so many `threads`, in `folder`; its exit code.

    What it says goes to the end of `log`. It is asked to end (and checkpoints) when `stop()` is 1, and killed at 2.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as output:
        output.write(f"{PROMPT}{shlex.join(words)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "ganvas", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        asked = 0
        try:
            while process.poll() is None:
                if stop() > asked:
                    asked = stop()
                    process.terminate() if asked == 1 else process.kill()
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode < 0 and not asked:
            output.write(f"error: killed by signal {-process.returncode} (was the memory full?)\n".encode())
    return process.returncode


def reason(log: Path) -> str:
    """The last line of a log that tells what went wrong with the last of its commands."""
    said = f"\n{log.read_text(errors='replace')}" if log.is_file() else ""
    _, prompt, last = said.rpartition(f"\n{PROMPT}")
    lines = [line.strip() for line in (last if prompt else said).splitlines()[1:]]
    lines = [line for line in lines if line]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return [*(lines[-1:] or ["it said nothing"]), *errors][-1]


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def import_ray() -> Any:
    """Ray, which reports nothing to anybody; raises UserError when it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("sweeps on Ray need the extra 'ray': pip install 'ganvas[ray]'") from None
    return ray


@contextmanager
def _ray(jobs: int, device: str) -> Iterator[tuple[int, Callable[..., int]]]:
    """A Ray cluster (that of RAY_ADDRESS, or a local one): threads of a task, and `run_ganvas` as a task.

    Its last argument is a file that says whether to stop.
    """
    ray = import_ray()
    ray.init(log_to_driver=False, logging_level="error")
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    threads = max(1, int(min(sum(nodes) // jobs, max(nodes))))
    # Without asking for a GPU, a task would see none.
    gpus = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    task = ray.remote(num_cpus=threads, num_gpus=int(gpus), max_retries=0)(_execute_on_node)

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


def _execute_on_node(words: Sequence[str], log: Path, threads: int, folder: Path, stop_file: Path) -> int:
    """`run_ganvas` on whatever node Ray chose; all of them see the folder of the sweep."""

    def stop() -> int:
        return int(stop_file.read_text()) if stop_file.is_file() else 0

    return run_ganvas(words, log, threads, folder, stop)
