"""`python -m ml_dash` is `ml-dash`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code."""
    try:
        from ml_dash import cli
    except KeyboardInterrupt:  # pressed while it was being loaded
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
