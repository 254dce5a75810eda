"""``python -m quantize``."""

import sys

try:
    from quantize.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"error: python -m quantize needs {error.name}, which is not installed: run pip install '.[quantize]'")
sys.exit(main())
