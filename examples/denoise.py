"""Total-variation denoising of an image: a disc, a frame and a slope of grey, with noise. It writes what was, what was seen and what is found.

The objective and its gradient are the generated module of total_variation.expr, SciPy minimises, and the picture is a PNG. Run it from the
project's folder with ``python -m examples.denoise docs/total_variation.png``.
"""

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from generated import total_variation

SIZE = 96


def scene() -> Any:
    """An image with edges, straight and round, and a part without any."""
    down, right = np.mgrid[:SIZE, :SIZE] / SIZE
    image = 0.25 + 0.5 * right * (down > 0.6)
    image[np.hypot(down - 0.35, right - 0.32) < 0.22] = 0.9
    frame = np.maximum(abs(down - 0.35), abs(right - 0.74))
    image[(frame < 0.18) & (frame > 0.09)] = 0.05
    return image


def denoised(noisy: Any, weight: float) -> Any:
    """The image of least objective, by L-BFGS from the noisy one."""

    def objective(flat: Any) -> tuple[float, Any]:
        value, gradients = total_variation.value_and_grad(noisy, flat.reshape(noisy.shape), weight=weight)
        return value, gradients.image.ravel()

    return minimize(objective, noisy.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x.reshape(noisy.shape)


def png(image: Any) -> bytes:
    """Grey levels from 0 to 1 as a PNG (its specification, third edition): a header, the rows, each behind a 0 for no filter, an end."""
    rows = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    height, width = rows.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def main(path: Path) -> None:
    image = scene()
    noisy = image + np.random.default_rng(0).normal(scale=0.12, size=image.shape)
    found = denoised(noisy, weight=0.12)
    for name, each in (("noisy", noisy), ("denoised", found)):
        print(f"  {name:8}  root mean square error {np.sqrt(np.mean((each - image) ** 2)):.4f}")
    apart = np.ones((SIZE, 8))
    row = np.hstack([image, apart, noisy, apart, found])
    path.write_bytes(png(np.repeat(np.repeat(row, 2, axis=0), 2, axis=1)))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "total_variation.png"))
