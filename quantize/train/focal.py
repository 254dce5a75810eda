"""The loss of scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def quality_focal(logits: Tensor, target: Tensor, beta: float = 2.0) -> Tensor:
    """Quality focal loss (Li et al. 2020, arXiv 2006.04388), elementwise: |target − sigmoid|^beta times the
    cross-entropy with a soft target.
    """
    return (target - logits.sigmoid()).abs().pow(beta) * F.binary_cross_entropy_with_logits(
        logits, target, reduction="none"
    )
