"""``python -m mnistcore.ladder``."""

import sys

from . import main

sys.exit(main())
