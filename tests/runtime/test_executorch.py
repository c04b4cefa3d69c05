"""ExecuTorch through the suite of every runtime with files."""

import pytest
from runtime.conformance import FileRuntimeTests

from optnas.runtime import runtime_of

pytestmark = pytest.mark.slow  # 5 to 15 s a network


class TestExecuTorch(FileRuntimeTests):
    runtime = runtime_of("executorch")
