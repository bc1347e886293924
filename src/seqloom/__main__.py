"""``python -m seqloom``: the command line."""

from seqloom.cli import main

raise SystemExit(main())
