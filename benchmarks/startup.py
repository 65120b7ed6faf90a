"""Processor time of commands that should answer at once, and of the smallest sample and painting.

python benchmarks/startup.py [--repeat 5]

Each command runs in a process of its own; its line gives the least user and system time, of it and its threads, in
seconds, beside what it should take at most. A busy machine makes all of them slower.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = {  # words of the command line, and the seconds that they may take
    "--help": 0.4,
    "--version": 0.4,
    "recipes": 0.4,
    "runs {folder}": 0.4,
    "trian": 0.4,
    "train strokes-cdcgan --epohcs 1": 0.4,
    "sample {folder}/run --n 4 --out {folder}/samples.png": 1.6,
    "paint --random tanh:8x64 --size 64 --out {folder}/painting.png": 1.6,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each command, of which the fastest counts")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        recipe = "train strokes-cdcgan --images 128 --device cpu --out {folder}/run --set network.base=8"
        seconds(recipe.format(folder=folder).split())
        print("seconds  at most  command")
        for command, limit in COMMANDS.items():
            words = command.format(folder=folder).split()
            least = min(seconds(words) for _ in range(repeat))
            print(f"{least:7.2f}  {limit:7.2f}  ganvas {command.replace('{folder}', Path(folder).name)}", flush=True)


def seconds(words: list[str]) -> float:
    """User and system time of `ganvas` with these words."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ganvas", *words], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
