"""`python -m mlops_workbench`: the command line."""

import sys

from mlops_workbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
