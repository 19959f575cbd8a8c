"""Pictures inside a page: as data URIs, so that no file need lie beside it."""

import base64
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_PX = 640
JPEG_QUALITY = 88


def data_uri(pixels: NDArray[np.uint8], longest_px: int = LONGEST_PX) -> str:
    """Return a picture as a data URI: lossless where that is smaller, else JPEG.

    Layouts in flat colours come out lossless, photographs as JPEG.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        longest_px: Larger pictures are reduced to this length of the longer side.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    flat = picture.getcolors(maxcolors=256) is not None
    scale = min(1.0, longest_px / max(picture.size))
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        # Colours of a layout say what is where: none may come out in between.
        method = Image.Resampling.NEAREST if flat else Image.Resampling.LANCZOS
        picture = picture.resize((width, height), method)
    jpeg = BytesIO()
    picture.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    kind, blob = "jpeg", jpeg.getvalue()
    if flat:
        png = BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
        if len(png.getvalue()) < len(blob):
            kind, blob = "png", png.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(blob).decode('ascii')}"
