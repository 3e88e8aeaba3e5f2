"""``python -m convnet`` is the command ``convnet``."""

import sys

from convnet.cli import main

sys.exit(main())
