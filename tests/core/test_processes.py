"""Commands of ganvas in processes of their own."""

import os
from pathlib import Path

from ganvas.core.processes import failure_reason, start_ganvas


def test_the_reason_is_that_of_the_last_command(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert failure_reason(log) == "it printed nothing"
    with log.open("ab") as output:
        output.write(b"$ ganvas train\nerror: of an earlier command\n")
        process = start_ganvas(["recipes", "nowhere"], output, os.environ, tmp_path)
        assert process.wait(300) == 2
    assert log.read_text().splitlines()[2] == "$ ganvas recipes nowhere"
    assert failure_reason(log).startswith("unknown recipe 'nowhere'")
    with log.open("a") as file:
        file.write("$ ganvas train\nTraceback\nRuntimeError: no such kernel\n")
    assert failure_reason(log) == "RuntimeError: no such kernel"
