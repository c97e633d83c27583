"""`python -m bkctl`."""

from __future__ import annotations

import sys

from bkctl.main import main

if __name__ == "__main__":
    sys.exit(main())
