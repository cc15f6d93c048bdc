"""`python -m robusttune` is the `robusttune` command."""

from robusttune.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
