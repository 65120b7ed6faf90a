import os
import subprocess
import sys

import pytest

CODE = """
import os
from ganvas.core import threads
threads.wait_politely()
print(os.environ["OMP_WAIT_POLICY"], threads.given_environment().get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(("given", "said"), [(None, "PASSIVE None"), ("ACTIVE", "ACTIVE ACTIVE")])
def test_only_what_the_user_has_set_is_passed_on(given: str | None, said: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment = others | ({"OMP_WAIT_POLICY": given} if given else {})
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
