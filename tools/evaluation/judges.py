"""The networks that pictures are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass

from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.perceptual import PerceptualNetwork
from scenequilt.tools.evaluation.segmenter import Segmenter


@dataclass(frozen=True)
class Judges:
    """The networks that pictures are judged by; what is not there is not measured.

    Attributes:
        segmenters: The one that figures are quoted with first, then second opinions.
        perceptual: For LPIPS where they have heads, and for distances between sets of pictures.
        features: Further networks, for distances between sets of pictures only.
    """

    segmenters: Sequence[Segmenter] = ()
    perceptual: Sequence[PerceptualNetwork] = ()
    features: Sequence[FeatureNetwork] = ()

    @property
    def feature_networks(self) -> tuple[FeatureNetwork, ...]:
        """Every network that sets of pictures are compared by; a given Inception-v3 comes first."""
        return (*self.features, *self.perceptual)

    @property
    def heads(self) -> tuple[PerceptualNetwork, ...]:
        """Every network that has LPIPS heads."""
        return tuple(network for network in self.perceptual if network.has_heads)

    def unmeasured(self) -> dict[str, str]:
        """Return what cannot be measured for want of a network, with the remedy."""
        missing: dict[str, str] = {}
        if not self.segmenters:
            missing["layout fidelity"] = (
                "no segmenter was given; train one with scenequilt train segmenter, or name a file "
                "of weights with --segmenter"
            )
        if not self.feature_networks:
            missing["distribution"] = (
                "no feature network was given; name a folder with Inception-v3, VGG-16, AlexNet or "
                "EfficientNet weights with --weights"
            )
        if not self.heads:
            missing["LPIPS"] = (
                "no network with LPIPS heads was given; name a folder with vgg16 or alexnet and "
                "their heads (.npz) with --weights"
            )
        return missing
