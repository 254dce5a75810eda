"""Who the teachers are: name, licence and source of each, for the lineage of what learned from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from quantize.config import LabelOptions


@dataclass(frozen=True)
class Teacher:
    """A teacher network, as its authors publish it."""

    name: str
    use: str
    licence: str
    source: str


YUNET = Teacher("YuNet n", "boxes, landmarks", "BSD-3-Clause", "ShiqiYu/libfacedetection.train")
CENTERFACE = Teacher("CenterFace", "boxes, landmarks", "MIT", "Star-Clouds/CenterFace")
RETINAFACE = Teacher("RetinaFace mobilenet0.25", "boxes, landmarks", "MIT", "biubug6/Pytorch_Retinaface")
FSANET = Teacher("FSA-Net (three networks)", "rotation", "Apache-2.0", "shamangary/FSA-Net")
TDDFA = Teacher("3DDFA_V2 mb05", "landmarks, rotation", "MIT", "cleardusk/3DDFA_V2")
MESH = Teacher("MediaPipe Face Mesh", "landmarks, depth", "Apache-2.0", "google/mediapipe")
MOBILEFACENET = Teacher("MobileFaceNet", "quality targets", "Apache-2.0", "foamliu/MobileFaceNet")


def asked(options: LabelOptions) -> list[dict[str, str]]:
    """The teachers that step ``label`` asks under these options, as plain values.

    Examples:
        >>> asked(LabelOptions())
        []
    """
    if options.teachers is None:
        return []
    quality = [MOBILEFACENET] if options.quality_sets and options.quality_variants else []
    return [asdict(t) for t in (YUNET, CENTERFACE, RETINAFACE, FSANET, TDDFA, *quality)]
