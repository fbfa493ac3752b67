"""Thumbnails: GET /NAME (a bundled image) or POST (the image as body), with ?w=, ?h=, ?mode=fit|fill|crop, ?format=
and ?quality=.

fit   the whole image inside w x h, its proportions kept, never enlarged
fill  the whole image inside w x h, centred on a background of ?background=RRGGBB
crop  w x h filled, what sticks out is cut off evenly"""

import base64
import io
import json
import os

from PIL import Image, ImageOps

IMAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "images")
SIDE_MAX = 2000
PIXELS_MAX = 40_000_000  # a small file may unpack to gigabytes
FORMATS = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
READABLE = ("JPEG", "PNG", "WEBP", "GIF")
Image.MAX_IMAGE_PIXELS = None  # judged here, with a clearer message


class Problem(Exception):
    def __init__(self, status, title, detail):
        super().__init__(detail)
        self.status, self.title = status, title


def number(query, name, fallback, low, high):
    text = query.get(name)
    if text is None:
        return fallback
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
        raise Problem(400, "Bad parameter", f"{name}={text[:40]!r}: use a whole number from {low} to {high}")
    return int(text)


def choice(query, name, fallback, allowed):
    value = query.get(name, fallback)
    if value not in allowed:
        raise Problem(400, "Bad parameter", f"{name}={value[:40]!r}: use one of {', '.join(allowed)}")
    return value


def colour(query):
    text = query.get("background", "ffffff")
    if len(text) != 6 or any(c not in "0123456789abcdefABCDEF" for c in text):
        raise Problem(400, "Bad parameter", f"background={text[:40]!r}: use six hexadecimal digits, such as ff8800")
    return tuple(int(text[i : i + 2], 16) for i in (0, 2, 4))


def bundled(path):
    name = path.strip("/")
    names = sorted(os.listdir(IMAGES))
    if name not in names:
        raise Problem(404, "No such image", f"there is no image {name[:80]!r}; there are: {', '.join(names)}")
    with open(os.path.join(IMAGES, name), "rb") as file:
        return file.read()


def source(event):
    method = event["requestContext"]["http"]["method"]
    if method in ("GET", "HEAD"):
        return bundled(event["rawPath"])
    if method not in ("POST", "PUT"):
        raise Problem(405, "Method not allowed", f"{method}: use GET for a bundled image or POST with an image")
    body = event.get("body", "")
    data = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    if not data:
        raise Problem(400, "No image", "the body is empty: send a JPEG, PNG, WebP or GIF file")
    return data


def opened(data):
    try:
        image = Image.open(io.BytesIO(data), formats=READABLE)
        width, height = image.size
        if width * height > PIXELS_MAX:
            raise Problem(413, "Image too large", f"{width} x {height} pixels; at most {PIXELS_MAX:,} are taken")
        kind = image.format
        image.load()
    except Problem:
        raise
    except Exception as error:
        raise Problem(415, "Not an image", f"the bytes are no JPEG, PNG, WebP or GIF that can be read ({error})") from None
    return ImageOps.exif_transpose(image), kind


def resized(image, width, height, mode, background):
    if image.mode not in ("RGB", "RGBA", "L"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode in ("LA", "PA") else "RGB")
    if mode == "crop":
        return ImageOps.fit(image, (width or image.width, height or image.height), Image.Resampling.LANCZOS)
    small = image.copy()
    small.thumbnail((width or SIDE_MAX, height or SIDE_MAX), Image.Resampling.LANCZOS)
    if mode == "fit":
        return small
    canvas = Image.new("RGB", (width or small.width, height or small.height), background)
    at = ((canvas.width - small.width) // 2, (canvas.height - small.height) // 2)
    canvas.paste(small, at, small if small.mode == "RGBA" else None)
    return canvas


def encoded(image, kind, quality, background):
    if kind == "jpeg" and image.mode == "RGBA":
        flat = Image.new("RGB", image.size, background)
        flat.paste(image, (0, 0), image)
        image = flat
    out = io.BytesIO()
    image.save(out, kind.upper(), **({} if kind == "png" else {"quality": quality}))
    return out.getvalue()


def thumbnail(event):
    query = event.get("queryStringParameters", {})
    unknown = sorted(set(query) - {"w", "h", "mode", "format", "quality", "background"})
    if unknown:
        raise Problem(400, "Unknown parameter", f"{unknown[0][:40]!r}: there are w, h, mode, format, quality, background")
    width, height = number(query, "w", 0, 1, SIDE_MAX), number(query, "h", 0, 1, SIDE_MAX)
    if not width and not height:
        width = height = 200
    mode = choice(query, "mode", "fit", ("fit", "fill", "crop"))
    quality = number(query, "quality", 82, 1, 95)
    background = colour(query)
    wanted = choice(query, "format", "auto", ("auto", *FORMATS))
    image, kind = opened(source(event))
    if wanted == "auto":
        wanted = "png" if kind in ("PNG", "GIF") else kind.lower()
    small = resized(image, width, height, mode, background)
    return small, wanted, encoded(small, wanted, quality, background)


def handler(event, context):
    try:
        image, kind, data = thumbnail(event)
    except Problem as problem:
        body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": str(problem)}
        return {"statusCode": problem.status, "headers": {"content-type": "application/problem+json"}, "body": json.dumps(body)}
    headers = {
        "content-type": FORMATS[kind],
        "cache-control": "public, max-age=3600",
        "x-image-size": f"{image.width}x{image.height}",
    }
    return {"statusCode": 200, "headers": headers, "body": base64.b64encode(data).decode(), "isBase64Encoded": True}
