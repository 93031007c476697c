"""``python -m mnistcore.report``."""

import sys

from . import main

sys.exit(main())
