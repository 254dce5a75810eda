"""``python -m edgeface``: the command line, where its script is not on the path."""

import sys

from edgeface.cli.app import main

sys.exit(main())
