"""Drawings that PI-REC paints from: lines one pixel wide, and a plan in few flat colours."""

import importlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.synthesis.interface import Conditions

FITTED_PX = 4096
"""At most so many pixels, evenly spread, decide the colours of a plan: behind a median of 15 pixels
and more, neighbours say the same, and the search among all of them takes ten times as long."""

ATTEMPTS, ITERATIONS, LEAST_MOVE = 8, 10, 1.0
"""Of K-means: starts, and when one ends: after so many rounds, or when no colour moves further."""

ON = 127
"""Grey level above which a pixel of a drawn edge image is a line."""

MARGIN_PX = 3
"""So far from the borders of a layout and from open pixels lines of a canvas are believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingSettings:
    """How a photograph becomes lines and a plan of colours; defaults as PI-REC is tried out.

    Attributes:
        sigma: Deviation in pixels of the blur before lines are looked for.
        blur_px: Odd side in pixels of the median before colours are gathered.
        clusters: Greatest number of colours before the last median.
        soften_px: Odd side in pixels of the median that rounds the borders of the colours; 1 leaves
            them.

    Raises:
        ValueError: If a value is out of range.
    """

    sigma: float = 3.5
    blur_px: int = 25
    clusters: int = 3
    soften_px: int = 3

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma} pixels, expected more than 0")
        if self.clusters < 1:
            raise ValueError(f"clusters is {self.clusters}, expected at least 1")
        for name in ("blur_px", "soften_px"):
            _check_odd(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionSettings:
    """Hyper-parameter Confusion: from what drawings are drawn anew for every sample in training.

    So one photograph is seen under many lines and plans, and a network does not get used to one way
    of drawing.

    Attributes:
        sigma: Least and greatest of DrawingSettings.sigma, in steps of 0.1 pixels.
        blur_px: Least and greatest of blur_px, odd.
        clusters: Least and greatest of clusters.
        soften_px: What soften_px is drawn from, odd.
        edge_drop: Share of the pixels of lines that are left out.
        jitter_px: Greatest shift in pixels, each way, of a layout from which lines and plan are
            made; our addition, as photographs need none.

    Raises:
        ValueError: If a range is empty or a value is out of range.

    Source:
        You, You and Pan 2019, "PI-REC: Progressive Image Reconstruction Network With Edge and Color
        Domain"; the ranges stand in comments of the authors' code.
    """

    sigma: tuple[float, float] = (2.5, 5.4)
    blur_px: tuple[int, int] = (15, 35)
    clusters: tuple[int, int] = (2, 5)
    soften_px: tuple[int, ...] = (1, 3, 5)
    edge_drop: float = 0.08
    jitter_px: int = 1

    def __post_init__(self) -> None:
        for name in ("sigma", "blur_px", "clusters"):
            least, greatest = getattr(self, name)
            if not 0 < least <= greatest:
                raise ValueError(
                    f"{name} goes from {least} to {greatest}, expected more than 0 and ascending"
                )
        if not self.soften_px:
            raise ValueError("soften_px is empty, expected at least one odd number of pixels")
        for name in ("blur_px", "soften_px"):
            for side in getattr(self, name):
                _check_odd(name, side)
        if not 0 <= self.edge_drop < 1:
            raise ValueError(f"edge_drop is {self.edge_drop}, expected at least 0 and below 1")
        if self.jitter_px < 0:
            raise ValueError(f"jitter_px is {self.jitter_px}, expected at least 0")


def draw_settings(confusion: ConfusionSettings, rng: np.random.Generator) -> DrawingSettings:
    """Draw how a sample is drawn; every value of a range is as likely as the others."""
    least, greatest = confusion.sigma
    tenths = round((greatest - least) * 10)
    blur_least, blur_greatest = confusion.blur_px
    return DrawingSettings(
        sigma=round(least + int(rng.integers(tenths + 1)) / 10, 6),
        blur_px=blur_least + 2 * int(rng.integers((blur_greatest - blur_least) // 2 + 1)),
        clusters=int(rng.integers(confusion.clusters[0], confusion.clusters[1] + 1)),
        soften_px=int(rng.choice(confusion.soften_px)),
    )


def drop_edges(
    edges: NDArray[np.bool_], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return lines (any shape) of which each pixel is left out with a probability of share."""
    kept: NDArray[np.bool_] = edges & (rng.random(edges.shape) >= share)
    return kept


def edges_of_photograph(image: NDArray[np.uint8], sigma: float) -> NDArray[np.bool_]:
    """Find the lines of a photograph: Canny's, with thresholds 0.1 and 0.2 on grey of 0 to 1.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: Deviation of the blur before, in pixels.

    Returns:
        (H, W) bool.

    Raises:
        ImportError: Without scikit-image.
        ValueError: If image is something else.

    Source:
        Canny 1986, "A Computational Approach to Edge Detection"; thresholds as You et al. 2019.
    """
    _check_image(image)
    grey = _needed("skimage.color", "scikit-image").rgb2gray(image)
    edges: NDArray[np.bool_] = _needed("skimage.feature", "scikit-image").canny(grey, sigma=sigma)
    return edges


def color_domain(
    image: NDArray[np.uint8], *, clusters: int, blur_px: int, soften_px: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Reduce a picture to a plan of its colours: median, K-means, median.

    The colours are found by at most 4096 evenly spread pixels, where the authors take all; every
    pixel is then given the nearest. OpenCV's random generator is seeded, and left where K-means
    leaves it.

    Args:
        image: (H, W, 3) uint8 RGB.
        clusters: Greatest number of colours before the last median.
        blur_px: Odd side of the first median in pixels.
        soften_px: Odd side of the last; 1 leaves it out.
        seed: Of the first colours that K-means tries.

    Returns:
        (H, W, 3) uint8 RGB. The last median works by channel, so it may mix further colours.

    Raises:
        ImportError: Without OpenCV.
        ValueError: If image is something else, or a number is out of range.

    Source:
        You, You and Pan 2019, "PI-REC", section on the colour domain.
    """
    _check_image(image)
    settings = DrawingSettings(clusters=clusters, blur_px=blur_px, soften_px=soften_px)
    cv2 = _needed("cv2", "opencv-python-headless")
    flat = _in_few_colors(cv2.medianBlur(image, settings.blur_px), settings.clusters, seed)
    softened: NDArray[np.uint8] = cv2.medianBlur(flat, soften_px) if soften_px > 1 else flat
    return softened


def edges_of_layout(label_map: Tensor, instance_map: Tensor | None = None) -> Tensor:
    """Draw the borders of objects and regions as lines one pixel wide.

    Args:
        label_map: (B, H, W) integer class ids.
        instance_map: (B, H, W) integer numbers of objects, 0 = stuff; None looks at classes alone.

    Returns:
        (B, 1, H, W) bool.
    """
    edges = torch.zeros(label_map.shape, dtype=torch.bool, device=label_map.device)
    for ids in (label_map,) if instance_map is None else (label_map, instance_map):
        # One side of a border only: the pixel above it or to the left of it.
        edges[:, :, :-1] |= ids[:, :, 1:] != ids[:, :, :-1]
        edges[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    return thinned(edges[:, None])


def thinned(edges: Tensor) -> Tensor:
    """Cut the corners of lines, so that the steps of a slope touch by their corners alone.

    What hangs together still does, corners counted as touching. Lines that are wider than one pixel
    stay so.

    Args:
        edges: (B, 1, H, W) bool.
    """
    for flipped in ((), (2,), (3,), (2, 3)):
        turned = edges.flip(flipped)
        around = F.pad(turned, (1, 1, 1, 1))
        above, right = around[:, :, :-2, 1:-1], around[:, :, 1:-1, 2:]
        below, left, far = around[:, :, 2:, 1:-1], around[:, :, 1:-1, :-2], around[:, :, 2:, :-2]
        # The pixels above and right of it touch each other, and nothing else needs it. No two
        # neighbours are such corners of one direction, so that all may go at once.
        corner = turned & above & right & ~below & ~left & ~far
        edges = (turned & ~corner).flip(flipped)
    return edges


def colors_of_classes(label_map: Tensor, class_colors: Tensor) -> Tensor:
    """Give every pixel the colour of its class.

    Args:
        label_map: (B, H, W) integer class ids; K and above is void.
        class_colors: (K + 1, 3) RGB, that of void last.

    Returns:
        (B, 3, H, W), type of class_colors.
    """
    places = label_map.long().clamp(max=len(class_colors) - 1)
    return class_colors[places].permute(0, 3, 1, 2).contiguous()


def conditions_of_photograph(
    conditions: Conditions,
    photographs: Tensor,
    settings: DrawingSettings | None = None,
    *,
    seed: int = 0,
) -> Conditions:
    """Draw lines and colours of photographs, as PI-REC reconstructs them: PI-REC-oracle.

    A generator so asked has seen the answer; its figures are no match for those of generators that
    see the layout alone.

    Args:
        conditions: B scenes of H x W pixels.
        photographs: (B, 3, H, W) float RGB in [0, 1].
        settings: How they are drawn.
        seed: Of the colours.

    Returns:
        The conditions with edges and color_domain.

    Raises:
        ImportError: Without scikit-image or OpenCV.
        ValueError: If photographs are of another size.
    """
    wanted = (conditions.layout.shape[0], 3, *conditions.layout.shape[2:])
    if photographs.shape != wanted:
        raise ValueError(f"photographs must be {wanted}, got {tuple(photographs.shape)}")
    settings = settings or DrawingSettings()
    images = _as_images(photographs)
    edges = np.stack([edges_of_photograph(image, settings.sigma) for image in images])
    return replace(
        conditions,
        edges=torch.from_numpy(edges)[:, None].to(conditions.layout.device),
        color_domain=_plans(images, settings, seed).to(conditions.layout),
    )


def conditions_of_canvas(
    conditions: Conditions,
    class_colors: Tensor,
    settings: DrawingSettings | None = None,
    *,
    canvas_edges: bool = True,
    seed: int = 0,
) -> Conditions:
    """Draw lines and colours of a canvas, so that PI-REC can finish a composition.

    Lines are the borders of the layout and, inside of its regions, those of the canvas; seams and
    the rims of open pixels are no lines. The plan of colours is that of the canvas, what is open or
    elided in it filled by the colours of the classes.

    Args:
        conditions: With canvas and coverage, and elided if pixels were taken out.
        class_colors: (K + 1, 3) RGB in [0, 1], that of void last: class_colors of PiRec.
        settings: How the canvas is drawn.
        canvas_edges: Draw the lines of the canvas besides.
        seed: Of the colours.

    Returns:
        The conditions with edges and color_domain.

    Raises:
        ImportError: Without OpenCV, and for canvas_edges scikit-image.
        MissingConditionError: Without canvas or coverage.
    """
    settings = settings or DrawingSettings()
    canvas, coverage = (
        conditions.needed(name, "PI-REC of a canvas") for name in ("canvas", "coverage")
    )
    present = coverage if conditions.elided is None else coverage & ~conditions.elided
    label_map = conditions.layout.argmax(1)
    edges = edges_of_layout(label_map, conditions.instances)
    flat = colors_of_classes(label_map, class_colors.to(canvas))
    images = _as_images(torch.where(present, canvas, flat))
    if canvas_edges:
        found = np.stack([edges_of_photograph(image, settings.sigma) for image in images])
        doubted = F.max_pool2d((edges | ~present).float(), 2 * MARGIN_PX + 1, 1, MARGIN_PX) > 0
        edges = edges | torch.from_numpy(found)[:, None].to(edges.device) & ~doubted
    return replace(
        conditions, edges=edges, color_domain=_plans(images, settings, seed).to(conditions.layout)
    )


def conditions_of_drawing(
    lines: NDArray[np.uint8],
    colors: NDArray[np.uint8],
    *,
    classes: int,
    size_hw: tuple[int, int] | None = None,
) -> Conditions:
    """Take a drawing that a person made: white lines on black, and a plan of colours.

    Args:
        lines: (h, w) or (h, w, 3) uint8; a pixel is on a line where the mean of its channels is
            above 127.
        colors: (h, w, 3) uint8 RGB of any size.
        classes: K of the generator. The drawing has no layout; it is given as void throughout.
        size_hw: (height, width) in pixels that both are brought to, lines by the nearest pixel,
            colours bilinearly; None for the size of lines.

    Returns:
        Conditions of one scene, on the CPU, with layout, edges and color_domain.

    Raises:
        ValueError: If an array has another shape or type, or more than half of the pixels are on
            lines, as in a drawing of black on white.
    """
    if lines.dtype != np.uint8 or lines.ndim not in (2, 3):
        raise ValueError(
            f"lines must be (h, w) or (h, w, 3) uint8, got {lines.shape} {lines.dtype}"
        )
    _check_image(colors, "colors")
    grey = lines if lines.ndim == 2 else lines.mean(axis=2).astype(np.uint8)
    height, width = size_hw or grey.shape
    seen = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.NEAREST))
    edges = seen > ON
    if edges.mean() > 0.5:
        raise ValueError(
            f"lines are on in {edges.mean():.0%} of the pixels, expected white lines on black; "
            "invert the picture"
        )
    plan = np.asarray(Image.fromarray(colors).resize((width, height), Image.Resampling.BILINEAR))
    layout = torch.zeros(1, classes + 1, height, width)
    layout[:, -1] = 1
    return Conditions(
        layout=layout,
        edges=torch.from_numpy(edges)[None, None],
        color_domain=_as_tensor([plan]),
    )


def _in_few_colors(image: NDArray[np.uint8], clusters: int, seed: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 with at most so many colours, those that K-means finds."""
    cv2 = _needed("cv2", "opencv-python-headless")
    pixels = image.reshape(-1, 3).astype(np.float32)
    step = math.ceil(math.sqrt(len(pixels) / FITTED_PX))
    fitted = image[::step, ::step].reshape(-1, 3).astype(np.float32)
    ends = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, ITERATIONS, LEAST_MOVE)
    cv2.setRNGSeed(seed)
    _, _, centers = cv2.kmeans(
        fitted, min(clusters, len(fitted)), None, ends, ATTEMPTS, cv2.KMEANS_PP_CENTERS
    )
    # |p - c|^2 up to |p|^2, which is the same for every colour.
    nearest = (np.square(centers).sum(1) - 2 * pixels @ centers.T).argmin(1)
    flat: NDArray[np.uint8] = centers.astype(np.uint8)[nearest].reshape(image.shape)
    return flat


def _plans(images: list[NDArray[np.uint8]], settings: DrawingSettings, seed: int) -> Tensor:
    """Return (B, 3, H, W) float in [0, 1], the plan of each picture."""
    return _as_tensor(
        [
            color_domain(
                image,
                clusters=settings.clusters,
                blur_px=settings.blur_px,
                soften_px=settings.soften_px,
                seed=seed,
            )
            for image in images
        ]
    )


def _as_images(pictures: Tensor) -> list[NDArray[np.uint8]]:
    """Return (H, W, 3) uint8 of each of (B, 3, H, W) in [0, 1]."""
    levels = (pictures.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return list(np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy()))


def _as_tensor(images: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def _needed(module: str, package: str) -> Any:  # noqa: ANN401 (a module)
    """Import what only drawings of photographs need."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"lines and colours of a picture need {package}, which is not installed; install it "
            f"with: pip install {package}"
        ) from error


def _check_image(image: NDArray[np.uint8], name: str = "image") -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"{name} must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")


def _check_odd(name: str, side: int) -> None:
    if side < 1 or side % 2 == 0:
        raise ValueError(f"{name} is {side} pixels, expected an odd number of at least 1")
