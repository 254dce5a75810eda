"""Labelled photos: one internal sample type, readers of public formats, and the packed store that training reads."""

from quantize.data.sample import FaceLabel, Sample

__all__ = ["FaceLabel", "Sample"]
