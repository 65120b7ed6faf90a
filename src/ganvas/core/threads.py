"""How the threads of PyTorch and of the compiled kernels wait for each other."""

import os

POLICY = "OMP_WAIT_POLICY"

_given = POLICY in os.environ


def wait_politely() -> None:
    """Let threads that wait for each other sleep. To be called before PyTorch is imported.

    By default they wait in a loop and keep their core busy. Beside another busy process, such as a training, the thread
    that is waited for then gets no core: painting on two cores took 4 to 7 times as long. $OMP_WAIT_POLICY, if it is
    set, decides.
    """
    os.environ.setdefault(POLICY, "PASSIVE")


def given_environment() -> dict[str, str]:
    """The environment for a process of its own: without what `wait_politely` has set."""
    return {name: value for name, value in os.environ.items() if _given or name != POLICY}
