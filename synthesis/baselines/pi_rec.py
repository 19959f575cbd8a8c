"""PI-REC: lines and a plan of flat colours are painted, and the painting is refined.

You, You and Pan 2019, "PI-REC: Progressive Image Reconstruction Network With Edge and Color Domain",
arXiv 1903.10146.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.drawing import (
    ConfusionSettings,
    color_domain,
    colors_of_classes,
    conditions_of_photograph,
    draw_settings,
    drop_edges,
    edges_of_layout,
    edges_of_photograph,
)
from scenequilt.synthesis.interface import Conditions, checked_layout
from scenequilt.synthesis.losses import BLOCKS, FIRST_CONVOLUTIONS, PerceptualLoss, layer_names
from scenequilt.synthesis.photograph_samples import ExtraMaker, PhotographBatch, Piece
from scenequilt.synthesis.refinement import one_hot_layout

Phase = Literal["imitation", "generating", "refinement"]

PHASES: tuple[Phase, ...] = ("imitation", "generating", "refinement")

CHANNELS = (64, 128, 256)
"""Of the generator at full size, at half and at a quarter."""

RESIDUAL_BLOCKS = 8

MULTIPLE_PX, LEAST_PX = 4, 16
"""Sides that the generator can do; mirrored borders at a quarter of the size need 3 pixels there."""

DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)

STYLE_LAYERS = ("conv2_2", "conv3_4", "conv4_4", "conv5_2")
"""Of VGG-19; VGG-16 ends the third and the fourth block one convolution earlier."""

DEVIATION = 0.02
"""Of the first weights, as in the code that the authors started from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PiRecSettings:
    """What PiRec is built with.

    Attributes:
        width: Factor on every channel count; 1.0 is the paper's.
        source: What it learns to paint from: "photograph", the lines and colours of the photograph
            itself, as the paper does, so that it needs lines and colours of that kind ever after;
            or "layout", the borders of the layout and the mean colours of the classes, so that a
            layout is enough.
        refine: Refine the painting by a second network of the same kind.

    Raises:
        ValueError: If width is not in (0, 2], or source is another word.
    """

    width: float = 1.0
    source: Literal["layout", "photograph"] = "layout"
    refine: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width <= 2:
            raise ValueError(f"width is {self.width}, expected more than 0 and at most 2")
        if self.source not in ("layout", "photograph"):
            raise ValueError(f"source is {self.source!r}, expected 'layout' or 'photograph'")


class PiRecGenerator(nn.Module):
    """Paints four channels over, lines and colours: the one network of all phases.

    At width 1.0 it has 10,545,219 parameters, and a place of its middle looks at 208 pixels.

    Args:
        width: Factor on the channels 64, 128 and 256.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        full, half, quarter = (max(4, round(width * channels)) for channels in CHANNELS)
        self.encoder = nn.Sequential(
            nn.Conv2d(3 + 1, full, 7, padding=3, padding_mode="reflect"),
            *_normed(full),
            nn.Conv2d(full, half, 4, 2, padding=1),
            *_normed(half),
            nn.Conv2d(half, quarter, 4, 2, padding=1),
            *_normed(quarter),
        )
        self.middle = nn.Sequential(*(_ResidualBlock(quarter) for _ in range(RESIDUAL_BLOCKS)))
        self.decoder = nn.Sequential(
            # Not a transposed convolution as below it: the authors found fewer checkerboards.
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(quarter, half, 3, padding=1, padding_mode="reflect"),
            *_normed(half),
            nn.ConvTranspose2d(half, full, 4, 2, padding=1),
            *_normed(full),
            nn.Conv2d(full, 3, 7, padding=3, padding_mode="reflect"),
        )
        _draw_weights(self)

    def forward(self, edges: Tensor, colors: Tensor) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1].

        Args:
            edges: (B, 1, H, W), 1 on lines; H and W multiples of 4 and at least 16.
            colors: (B, 3, H, W) RGB in [0, 1].
        """
        given = torch.cat([colors, edges.to(colors.dtype)], 1)
        given = given.to(next(self.parameters()).dtype)
        painted: Tensor = self.decoder(self.middle(self.encoder(given)))
        # In bfloat16 the upper half of the range would have but a hundred steps.
        return (painted.float().tanh() + 1) / 2


class PiRec(nn.Module):
    """From lines and a plan of colours to a photograph, by a generator and a refiner.

    The paper speaks of one generator throughout; to paint, the weights as its second and as its
    third phase leave them are both needed, so there are two of one kind. 21,090,438 parameters at
    width 1.0 with the refiner, half of that without.

    Which phase comes is the objective's business; the refiner is used once it has begun to learn.

    Args:
        classes: K of the layouts, for the colours of the classes.
        settings: Width, source of lines and colours, with or without refiner.

    Attributes:
        class_colors: (K + 1, 3) buffer, mean RGB in [0, 1] of each class in the photographs it was
            trained with, void last; 0.5 for a class that was in none.
        refining: () float buffer, above 0 once the refiner learns. A fraction, so that processes
            that train together can average it.

    Source:
        You, You and Pan 2019; layers as in the authors' code.
    """

    name = "pi_rec"

    class_colors: Tensor
    refining: Tensor

    def __init__(self, classes: int, settings: PiRecSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or PiRecSettings()
        self.generator = PiRecGenerator(settings.width)
        self.refiner = PiRecGenerator(settings.width) if settings.refine else None
        self.register_buffer("class_colors", torch.full((classes + 1, 3), 0.5))
        self.register_buffer("refining", torch.zeros(()))

    def forward(self, edges: Tensor, colors: Tensor, *, refined: bool = False) -> Tensor:
        """Paint by the generator, or by the refiner where there is a painting to refine.

        Args:
            edges: (B, 1, H, W), 1 on lines; H and W multiples of 4 and at least 16.
            colors: (B, 3, H, W) RGB in [0, 1]: a plan of colours, or a painting.
            refined: Paint by the refiner.

        Returns:
            (B, 3, H, W) RGB in [0, 1].
        """
        network = self.generator if not refined or self.refiner is None else self.refiner
        painted: Tensor = network(edges, colors)
        return painted

    def reconstruct(self, edges: Tensor, color_domain: Tensor, *, refine: bool = True) -> Tensor:
        """Paint lines and a plan of any size; sides are padded to multiples of 4 by their borders.

        Args:
            edges: (B, 1, H, W) bool or float, 1 on lines.
            color_domain: (B, 3, H, W) float RGB in [0, 1].
            refine: Refine the painting, by the lines as they were given, if the refiner has learnt.

        Returns:
            (B, 3, H, W) RGB in [0, 1], type of color_domain.

        Raises:
            ValueError: If the two do not fit each other.
        """
        batch, _, height, width = color_domain.shape
        if color_domain.shape[1] != 3 or edges.shape != (batch, 1, height, width):
            raise ValueError(
                f"edges are {tuple(edges.shape)} and color_domain is {tuple(color_domain.shape)}, "
                "expected (B, 1, H, W) and (B, 3, H, W)"
            )
        below, beside = (
            max(math.ceil(side / MULTIPLE_PX) * MULTIPLE_PX, LEAST_PX) - side
            for side in (height, width)
        )
        number_type = next(self.generator.parameters()).dtype
        lines, painted = (
            F.pad(given.to(number_type), (0, beside, 0, below), mode="replicate")
            for given in (edges, color_domain)
        )
        painted = self(lines, painted)
        if refine and self.refiner is not None and bool(self.refining > 0):
            painted = self(lines, painted, refined=True)
        inside: Tensor = painted[..., :height, :width].to(color_domain.dtype)
        return inside

    def conditions_of_layout(self, conditions: Conditions) -> Conditions:
        """Fill edges and color_domain where they are None, if it was trained on layouts.

        Lines are the borders of objects and classes, one pixel wide; colours are those of the
        classes. No K-means merges these: that would hide classes which a layout tells apart.

        Args:
            conditions: B scenes of H x W pixels; without instances, classes alone have borders.

        Returns:
            The conditions, as they were if it was trained on photographs.
        """
        if self.settings.source != "layout":
            return conditions
        label_map = conditions.layout.argmax(1)
        edges, plan = conditions.edges, conditions.color_domain
        if edges is None:
            edges = edges_of_layout(label_map, conditions.instances)
        if plan is None:
            plan = colors_of_classes(label_map, self.class_colors.to(conditions.layout))
        return replace(conditions, edges=edges, color_domain=plan)

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1]. It draws nothing, so the seed changes nothing.

        Trained on layouts, it makes lines and colours of a layout itself where none are given; see
        conditions_of_layout. Those of a photograph, a canvas or a drawing by hand are made by
        scenequilt.synthesis.drawing and given.

        Raises:
            MissingConditionError: Without edges or color_domain, if it was trained on photographs.
            ValueError: If the layout has another number of classes, or edges or color_domain do not
                fit each other.
        """
        checked_layout(conditions.layout, self.classes)
        conditions = self.conditions_of_layout(conditions)
        edges, plan = (conditions.needed(name, self.name) for name in ("edges", "color_domain"))
        with torch.inference_mode():
            return self.reconstruct(edges, plan)


class PiRecDiscriminator(nn.Module):
    """Judges patches of 70 pixels, by the picture alone.

    Five convolutions of 4x4 with spectral norm and nothing else; 2,763,776 parameters at width 1.0.
    The authors did not publish theirs; this is that of the code they started from, with what is
    known of the paper: spectral norm, patches, a sigmoid at the end.

    Args:
        width: Factor on the channels 64, 128, 256 and 512.

    Source:
        Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"; Miyato
        et al. 2018, "Spectral Normalization for Generative Adversarial Networks".
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = [3, *(max(4, round(width * each)) for each in DISCRIMINATOR_CHANNELS), 1]
        convolutions = [
            nn.Conv2d(before, after, 4, stride, padding=1, bias=False)
            for before, after, stride in zip(
                channels[:-1], channels[1:], (2, 2, 2, 1, 1), strict=True
            )
        ]
        self.layers = nn.Sequential()
        for convolution in convolutions:
            _draw_weights(convolution)
            self.layers.append(spectral_norm(convolution))
            self.layers.append(nn.LeakyReLU(0.2, inplace=True))
        # What comes after the last is the sigmoid.
        self.layers.pop(-1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (B, 1, h, w) in [0, 1], 1 where a patch is taken for real.

        Args:
            pictures: (B, 3, H, W) RGB in [0, 1], at least 24 pixels a side.
        """
        answers: Tensor = self.layers(pictures)
        return answers.float().sigmoid()


@dataclass(frozen=True, slots=True, kw_only=True)
class PiRecLossSettings:
    """What counts how much in which phase, and how long the phases are.

    Neither the lengths nor the weights of the paper are known; these are ours, after those of
    EdgeConnect, whose code PI-REC's is made from.

    Attributes:
        imitation_batches: Batches of the first phase, in which the colours are the photograph's
            under white strokes.
        generating_batches: Batches of the second phase, in which they are the plan; the refiner
            learns in all that follow.
        pixel: Weight of the mean absolute difference of colours, by phase.
        adversarial: Weight of the adversarial term, by phase; 0 in all trains no discriminator.
        feature: Weight of the differences of the classifier's maps, by phase.
        style: Weight of the differences of their Gram matrices, by phase.
        masked: Least and greatest share of a photograph that strokes hide; the greatest is the
            paper's.
        confusion: From what the drawings are drawn.
        discriminator_width: Factor on the discriminator's channels.

    Raises:
        ValueError: If a value is out of range.
    """

    imitation_batches: int = 100_000
    generating_batches: int = 100_000
    pixel: tuple[float, float, float] = (1.0, 1.0, 1.0)
    adversarial: tuple[float, float, float] = (0.01, 0.1, 0.1)
    feature: tuple[float, float, float] = (0.1, 0.1, 1.0)
    style: tuple[float, float, float] = (50.0, 250.0, 250.0)
    masked: tuple[float, float] = (0.1, 0.7)
    confusion: ConfusionSettings = field(default_factory=ConfusionSettings)
    discriminator_width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("imitation_batches", "generating_batches"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.imitation_batches + self.generating_batches == 0:
            raise ValueError(
                "imitation_batches and generating_batches are 0, so that there is nothing to refine; "
                "give at least one of them"
            )
        for name in ("pixel", "adversarial", "feature", "style"):
            if min(getattr(self, name)) < 0:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, expected at least 0 in every phase"
                )
        if min(self.pixel) == 0:
            raise ValueError(f"pixel is {self.pixel}, expected more than 0 in every phase")
        least, greatest = self.masked
        if not 0 <= least <= greatest <= 0.7:
            raise ValueError(
                f"masked goes from {least} to {greatest}, expected ascending and within 0 to 0.7"
            )
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )

    def phase(self, number: int) -> Phase:
        """Return the phase of a batch by its number, from 1."""
        if number <= self.imitation_batches:
            return "imitation"
        if number <= self.imitation_batches + self.generating_batches:
            return "generating"
        return "refinement"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingMaker:
    """Draws a piece of a photograph for a sample, every time in another way.

    It makes "edges" (1, h, w) bool, "strokes" (1, h, w) bool, what is hidden in the first phase, and
    of what the plan is: "color_domain" (3, h, w) uint8 RGB from photographs, "label_map" (1, h, w)
    uint8 from layouts, whose colours the network knows. Lines of layouts and label_map are shifted
    together.

    Attributes:
        source: As PiRecSettings.source.
        loss: Its masked and confusion.
    """

    source: Literal["layout", "photograph"]
    loss: PiRecLossSettings

    def __call__(self, piece: Piece, rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
        """Return arrays by name.

        Raises:
            ImportError: From photographs, without scikit-image or OpenCV.
        """
        confusion = self.loss.confusion
        plan: dict[str, NDArray[np.generic]]
        if self.source == "photograph":
            drawn = draw_settings(confusion, rng)
            edges = edges_of_photograph(piece.image, drawn.sigma)
            colors = color_domain(
                piece.image,
                clusters=drawn.clusters,
                blur_px=drawn.blur_px,
                soften_px=drawn.soften_px,
                seed=int(rng.integers(2**31)),
            )
            plan = {"color_domain": np.ascontiguousarray(colors.transpose(2, 0, 1))}
        else:
            label_map, instance_map = _shifted(piece, confusion.jitter_px, rng)
            edges = edges_of_layout(
                torch.from_numpy(label_map)[None], torch.from_numpy(instance_map)[None]
            )[0, 0].numpy()
            plan = {"label_map": label_map[None]}
        strokes = draw_strokes(piece.label_map.shape, self.loss.masked, rng)
        return {
            "edges": drop_edges(edges, confusion.edge_drop, rng)[None],
            "strokes": strokes[None],
            **plan,
        }


def draw_strokes(
    size_hw: tuple[int, ...], share: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw strokes of a brush that hide a random share of a picture.

    Strokes wander, of random width and length, until the share is reached; one that would hide more
    than the greatest is not drawn. The authors took theirs from a data set of masks.

    Args:
        size_hw: (height, width) in pixels.
        share: Least and greatest share of the picture.
        rng: Decides.

    Returns:
        (H, W) bool, True where hidden. In rare draws less than the least share is.
    """
    height, width = size_hw
    least, greatest = share
    wanted = float(rng.uniform(least, greatest))
    side = min(height, width)
    hidden = np.zeros((height, width), np.bool_)
    for _ in range(100):
        if hidden.mean() >= wanted:
            break
        stroke = Image.new("L", (width, height))
        brush = ImageDraw.Draw(stroke)
        radius = float(rng.uniform(side / 60, side / 12))
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        angle = float(rng.uniform(0, 2 * math.pi))
        for _ in range(int(rng.integers(2, 9))):
            angle += float(rng.uniform(-1, 1)) * math.pi / 2
            length = float(rng.uniform(side / 12, side / 3))
            next_x, next_y = x + length * math.cos(angle), y + length * math.sin(angle)
            brush.line((x, y, next_x, next_y), fill=255, width=max(round(2 * radius), 1))
            x, y = next_x, next_y
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        more = hidden | (np.asarray(stroke) > 0)
        if more.mean() <= greatest:
            hidden = more
    return hidden


class PiRecObjective:
    """Learn to paint: first from half a photograph, then from a plan, then to refine the painting.

    In the first two phases the generator learns, and the refiner follows it: it is the generator
    still when it begins to learn, in the third phase, while the generator stays as it is and paints
    without gradient. Whether that has begun is kept in the network itself, so a run that is gone on
    with does not begin it again. The weights of the four terms change with the phase; they are also
    logged without them, as "raw_...".

    Nothing is known of how the authors show pictures to the classifier; the code they started from
    gives it RGB in [0, 1] as it is, without the mean and deviation it was trained with, and so does
    this.

    Args:
        generator: The network.
        perceptual: The frozen classifier; None leaves out the terms of features and style.
        settings: Weights and phases.
        device: Where the networks will be trained.

    Source:
        You, You and Pan 2019; Nazeri et al. 2019, "EdgeConnect: Generative Image Inpainting with
        Adversarial Edge Learning", section 3.2, for features and style; Mao et al. 2017, "Least
        Squares Generative Adversarial Networks".
    """

    def __init__(
        self,
        generator: PiRec,
        perceptual: PerceptualLoss | None,
        settings: PiRecLossSettings,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._generator = generator
        # Weights to start from may have refined already; a run that is gone on with loads its own.
        generator.refining.zero_()
        self._settings = settings
        self._looks = None if perceptual is None else _Looks(perceptual.to(device))
        self._discriminator = (
            PiRecDiscriminator(settings.discriminator_width) if any(settings.adversarial) else None
        )
        self._class_sums = torch.zeros(generator.classes + 1, 4, device=device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator, after the discriminator if there is one."""
        if self._discriminator is None:
            return {"generator": self._generator}
        return {"discriminator": self._discriminator, "generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return the sums of colours and shares, (K + 1, 4), from which class_colors come."""
        return {"class_sums": self._class_sums}

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the generator's or the discriminator's loss.

        Raises:
            ValueError: If the batch was made without DrawingMaker.
        """
        self._check(batch)
        if part == next(iter(self.networks)):
            self._prepare(batch)
        if part == "discriminator":
            return self._of_discriminator(batch)
        phase = PHASES.index(self._phase(batch))
        made, real = self._made(batch).float(), batch.real
        raw = {"pixel": (made - real).abs().mean()}
        if self._discriminator is not None:
            answers = self._discriminator(made)
            raw["adversarial"] = (answers - 1).square().mean()
        if self._looks is not None:
            raw["feature"], raw["style"] = self._looks.terms(made, real)
        losses = {name: getattr(self._settings, name)[phase] * raw[name] for name in raw}
        return losses | {f"raw_{name}": term.detach() for name, term in raw.items()}

    def _of_discriminator(self, batch: PhotographBatch) -> Mapping[str, Tensor]:
        assert self._discriminator is not None
        with torch.no_grad():
            made = self._made(batch).float()
        # One pass for both: nothing in it depends on what else is in the batch.
        of_real, of_made = self._discriminator(torch.cat([batch.real, made])).chunk(2)
        return {
            "real": 0.5 * (of_real - 1).square().mean(),
            "made": 0.5 * of_made.square().mean(),
        }

    def _phase(self, batch: PhotographBatch) -> Phase:
        phase = self._settings.phase(batch.number)
        return "generating" if phase == "refinement" and self._generator.refiner is None else phase

    def _made(self, batch: PhotographBatch) -> Tensor:
        """Return what the network that learns in this phase paints."""
        phase = self._phase(batch)
        edges = batch.extra["edges"].float()
        if phase == "imitation":
            white = torch.ones_like(batch.real)
            made: Tensor = self._generator(
                edges, torch.where(batch.extra["strokes"], white, batch.real)
            )
            return made
        if "color_domain" in batch.extra:
            plan = batch.extra["color_domain"].float() / 255
        else:
            label_map = batch.extra["label_map"][:, 0]
            plan = colors_of_classes(label_map, self._generator.class_colors)
        if phase == "refinement":
            # The generator has no layer that is another in evaluation, so this is its inference.
            with torch.no_grad():
                plan = self._generator(edges, plan)
        made = self._generator(edges, plan, refined=phase == "refinement")
        return made

    @torch.no_grad()
    def _prepare(self, batch: PhotographBatch) -> None:
        """Measure colours of classes and let the refiner follow, until that begins to learn."""
        network = self._generator
        if bool(network.refining > 0):
            return
        if self._phase(batch) != "refinement":
            self._measure(batch)
        if network.refiner is not None:
            # In every step, not just before it learns: averages of its weights over the steps
            # would else begin with weights that never painted.
            network.refiner.load_state_dict(network.generator.state_dict())
            if self._phase(batch) == "refinement":
                network.refining.fill_(1)

    def _measure(self, batch: PhotographBatch) -> None:
        labels = one_hot_layout(batch.label_map, self._generator.classes).transpose(0, 1).flatten(1)
        colors = batch.real.transpose(0, 1).flatten(1)  # (3, B * H * W)
        seen = torch.cat([colors, torch.ones_like(colors[:1])])
        with torch.autocast(labels.device.type, enabled=False):
            # Means over the pixels, which stay small enough for float32 however many batches come.
            self._class_sums += labels @ seen.T / labels.shape[1]
        sums, shares = self._class_sums[:, :3], self._class_sums[:, 3:]
        means = sums / shares.clamp(min=torch.finfo(shares.dtype).tiny)
        self._generator.class_colors.copy_(torch.where(shares > 0, means, 0.5))

    def _check(self, batch: PhotographBatch) -> None:
        plan = "label_map" if self._generator.settings.source == "layout" else "color_domain"
        for name in ("edges", "strokes", plan):
            if name not in batch.extra:
                raise ValueError(
                    f"the batch has no {name!r} beside its photographs, there are "
                    f"{', '.join(batch.extra) or 'none'}; make batches with BASELINE.extra of the "
                    "same settings"
                )


class _Looks:
    """Terms of features and style, by one pass of the classifier."""

    def __init__(self, perceptual: PerceptualLoss) -> None:
        convolutions = {f"vgg{count + 3}": count for count in BLOCKS}[perceptual.network]
        there = layer_names(convolutions)
        last = {name.split("_")[0]: name for name in there}
        style = {name if name in there else last[name.split("_")[0]] for name in STYLE_LAYERS}
        layers = sorted({*FIRST_CONVOLUTIONS, *style}, key=there.index)
        self._style = style
        self._perceptual = perceptual.comparing(layers, pooling="max", standardised=False)

    def terms(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over their layers, unweighted."""
        with torch.no_grad():
            wanted = self._maps(real)
        feature, style = made.new_zeros(()), made.new_zeros(())
        for name, found, expected in zip(
            self._perceptual.layers, self._maps(made), wanted, strict=True
        ):
            if name in FIRST_CONVOLUTIONS:
                feature = feature + (found.float() - expected.float()).abs().mean()
            if name in self._style:
                style = style + (gram(found) - gram(expected)).abs().mean()
        return feature, style

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        # The classifier is shown colours c as 2c - 1, and here they are to reach it as they are.
        return self._perceptual.maps((pictures + 1) / 2)


def gram(maps: Tensor) -> Tensor:
    """Return how maps go together: (B, C, C) float32, F F^T / (C * H * W) of (B, C, H, W).

    Source:
        Johnson, Alahi and Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and
        Super-Resolution", section 3.2.
    """
    flat = maps.float().flatten(2)
    # Differences of the products are far smaller than these, and bfloat16 would lose them.
    with torch.autocast(maps.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        convolution = partial(nn.Conv2d, channels, channels, 3, padding_mode="reflect")
        self.layers = nn.Sequential(
            convolution(padding=2, dilation=2),
            *_normed(channels),
            convolution(padding=1),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = self.layers(features)
        return features + added


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)


def _draw_weights(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _shifted(
    piece: Piece, jitter_px: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return label map and instance map, moved by up to so many pixels each way."""
    rows, columns = (
        np.clip(np.arange(side) + int(rng.integers(-jitter_px, jitter_px + 1)), 0, side - 1)
        for side in piece.label_map.shape
    )
    place = np.ix_(rows, columns)
    return piece.label_map[place], piece.instance_map[place]


def _extra(network: PiRecSettings, loss: PiRecLossSettings) -> ExtraMaker:
    return DrawingMaker(source=network.source, loss=loss)


def told(loss: PiRecLossSettings) -> dict[str, str]:
    """Return how long the phases are, since a run that is shorter leaves some out."""
    return {
        "phases": f"{loss.imitation_batches} batches imitate, {loss.generating_batches} generate, "
        "all further ones refine"
    }


def tried_with(network: PiRec, batch: PhotographBatch) -> Conditions:
    """Return the layout, or lines and colours of the photographs where it learns from those."""
    conditions = batch.conditions(network.classes)
    if network.settings.source == "layout":
        return conditions
    return conditions_of_photograph(conditions, batch.real)


BASELINE = Baseline(
    name=PiRec.name,
    network=PiRecSettings,
    loss=PiRecLossSettings,
    build=PiRec,
    objective=PiRecObjective,
    draws=lambda settings: None if settings.source == "photograph" else 1,
    told=told,
    tried_with=tried_with,
    extra=_extra,
)
