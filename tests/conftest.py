"""For all tests: hypothesis without a clock, since boards and shared machines are slow; and where the toolchain is."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile("edgeface", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgeface")

# `quantize` runs from the checkout and is never installed. At the end of the path, so that `edgeface` is the installed
# package, with its extension, and not the folder of sources.
sys.path.append(str(Path(__file__).parent.parent))
