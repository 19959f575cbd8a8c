"""pix2pixHD: coarse to fine, judged at several scales, a style for every object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.boundaries import boundary_map
from scenequilt.synthesis.interface import Conditions, checked_layout
from scenequilt.synthesis.losses import FIRST_CONVOLUTIONS, PerceptualLoss, weighted_first
from scenequilt.synthesis.multiscale import (
    MultiScaleDiscriminator,
    feature_matching,
    halved_smoothly,
)
from scenequilt.synthesis.photograph_samples import PhotographBatch

NAME = "pix2pixhd"

GLOBAL_CHANNELS, ENCODER_CHANNELS = 64, 16
"""At full size; they double with every halving."""

ENCODER_DOWNSAMPLINGS = 4

CENTERS = 10
"""Most styles of a class."""

LARGE_SHARE = 1 / 64
"""Share of the picture above which the style of an object counts among those of its class."""

_KMEANS_ROUNDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pix2PixHDSettings:
    """What a Pix2PixHDGenerator is built with.

    Attributes:
        width: Factor on every channel count; 1 is the paper's.
        downsamplings: How often the global generator halves its input.
        blocks: Residual blocks of the global generator.
        enhancers: Local enhancers around it, each of which doubles the size: 0 up to 512x1024
            pixels, 1 for 1024x2048, 2 for twice that.
        enhancer_blocks: Residual blocks of each.
        features: Channels of the styles of objects, 3 in the paper; 0 builds no encoder.
        boundaries: Show the borders between objects, as the paper does.
        void_channel: Void is a channel as the classes are. The published weights for Cityscapes
            have none: their classes cover every label.

    Raises:
        ValueError: If a value is out of range.
    """

    width: float = 1.0
    downsamplings: int = 4
    blocks: int = 9
    enhancers: int = 0
    enhancer_blocks: int = 3
    features: int = 0
    boundaries: bool = True
    void_channel: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width <= 2:
            raise ValueError(f"width is {self.width}, expected more than 0 and at most 2")
        for name, least, most in (
            ("downsamplings", 1, 6),
            ("blocks", 1, 99),
            ("enhancers", 0, 2),
            ("enhancer_blocks", 1, 99),
            ("features", 0, 64),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} to {most}")

    def shown_channels(self, classes: int) -> int:
        """Return how many channels both generator and discriminator see of a layout."""
        return classes + self.void_channel + self.boundaries


class Pix2PixHDGenerator(nn.Module):
    """From a layout with instances to a photograph.

    The global generator paints at the coarsest size. Around it each local enhancer adds what it sees
    at twice the size to the features that come up to it. An encoder, if there is one, takes a
    photograph to few channels of style, averaged over every object and, for stuff, over every class.

    At width 1.0 with 36 channels given (35 classes and the borders): 182,546,755 parameters, and
    182,857,059 with one enhancer; with 3 channels of style, the encoder's 788,803 aside, 182,556,163
    and 182,871,171.

    Differs from the published code on purpose: objects of a class without styles take the mean of
    its small objects, or 0, where that reads memory it never wrote; what is drawn for an object
    depends on seed and number of the object alone, so that an edit leaves the others as they are.
    Sizes of 2^(downsamplings + enhancers) times a whole number are painted as they are, others are
    made so by repeating their last row and column.

    Args:
        classes: K.
        settings: Width and form.

    Source:
        Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional
        GANs".
    """

    style_centers: Tensor
    style_counts: Tensor

    def __init__(self, classes: int, settings: Pix2PixHDSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or Pix2PixHDSettings()
        given = settings.shown_channels(classes) + settings.features

        def wide(channels: int) -> int:
            return max(4, round(settings.width * channels))

        # Without its last layers in an enhancer, all other names stay: one can start from the other.
        self.global_generator = _Hourglass(
            given,
            [wide(GLOBAL_CHANNELS << level) for level in range(settings.downsamplings + 1)],
            settings.blocks,
            None if settings.enhancers else 3,
        )
        self.enhancers = nn.ModuleList()
        below = wide(GLOBAL_CHANNELS)
        for number in range(1, settings.enhancers + 1):
            above = wide(GLOBAL_CHANNELS >> number)
            last = number == settings.enhancers
            self.enhancers.append(
                _Hourglass(given, [above, below], settings.enhancer_blocks, 3 if last else None)
            )
            below = above
        self.encoder: _Hourglass | None = None
        if settings.features:
            levels = range(ENCODER_DOWNSAMPLINGS + 1)
            channels = [wide(ENCODER_CHANNELS << level) for level in levels]
            self.encoder = _Hourglass(3, channels, 0, settings.features)
            centers = torch.zeros(classes + 1, CENTERS, settings.features)
            self.register_buffer("style_centers", centers)
            self.register_buffer("style_counts", torch.zeros(classes + 1, dtype=torch.int64))
        draw_weights(self)

    @property
    def name(self) -> str:
        """How it is called in papers and on the command line."""
        return NAME

    def forward(
        self,
        layout: Tensor,
        instances: Tensor | None,
        photograph: Tensor | None = None,
        *,
        coarse_frozen: bool = False,
    ) -> Tensor:
        """Paint a picture.

        Args:
            layout: (B, K + 1, H, W) float one-hot, void last.
            instances: (B, H, W) int32, 0 = stuff; None without borders and styles alone.
            photograph: (B, 3, H, W) RGB in [0, 1] of the same layout, whose styles are taken; read
                only by a generator with an encoder, which needs it here.
            coarse_frozen: No gradient flows into what is inside of the outermost enhancer.

        Returns:
            (B, 3, H, W) RGB in [0, 1].

        Raises:
            ValueError: If an encoder lacks the photograph, or instances are needed and None.
        """
        features = None
        if self.encoder is not None:
            if photograph is None or instances is None:
                raise ValueError(
                    "photograph or instances is None, but the encoder takes styles from a photograph "
                    "by instances; give both, or call generate, which draws styles"
                )
            features = self.encoded(photograph, layout, instances)
        return self._painted(layout, instances, features, coarse_frozen=coarse_frozen)

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1].

        A generator with an encoder gives objects the styles they have in conditions.style, a
        photograph of the same layout; without one it draws them by the seed among those of their
        class. Otherwise it draws nothing and reads no style.

        Raises:
            MissingConditionError: Without instances, where borders or styles are wanted.
            ValueError: If layout or style have another shape.
        """
        return self.render(conditions, {}, seed=seed)

    def render(self, conditions: Conditions, styles: Mapping[int, int], *, seed: int = 0) -> Tensor:
        """Do the same with chosen styles for some objects.

        Args:
            conditions: As for generate.
            styles: Place among the styles of its class, from 0, by number of the instance; stuff goes
                by -1 - class id.
            seed: Of the other objects' styles.

        Raises:
            MissingConditionError: As generate.
            ValueError: As generate; or if there is no such instance, or no such style, or styles are
                chosen for a generator without an encoder.
        """
        layout, instances = self._read(conditions)
        if styles and self.encoder is None:
            raise ValueError(
                f"styles are chosen for {len(styles)} instances, but this generator has no encoder; "
                "train one with features = 3"
            )
        with torch.inference_mode():
            features = None
            if self.encoder is not None:
                assert instances is not None
                encoded = None
                if conditions.style is not None:
                    encoded = self.encoded(conditions.style, layout, instances)
                elif not self.style_counts.any():
                    raise ValueError(
                        "this generator has an encoder and no styles to draw from; let it learn them "
                        "from photographs with learn_styles, or give it a photograph as style"
                    )
                features = self._styled(layout, instances, styles, encoded, seed)
            return self._painted(layout, instances, features).clamp(0, 1)

    def encoded(self, photograph: Tensor, layout: Tensor, instances: Tensor) -> Tensor:
        """Return (B, F, H, W) float32 in [-1, 1], constant on every object.

        Args:
            photograph: (B, 3, H, W) RGB in [0, 1].
            layout: (B, K + 1, H, W) float one-hot.
            instances: (B, H, W) int32.

        Raises:
            ValueError: If there is no encoder, or the sizes differ.
        """
        features = self._encoded_pixels(photograph, layout)
        return mean_by_region(features, regions_of(layout.argmax(1), instances))

    def set_styles(self, clusters: "StyleClusters") -> None:
        """Take over the styles that are drawn from; they go into checkpoints with the weights.

        Raises:
            ValueError: If they are of other classes or another number of channels, or there is no
                encoder.
        """
        if self.encoder is None:
            raise ValueError("this generator has no encoder; train one with features = 3")
        if clusters.centers.shape != tuple(self.style_centers.shape):
            raise ValueError(
                f"styles are {clusters.centers.shape}, expected {tuple(self.style_centers.shape)} "
                "(classes and void, styles, channels)"
            )
        with torch.no_grad():
            self.style_centers.copy_(torch.from_numpy(clusters.centers))
            self.style_counts.copy_(torch.from_numpy(clusters.counts))

    def _read(self, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        layout = checked_layout(conditions.layout, self.classes)
        if not self.settings.boundaries and self.encoder is None:
            return layout, None
        return layout, conditions.needed("instances", self.name)

    def _encoded_pixels(self, photograph: Tensor, layout: Tensor) -> Tensor:
        """Return (B, F, H, W) float32, before they are averaged over objects."""
        if self.encoder is None:
            raise ValueError("this generator has no encoder; train one with features = 3")
        batch, _, height, width = layout.shape
        if photograph.shape != (batch, 3, height, width):
            raise ValueError(
                f"style is {tuple(photograph.shape)}, expected {(batch, 3, height, width)}: a "
                "photograph of the same layout"
            )
        seen = _padded(2 * photograph - 1, 2**ENCODER_DOWNSAMPLINGS)
        features: Tensor = self.encoder(seen.to(self._dtype))
        return features[..., :height, :width].float()

    def _painted(
        self,
        layout: Tensor,
        instances: Tensor | None,
        features: Tensor | None,
        *,
        coarse_frozen: bool = False,
    ) -> Tensor:
        height, width = layout.shape[2:]
        multiple = 2 ** (self.settings.downsamplings + self.settings.enhancers)
        given = shown(
            _padded(layout, multiple),
            None if instances is None else _padded(instances, multiple),
            self.settings,
        )
        if features is not None:
            given = torch.cat([given, _padded(features, multiple)], 1)
        pyramid = [given.to(self._dtype)]
        for _ in self.enhancers:
            pyramid.append(halved_smoothly(pyramid[-1]))
        wanted = torch.is_grad_enabled()
        with torch.set_grad_enabled(wanted and not (coarse_frozen and len(self.enhancers) > 0)):
            painted: Tensor = self.global_generator(pyramid.pop())
            for enhancer in self.enhancers[:-1]:
                painted = enhancer(pyramid.pop(), painted)
        for enhancer in self.enhancers[-1:]:
            painted = enhancer(pyramid.pop(), painted)
        return (painted[..., :height, :width].to(layout.dtype) + 1) / 2

    def _styled(
        self,
        layout: Tensor,
        instances: Tensor,
        styles: Mapping[int, int],
        encoded: Tensor | None,
        seed: int,
    ) -> Tensor:
        """Return (B, F, H, W): the chosen styles, else the encoded ones, else drawn ones."""
        labels = layout.argmax(1)
        regions = regions_of(labels, instances)
        centers, counts = self.style_centers.float(), self.style_counts.tolist()
        found: set[int] = set()
        pictures = []
        for place in range(len(labels)):
            keys, where = torch.unique(regions[place], return_inverse=True)
            pairs = where.flatten() * (self.classes + 1) + labels[place].flatten()
            shares = torch.bincount(pairs, minlength=len(keys) * (self.classes + 1))
            class_of = shares.view(len(keys), -1).argmax(1).tolist()
            picks = []
            for key, class_id in zip(keys.tolist(), class_of, strict=True):
                if key in styles and not 0 <= styles[key] < counts[class_id]:
                    raise ValueError(
                        f"style {styles[key]} of instance {key} is not there: its class {class_id} "
                        f"has {counts[class_id]} styles, counted from 0"
                    )
                picks.append(styles.get(key, _drawn(seed, key, counts[class_id])))
            found.update(keys.tolist())
            table = centers[torch.tensor(class_of), torch.tensor(picks)]  # (R, F)
            picture = table[where].permute(2, 0, 1)
            if encoded is not None:
                chosen = torch.tensor([key in styles for key in keys.tolist()]).to(where.device)
                picture = torch.where(chosen[where], picture, encoded[place])
            pictures.append(picture)
        unknown = sorted(set(styles) - found)
        if unknown:
            there = ", ".join(str(key) for key in sorted(found) if key > 0) or "none"
            raise ValueError(f"there is no instance {unknown[0]}; the layout has {there}")
        return torch.stack(pictures)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class _Hourglass(nn.Module):
    """A convolution of 7x7, halvings, residual blocks, doublings, a convolution of 7x7 and tanh.

    All but the last with instance norm, without gain and shift, and ReLU.

    Args:
        in_channels: Of what it is given.
        channels: At full size, at half of it, and so on.
        blocks: How many residual blocks there are at the smallest size.
        out_channels: None ends with the features of the last doubling.
    """

    def __init__(
        self, in_channels: int, channels: list[int], blocks: int, out_channels: int | None
    ) -> None:
        super().__init__()
        steps = range(len(channels) - 1)
        entry = nn.Conv2d(in_channels, channels[0], 7)
        self.entry = nn.Sequential(nn.ReflectionPad2d(3), *_normed(entry, channels[0]))
        self.down = nn.ModuleList(
            nn.Sequential(
                *_normed(nn.Conv2d(channels[step], channels[step + 1], 3, 2, 1), channels[step + 1])
            )
            for step in steps
        )
        self.blocks = nn.ModuleList(_ResidualBlock(channels[-1]) for _ in range(blocks))
        self.up = nn.ModuleList(
            nn.Sequential(
                *_normed(
                    nn.ConvTranspose2d(channels[step + 1], channels[step], 3, 2, 1, 1),
                    channels[step],
                )
            )
            for step in reversed(steps)
        )
        self.last: nn.Sequential | None = None
        if out_channels is not None:
            self.last = nn.Sequential(
                nn.ReflectionPad2d(3), nn.Conv2d(channels[0], out_channels, 7), nn.Tanh()
            )

    def forward(self, given: Tensor, added: Tensor | None = None) -> Tensor:
        """Return (B, C, H, W).

        Args:
            given: (B, in_channels, H, W).
            added: What is added to the features at the smallest size.
        """
        features: Tensor = self.entry(given)
        for down in self.down:
            features = down(features)
        if added is not None:
            features = features + added
        for block in self.blocks:
            features = block(features)
        for up in self.up:
            features = up(features)
        return features if self.last is None else self.last(features)


class _ResidualBlock(nn.Module):
    """Two convolutions of 3x3, added to what they are given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3), channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Take (B, C, H, W) to the same shape."""
        added: Tensor = self.layers(features)
        return features + added


def _normed(conv: nn.Module, channels: int) -> list[nn.Module]:
    return [conv, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def draw_weights(network: nn.Module) -> None:
    """Draw the weights of all convolutions from N(0, 0.02); biases stay as torch draws them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)


def shown(layout: Tensor, instances: Tensor | None, settings: Pix2PixHDSettings) -> Tensor:
    """Return what generator and discriminator see of a layout: classes, void, borders.

    Args:
        layout: (B, K + 1, H, W) float one-hot, void last.
        instances: (B, H, W) int32; read for the borders alone.
        settings: Which of them they see.

    Raises:
        ValueError: If borders are wanted without instances.
    """
    channels = layout if settings.void_channel else layout[:, :-1]
    if not settings.boundaries:
        return channels
    if instances is None:
        raise ValueError("instances is None, expected (B, H, W): borders are drawn between them")
    borders = boundary_map(layout.argmax(1), instances)
    return torch.cat([channels, borders.to(channels.dtype)], 1)


def regions_of(label_map: Tensor, instances: Tensor) -> Tensor:
    """Return what shares a style: an object, or all stuff of one class.

    Args:
        label_map: (B, H, W) int64 class ids, void = K.
        instances: (B, H, W) int32, 0 = stuff.

    Returns:
        (B, H, W) int64: the number of the instance; -1 - class id where there is none.
    """
    return torch.where(instances > 0, instances.long(), -1 - label_map)


def mean_by_region(features: Tensor, regions: Tensor) -> Tensor:
    """Replace features by their mean over each region of each picture. Differentiable.

    Args:
        features: (B, F, H, W) float.
        regions: (B, H, W) int64.

    Returns:
        (B, F, H, W), constant on every region.
    """
    means, where, _ = _means(features, regions)
    return means[where].permute(0, 3, 1, 2)


def _means(features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (R, F) means of all pictures' regions, (B, H, W) row in them, (R,) areas in pixels."""
    lowest = regions.min()
    span = regions.max() - lowest + 1
    places = torch.arange(len(regions), device=regions.device).view(-1, 1, 1)
    keys, where = torch.unique(regions - lowest + places * span, return_inverse=True)
    areas = torch.bincount(where.flatten(), minlength=len(keys))
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)  # (B * H * W, F)
    sums = pixels.new_zeros(len(keys), pixels.shape[1]).index_add(0, where.flatten(), pixels)
    return sums / areas[:, None], where, areas


def _drawn(seed: int, region: int, count: int) -> int:
    """Return which of a class's styles a region has; 0, whose centre is 0, if there is none."""
    if count == 0:
        return 0
    # Of its own for every region: taking one away changes no other. NumPy's integers are the same
    # on every machine.
    rng = np.random.default_rng((seed % 2**64, int(region > 0), abs(region)))
    return int(rng.integers(count))


def _padded(values: Tensor, multiple: int) -> Tensor:
    """Repeat last row and column until both sides are multiples of a number, at least the second.

    At the smallest size two pixels must be left, or a border of one could not be mirrored.
    """
    height, width = values.shape[-2:]
    rows, columns = (
        torch.arange(max(-(-side // multiple), 2) * multiple, device=values.device).clamp(
            max=side - 1
        )
        for side in (height, width)
    )
    if len(rows) == height and len(columns) == width:
        return values
    return values[..., rows[:, None], columns]


@dataclass(frozen=True, eq=False)
class StyleClusters:
    """The styles that the objects of each class have in photographs.

    Attributes:
        centers: (K + 1, 10, F) float32, the classes and void; 0 beyond those there are.
        counts: (K + 1,) int64, how many of the 10 there are.

    Raises:
        ValueError: If the shapes do not fit, or a count is not 0 to 10.
    """

    centers: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.counts), CENTERS)
        if self.centers.ndim != 3 or self.centers.shape[:2] != expected:
            raise ValueError(
                f"centers must be ({expected[0]}, {CENTERS}, F), got {self.centers.shape}"
            )
        if ((self.counts < 0) | (self.counts > CENTERS)).any():
            raise ValueError(f"counts must be 0 to {CENTERS}, got {self.counts.tolist()}")


def cluster_styles(
    generator: Pix2PixHDGenerator, batches: Iterable[PhotographBatch], *, seed: int = 0
) -> StyleClusters:
    """Find the styles of each class in photographs, by K-means of what the encoder makes of objects.

    Only objects above a 64th of the picture count. A class that has none, but smaller ones, has the
    mean of those as its one style.

    Args:
        generator: With an encoder; set_styles takes what is returned.
        batches: Labelled photographs, each once.
        seed: Of the first centres.

    Raises:
        ValueError: If the generator has no encoder, or there is no photograph.
    """
    device = next(generator.parameters()).device
    large: dict[int, list[NDArray[np.float32]]] = {}
    small: dict[int, list[NDArray[np.float32]]] = {}
    for batch in batches:
        conditions = batch.conditions(generator.classes)
        layout = conditions.layout.to(device)
        labels, instances = layout.argmax(1), batch.instance_map.to(device)
        with torch.inference_mode():
            features = generator._encoded_pixels(batch.real.to(device), layout)
            # A region of two classes, which only a careless edit makes, is taken apart.
            parts = regions_of(labels, instances) * (generator.classes + 1) + labels
            means, where, areas = _means(features, parts)
            class_of = torch.zeros_like(areas).scatter_(0, where.flatten(), labels.flatten())
        shares = (areas / labels[0].numel()).tolist()
        vectors = means.cpu().numpy()
        for vector, class_id, share in zip(vectors, class_of.tolist(), shares, strict=True):
            (large if share > LARGE_SHARE else small).setdefault(class_id, []).append(vector)
    if not large and not small:
        raise ValueError("there are no photographs to find styles in, expected at least 1")
    centers = np.zeros((generator.classes + 1, CENTERS, generator.settings.features), np.float32)
    counts = np.zeros(generator.classes + 1, np.int64)
    for class_id in sorted(large.keys() | small.keys()):
        if class_id in large:
            found = k_means(np.stack(large[class_id]), CENTERS, seed=seed)
        else:
            found = np.mean(small[class_id], axis=0, keepdims=True)
        counts[class_id] = len(found)
        centers[class_id, : len(found)] = found
    return StyleClusters(centers, counts)


def k_means(points: NDArray[np.float32], most: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return centres of points, so that the squared distances to the nearest are locally least.

    Args:
        points: (N, D).
        most: K; fewer if there are fewer different points.
        seed: Of the first centres.

    Returns:
        (k, D) float32, k at most K.

    Source:
        Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding"; Lloyd 1982.
    """
    rng = np.random.default_rng(seed)
    exact = points.astype(np.float64)
    centers = exact[rng.integers(len(exact))][None]
    while len(centers) < most:
        squares = _squares(exact, centers).min(1)
        if not squares.any():
            break
        centers = np.vstack([centers, exact[rng.choice(len(exact), p=squares / squares.sum())]])
    nearest = np.full(len(exact), -1)
    for _ in range(_KMEANS_ROUNDS):
        before, nearest = nearest, _squares(exact, centers).argmin(1)
        if (nearest == before).all():
            break
        # A centre that has lost all its points stays where it is.
        for place in np.unique(nearest):
            centers[place] = exact[nearest == place].mean(0)
    return np.asarray(centers, np.float32)


def _squares(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.square(points[:, None] - centers[None]).sum(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pix2PixHDLossSettings:
    """What counts how much.

    Attributes:
        scales: Discriminators: 2 up to 512x1024 pixels, 3 above.
        discriminator_width: Factor on their channels.
        feature_matching: Weight of the mean difference of their maps, summed over layers and
            averaged over scales; 0 leaves it out.
        perceptual: Weight of the classifier's maps; 0 leaves them out.
        frozen_batches: Batches in which only the outermost enhancer and the encoder learn; 10 rounds
            over the photographs in the paper's code. After them all does, at the rate of that time.

    Raises:
        ValueError: If a value is out of range.
    """

    scales: int = 2
    discriminator_width: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    frozen_batches: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.scales <= 4:
            raise ValueError(f"scales is {self.scales}, expected 1 to 4")
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )
        for name in ("feature_matching", "perceptual", "frozen_batches"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")


class Pix2PixHDObjective:
    """Photographs are told from pictures at several scales; pictures are to look like photographs.

    As in the code, the answers are summed over scales, the discriminators count half, and maps are
    compared with 10 / K where the paper has 10. The published code stopped unfreezing the global
    generator when it went over to mixed precision; here it learns after frozen_batches, by the same
    optimiser. Until then no gradient passes through it, so that the encoder learns through the
    enhancer alone.

    Args:
        generator: The network.
        perceptual: The frozen classifier; None leaves its term out, a published ablation.
        settings: Weights.
        device: Where the networks will be trained.

    Raises:
        ValueError: If batches are to be frozen, but there is no enhancer.

    Source:
        Wang et al. 2018, sections 3.2 and 3.3; Mao et al. 2017, "Least Squares Generative
        Adversarial Networks".
    """

    def __init__(
        self,
        generator: Pix2PixHDGenerator,
        perceptual: PerceptualLoss | None,
        settings: Pix2PixHDLossSettings,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if settings.frozen_batches and not generator.settings.enhancers:
            raise ValueError(
                f"frozen_batches is {settings.frozen_batches}, but without an enhancer nothing would "
                "learn; set enhancers = 1, or 0 batches"
            )
        self._generator = generator
        self._settings = settings
        self._perceptual: PerceptualLoss | None = None
        if perceptual is not None and settings.perceptual:
            self._perceptual = perceptual.comparing(
                FIRST_CONVOLUTIONS, pooling="max", standardised=False
            ).to(device)
        self._discriminator = MultiScaleDiscriminator(
            generator.settings.shown_channels(generator.classes) + 3,
            width=settings.discriminator_width,
            scales=settings.scales,
        )
        draw_weights(self._discriminator)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return discriminator and generator, the encoder within."""
        return {"discriminator": self._discriminator, "generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing."""
        return {}

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of a part's loss."""
        layout = batch.conditions(self._generator.classes).layout
        condition = shown(layout, batch.instance_map, self._generator.settings)
        if part == "discriminator":
            with torch.no_grad():
                made = self._made(layout, batch)
            return {
                "real": least_squares(self._maps(condition, batch.real), 1.0) / 2,
                "made": least_squares(self._maps(condition, made), 0.0) / 2,
            }
        made = self._made(layout, batch)
        of_made = self._maps(condition, made)
        losses = {"adversarial": least_squares(of_made, 1.0)}
        if self._settings.feature_matching:
            with torch.no_grad():
                of_real = self._maps(condition, batch.real)
            matched = feature_matching(of_real, of_made)
            losses["feature_matching"] = self._settings.feature_matching * matched
        if self._perceptual is not None:
            total = weighted_first(self._perceptual.terms(made, batch.real))
            losses["perceptual"] = self._settings.perceptual * total
        return losses

    def _made(self, layout: Tensor, batch: PhotographBatch) -> Tensor:
        made: Tensor = self._generator(
            layout,
            batch.instance_map,
            batch.real if self._generator.encoder is not None else None,
            coarse_frozen=batch.number <= self._settings.frozen_batches,
        )
        return made

    def _maps(self, condition: Tensor, pictures: Tensor) -> list[list[Tensor]]:
        seen = torch.cat([condition, 2 * pictures - 1], 1)
        maps: list[list[Tensor]] = self._discriminator(seen)
        return maps


def least_squares(maps: list[list[Tensor]], wanted: float) -> Tensor:
    """Return the mean squared distance of answers from a number, summed over scales.

    Args:
        maps: By scale and layer, the answers last.
        wanted: 1 for real, 0 for made.
    """
    answers = [of_scale[-1].float() for of_scale in maps]
    return torch.stack([(each - wanted).square().mean() for each in answers]).sum()


def published(
    state: Mapping[str, Tensor], classes: int, settings: Pix2PixHDSettings
) -> dict[str, Tensor]:
    """Take the tensors of a checkpoint as NVIDIA publishes it to those of this network.

    Args:
        state: Of the file latest_net_G.pth; if there is an encoder, that of latest_net_E.pth besides,
            with "E." before every name.
        classes: K; label_nc there, if void_channel is False.
        settings: Of this network; width 1.

    Returns:
        By name, all that this network has; no styles, which set_styles gives it.

    Raises:
        ValueError: If a tensor is missing, too much, or of another shape.
    """
    with torch.device("meta"):
        own = Pix2PixHDGenerator(classes, settings).state_dict()
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in _published_names(settings)
        for kind in ("weight", "bias")
    }
    # Instance norms of early versions of torch kept running means, which nobody reads.
    there = {name for name in state if not name.endswith(("running_mean", "running_var"))}
    there = {name for name in there if not name.endswith("num_batches_tracked")}
    missing = sorted(set(names.values()) - there)
    if missing:
        remedy = "; add the encoder's tensors as 'E.' and their name" if settings.features else ""
        raise ValueError(
            f"the checkpoint lacks {len(missing)} tensors, the first {missing[0]!r}; it is not of a "
            f"generator with {settings.enhancers} enhancers, {settings.blocks} and "
            f"{settings.enhancer_blocks} blocks and {settings.features} features{remedy}"
        )
    left = sorted(there - set(names.values()))
    if left:
        raise ValueError(
            f"the checkpoint has {len(left)} tensors too many, the first {left[0]!r}; set enhancers, "
            f"now {settings.enhancers}, and blocks, now {settings.blocks}, to what it has"
        )
    taken: dict[str, Tensor] = {}
    for name, like in own.items():
        if name in names:
            value = state[names[name]]
            if value.shape != like.shape:
                raise ValueError(
                    f"tensor {names[name]!r} is {tuple(value.shape)}, expected {tuple(like.shape)} "
                    f"for {classes} classes, void_channel {settings.void_channel}, boundaries "
                    f"{settings.boundaries}, {settings.features} features and width {settings.width}"
                )
            taken[name] = value
        else:
            taken[name] = torch.zeros(like.shape, dtype=like.dtype)
    return taken


def _published_names(settings: Pix2PixHDSettings) -> list[tuple[str, str]]:
    """Return the names of all convolutions, ours and theirs.

    There they are numbered in the order in which they run, norms, ReLUs and borders counted: a
    border, 7x7, norm, ReLU; three modules a halving; one a block; three a doubling; a border, 7x7.
    """
    ends = settings.enhancers == 0
    names = _numbered(
        "global_generator", "model", settings.downsamplings, settings.blocks, ends=ends
    )
    for number in range(1, settings.enhancers + 1):
        ours, theirs = f"enhancers.{number - 1}", f"model{number}"
        blocks = settings.enhancer_blocks
        # The halves are numbered from 0 each.
        names += [(f"{ours}.entry.1", f"{theirs}_1.1"), (f"{ours}.down.0.0", f"{theirs}_1.4")]
        names += _block_names(ours, f"{theirs}_2", blocks, 0)
        names.append((f"{ours}.up.0.0", f"{theirs}_2.{blocks}"))
        if number == settings.enhancers:
            names.append((f"{ours}.last.1", f"{theirs}_2.{blocks + 4}"))
    if settings.features:
        names += _numbered("encoder", "E.model", ENCODER_DOWNSAMPLINGS, 0, ends=True)
    return names


def _numbered(
    ours: str, theirs: str, steps: int, blocks: int, *, ends: bool
) -> list[tuple[str, str]]:
    names = [(f"{ours}.entry.1", f"{theirs}.1")]
    names += [(f"{ours}.down.{step}.0", f"{theirs}.{4 + 3 * step}") for step in range(steps)]
    names += _block_names(ours, theirs, blocks, 4 + 3 * steps)
    first = 4 + 3 * steps + blocks
    names += [(f"{ours}.up.{step}.0", f"{theirs}.{first + 3 * step}") for step in range(steps)]
    if ends:
        names.append((f"{ours}.last.1", f"{theirs}.{first + 3 * steps + 1}"))
    return names


def _block_names(ours: str, theirs: str, blocks: int, first: int) -> list[tuple[str, str]]:
    return [
        (f"{ours}.blocks.{block}.layers.{place}", f"{theirs}.{first + block}.conv_block.{place}")
        for block in range(blocks)
        for place in (1, 5)
    ]


def tried_with(generator: Pix2PixHDGenerator, batch: PhotographBatch) -> Conditions:
    """Return the layout, and the photographs for the styles of their objects if there is an encoder."""
    conditions = batch.conditions(generator.classes)
    return conditions if generator.encoder is None else replace(conditions, style=batch.real)


def learn_styles(generator: Pix2PixHDGenerator, batches: Iterable[PhotographBatch]) -> None:
    """Give a trained generator the styles of the photographs, if it has an encoder."""
    if generator.encoder is not None:
        generator.set_styles(cluster_styles(generator, batches))


BASELINE = Baseline(
    name=NAME,
    network=Pix2PixHDSettings,
    loss=Pix2PixHDLossSettings,
    build=Pix2PixHDGenerator,
    objective=Pix2PixHDObjective,
    draws=lambda settings: None if settings.features else 1,
    tried_with=tried_with,
    complete=learn_styles,
    published=published,
)
