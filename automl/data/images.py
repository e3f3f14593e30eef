"""Images: files of pixels as arrays of `[height, width, channels]` bytes, 1 channel of grey or 3 of colours."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.pixels import Canvas
from automl.errors import InputError
from search_spaces.stems import LARGEST, SMALLEST

Image = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_PIXELS = 64_000_000
MOST_ENLARGED = 8
"""What is made larger than so many times shows nothing that a model could learn from."""
BROKEN, UNLIKE = "broken image", "image of another ratio than its width and height say"
SAME_RATIO = 0.01
"""How far ratios of what is one image may be apart."""
ORIENTATION = 0x0112
TURNED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""How a camera was held, as EXIF has it → what turns its image upright; from 5 on width and height change places."""
Size = tuple[int, int]
"""Width and height."""


def read_image(image: str | Path | NDArray[Any]) -> Image:
    """Read an image as `read_sized` does."""
    return read_sized(image)[0]


def read_sized(image: str | Path | NDArray[Any], said: Size | None = None) -> tuple[Image, float]:
    """Read a file of PNG or JPEG, or take an array; its longest side is brought to what a model reads at most.

    A file is turned upright as its EXIF says, unless it is of the size that is said of it as it is stored.

    Returns:
        The image, and by how much it was made smaller, than what is said of it where it is.

    Raises:
        InputError: It is no image, one of more than 8 bits a channel, or of another ratio than is said of it.
    """
    if isinstance(image, np.ndarray):
        return _bounded(checked(image, "an array"), said)
    path = Path(image)
    try:
        return _bounded(_opened(path, said), said)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such image") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; name an image") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, SyntaxError, EOFError) as error:  # what Pillow raises at broken bytes
        raise InputError(f"{path}: {BROKEN} ({str(error)[:80] or type(error).__name__}); save it anew") from None


def size_of(path: Path) -> Size:
    """Return the width and the height of a file of PNG or JPEG that `read_image` reads."""
    with _open(path) as opened:
        return _upright((opened.width, opened.height), _orientation(opened))


def _upright(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation >= 5 else size


def _orientation(opened: Any) -> int:
    """Return how the camera was held; upright where that is unsaid, or its EXIF cannot be read."""
    if opened.format == "PNG" and "exif" not in opened.info:  # Pillow would look for it behind all pixels
        return 1
    try:
        found = opened.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return 1
    return found if isinstance(found, int) and found in TURNED else 1


def _open(path: Path) -> Any:
    pillow = _pillow()
    try:
        return pillow.open(path, formats=("PNG", "JPEG"))
    except pillow.DecompressionBombError:
        raise ValueError(f"too many pixels; {MOST_PIXELS:,} at most: make it smaller") from None


def _opened(path: Path, said: Size | None) -> Image:
    with _open(path) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width} × {opened.height} pixels; {MOST_PIXELS:,} at most: make it smaller")
        if opened.mode.startswith(("I", "F")):
            raise ValueError("more than 8 bits a channel; save it with 8")
        grey = opened.mode in ("1", "L", "LA")
        orientation = _orientation(opened)
        read = opened.convert("L" if grey else "RGB")
        if orientation > 1 and (said != read.size or said == _upright(read.size, orientation)):
            read = read.transpose(_pillow().Transpose[TURNED[orientation]])
        return checked(np.asarray(read), str(path))


def _pillow() -> Any:
    try:
        import PIL.Image
    except ImportError:
        raise InputError("images need Pillow; pip install 'automl-seq2seq[images]'") from None
    return PIL.Image


def checked(image: NDArray[Any], where: str) -> Image:
    """Return an array of pixels with its channels last.

    Raises:
        InputError: It is not one of bytes, of 1 or 3 channels and a side of one pixel at least.
    """
    if image.dtype != np.uint8:
        raise InputError(f"{where}: pixels are {image.dtype}; they must be uint8, from 0 to 255")
    shaped = image[:, :, None] if image.ndim == 2 else image
    if shaped.ndim != 3 or shaped.shape[2] not in (1, 3) or 0 in shaped.shape:
        raise InputError(f"{where}: an image of shape {image.shape}; it must be height, width, and 1 or 3 channels")
    return np.ascontiguousarray(shaped)


def _bounded(image: Image, said: Size | None) -> tuple[Image, float]:
    height, width = image.shape[:2]
    scale, than_said = LARGEST / max(height, width), _than_said((width, height), said)
    if scale >= 1:
        return image, than_said
    return _scaled(image, (max(round(width * scale), 1), max(round(height * scale), 1))), scale * than_said


def _than_said(size: Size, said: Size | None) -> float:
    """Return how many times as wide an image is as is said, which may be off by half a pixel."""
    if said is None or size == said:
        return 1.0
    scale = size[0] / said[0]
    if abs(said[1] * scale - size[1]) > max(SAME_RATIO * size[1], 0.5):
        raise InputError(f"{UNLIKE}: it has {size[0]} × {size[1]}, and {said[0]} × {said[1]} is said")
    return scale


def digest(image: Image) -> str:
    """Return what tells an image from every other one."""
    return sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def canvas_of(images: Iterable[Image]) -> Canvas:
    """Return the size that most images have, else their median height and width; colours where one has them."""
    shapes = Counter((*image.shape[:2], _is_coloured(image)) for image in images)
    sizes: Counter[tuple[int, int]] = Counter()
    for (height, width, _), count in shapes.items():
        sizes[height, width] += count
    (usual, most), *_ = sizes.most_common(1)
    if 2 * most < sizes.total():
        usual = _median(side for side, _ in sizes.elements()), _median(side for _, side in sizes.elements())
    height, width = (min(max(side, SMALLEST), LARGEST) for side in usual)
    return Canvas(height, width, 3 if any(coloured for _, _, coloured in shapes) else 1)


def _median(values: Iterable[int]) -> int:
    return int(np.median(np.fromiter(values, int)))


def _is_coloured(image: Image) -> bool:
    return image.shape[2] == 3 and bool((image != image[:, :, :1]).any())


def fitted(image: Image, canvas: Canvas) -> tuple[Image, float]:
    """Return an image on a canvas, and by how much it was scaled: it keeps its ratio, what is left over is black.

    Its upper left corner is that of the canvas.
    """
    height, width, channels = image.shape
    if channels != canvas.channels:
        image = np.repeat(image, 3, axis=2) if channels == 1 else _grey(image)
    if (height, width) == canvas[:2]:
        return image, 1.0
    scale = fit(image, canvas)
    found = np.zeros(tuple(canvas), np.uint8)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    found[: size[1], : size[0]] = _scaled(image, size)
    return found, scale


def fit(image: Image, canvas: Canvas) -> float:
    """Return how many times as large an image is on a canvas."""
    height, width = image.shape[:2]
    return min(canvas.height / int(height), canvas.width / int(width))


def _grey(image: Image) -> Image:
    weighed = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(weighed).astype(np.uint8)[:, :, None]


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    pillow = _pillow()
    layer = pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    resized = np.asarray(layer.resize(size, pillow.Resampling.BILINEAR))
    return resized[:, :, None] if resized.ndim == 2 else resized


def said_of(images: Mapping[str, Image], canvas: Canvas, name: str) -> Iterator[str]:
    """Yield what a person should know of images that do not fill a canvas by themselves.

    Raises:
        InputError: Most are so small that they show nothing.
    """
    others = [image.shape for image in images.values() if image.shape[:2] != canvas[:2]]
    if others:
        shown = f"{canvas.height} × {canvas.width}"
        yield f"{name}: images of another size than {shown}, scaled to fit: {len(others):,} of {len(images):,}"
    small = sum(min(canvas.height / shape[0], canvas.width / shape[1]) > MOST_ENLARGED for shape in others)
    if 2 * small > len(images):
        raise InputError(
            f"{name}: {small:,} of {len(images):,} images are not an eighth of {canvas.height} × {canvas.width} high "
            "or wide; give images of about one size"
        )
    if small:
        yield f"{name}: images so small that they show nothing when they are scaled to fit: {small:,}"
    grey = sum(image.shape[2] == 1 for image in images.values()) if canvas.channels == 3 else 0
    if grey:
        yield f"{name}: images of grey among those of colours: {grey:,} of {len(images):,}"
