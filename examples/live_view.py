"""Show a camera in a browser on the same machine: ``python examples/live_view.py 0`` and open the address it prints."""

import sys

import edgeface
from edgeface.web import LiveView

with edgeface.FaceEngine() as engine, LiveView(port=0) as view, engine.stream(sys.argv[1]) as stream:
    print(view.url, flush=True)
    for result in stream:
        view.show(result.frame, result.faces)
