"""``python -m seqloom.cli`` is ``seqloom``."""

from __future__ import annotations

import sys

from seqloom.cli import main

sys.exit(main())
