"""Pictures: drawing samples, making thumbnails."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import BinaryIO

from django.core.files.base import ContentFile
from PIL import Image, ImageDraw, ImageOps

THUMBNAIL = (320, 240)


def thumbnail(original: BinaryIO) -> tuple[str, ContentFile[bytes]]:
    """The file name and content of a JPEG that fills ``THUMBNAIL`` exactly."""
    with Image.open(original) as image:
        small = ImageOps.fit(image.convert("RGB"), THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return f"{Path(original.name).stem}.jpg", ContentFile(buffer.getvalue())


def sample(number: int, size: tuple[int, int] = (1600, 1200)) -> tuple[str, bytes]:
    """Draw a landscape, each number another one; odd numbers are PNG, even JPEG."""
    width, height = size
    image = Image.linear_gradient("L").resize(size)
    warm, cool = (252, 222, 180), (40 + 37 * number % 120, 90, 140 + 23 * number % 90)
    image = ImageOps.colorize(image, cool, warm)
    draw = ImageDraw.Draw(image)
    sun = (width * (0.2 + 0.13 * (number % 5)), height * 0.35)
    draw.ellipse([sun[0] - 110, sun[1] - 110, sun[0] + 110, sun[1] + 110], "#fff4d6")
    for ridge in range(4):
        draw.polygon(hills(ridge, number, size), (30 + 18 * ridge, 60 + 14 * ridge, 70))
    form, suffix = ("PNG", "png") if number % 2 else ("JPEG", "jpg")
    buffer = io.BytesIO()
    image.save(buffer, form)
    return f"landscape-{number}.{suffix}", buffer.getvalue()


def hills(ridge: int, number: int, size: tuple[int, int]) -> list[tuple[float, float]]:
    """The outline of one row of hills, nearer rows lower and darker."""
    width, height = size
    base = height * (0.82 - 0.11 * (3 - ridge) + 0.09 * ridge - 0.1)
    outline = [
        (x, base + height * 0.05 * math.sin(x / width * (5 + ridge) + number + ridge))
        for x in range(0, width + 20, 20)
    ]
    return [(0, height), *outline, (width, height)]
