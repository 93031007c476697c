"""``python -m mnistcore.ladder.backprop``."""

import sys

from . import main

sys.exit(main())
