"""Lists, shows, compares, verifies and cleans up runs, by their folders."""

import sys

from service.inspection.command import inspect

if __name__ == "__main__":
    sys.exit(inspect(sys.argv[1:]))
