import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_study_runs_and_reports_a_ratio_for_each_network(shared_data):
    command = [sys.executable, "studies/training_throughput.py", "--data-root", str(shared_data),
               "--images", "512", "--rounds", "1", "--usual-threads", "1"]  # fmt: skip
    run = subprocess.run(
        command,
        cwd=REPO,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for network in ("mobile", "plain"):
        usual, ours, ratio = re.search(rf"{network} +(\d+) +(\d+) +([\d.]+)", run.stdout).groups()
        assert float(ratio) == pytest.approx(int(ours) / int(usual), rel=0.02)
    assert "n = 1 rounds of 512 images, batch 128" in run.stdout
    assert "torch 2." in run.stdout
