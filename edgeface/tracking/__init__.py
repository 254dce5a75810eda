"""Faces over time: stable ids, smoothing, and the best shot of each person."""

from edgeface.tracking.best_shot import BestShot
from edgeface.tracking.events import EventKind, EventSettings, FaceEvent, FaceEvents
from edgeface.tracking.smoothing import Smoothing
from edgeface.tracking.tracker import Tracker, TrackInfo, TrackState

__all__ = [
    "BestShot",
    "EventKind",
    "EventSettings",
    "FaceEvent",
    "FaceEvents",
    "Smoothing",
    "TrackInfo",
    "TrackState",
    "Tracker",
]
