"""Video files in, faces of every frame out, and video files with the faces marked or covered."""

from edgeface.video.cover import FaceCover
from edgeface.video.obscuring import METHODS, obscure
from edgeface.video.reading import VIDEO_SUFFIXES, VideoResult, detect_video
from edgeface.video.writing import VideoWriter

__all__ = ["METHODS", "VIDEO_SUFFIXES", "FaceCover", "VideoResult", "VideoWriter", "detect_video", "obscure"]
