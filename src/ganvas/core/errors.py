"""The exceptions that users see."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A problem that the user can solve: one line that says what is wrong and what to do.

    The command line prints this line without a traceback and exits with `exit_code`.
    """

    exit_code = 2


class RunFailed(UserError):
    """A run that could not continue (a loss that is not finite, a full disk); its last good checkpoint is kept."""

    exit_code = 1


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that the memory of the machine or of a GPU is full."""
    return isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a mistyped word: `did you mean 'x'?`, or the list of choices if none of them is similar."""
    known = sorted(set(choices))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(known)}"
