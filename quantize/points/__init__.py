"""The second network, edgeface-points: 68 points of one aligned face, with spread, depth, visibility and state.

Its steps are those of the detectors (`quantize.run`): ``data`` and the teachers of ``label`` are shared, the rest is
here, one file a purpose. `quantize.points.config` says what its recipe may hold.
"""
