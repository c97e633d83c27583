"""bkctl as a program, with a scripted job: `driver.py BEHAVIOUR WORD...`."""

from __future__ import annotations

import dataclasses
import os
import sys

from bkctl.main import read_environment, run
from tests.cli.program import job_command

if __name__ == "__main__":
    environment = dataclasses.replace(read_environment(os.environ), job_command=job_command(sys.argv[1]))
    sys.exit(run(sys.argv[2:], environment))
