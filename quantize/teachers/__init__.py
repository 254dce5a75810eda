"""Teacher networks as plug-ins: each is a small class that takes a BGR photo (h, w, 3) uint8 and boxes, and returns
arrays.

None of their weights is part of edgeface; ``folder`` says where the user keeps them. Licences stand in each module
and go to the lineage.
"""

from quantize.teachers.fsanet import FsaNet
from quantize.teachers.mobilefacenet import MobileFaceNet
from quantize.teachers.tddfa import Tddfa
from quantize.teachers.yunet import YuNet

__all__ = ["FsaNet", "MobileFaceNet", "Tddfa", "YuNet"]
