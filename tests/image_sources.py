"""Images as people keep them: folders of drawn shapes, tables and archives of arrays, made from a seed."""

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "cross", "square")
SIZES = ((40, 40), (64, 48), (30, 50), (90, 70))


def shape_picture(name, size, rng, mode="RGB"):
    """A shape of one colour on paper of another, anywhere in the picture."""
    dark, light = (tuple(int(v) for v in rng.integers(*span, 3)) for span in ((0, 90), (165, 256)))
    paper, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    picture = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(picture)
    radius = int(min(size) * rng.uniform(0.25, 0.4))
    x, y = (int(rng.integers(radius, n - radius)) for n in size)
    width = max(2, radius // 4)
    box = (x - radius, y - radius, x + radius, y + radius)
    if name == "circle":
        draw.ellipse(box, outline=ink, width=width)
    elif name == "square":
        draw.rectangle(box, outline=ink, width=width)
    else:
        draw.line((x - radius, y, x + radius, y), fill=ink, width=width)
        draw.line((x, y - radius, x, y + radius), fill=ink, width=width)
    if mode == "RGBA":
        values = np.array(picture.convert("RGBA"))
        values[(values[..., :3] == paper).all(-1), 3] = 0
        return Image.fromarray(values)
    return picture.convert(mode)


def write_folder(root, counts=(30, 30, 30), *, parts=("",), seed=0, modes=("RGB",), suffixes=(".png",), sizes=SIZES):
    """A folder of pictures for each shape."""
    rng = np.random.default_rng(seed)
    for part in parts:
        for name, count in zip(SHAPES, counts, strict=True):
            folder = Path(root, part, name)
            folder.mkdir(parents=True)
            for k in range(count):
                mode, suffix = modes[k % len(modes)], suffixes[k % len(suffixes)]
                picture = shape_picture(name, sizes[k % len(sizes)], rng, mode if suffix != ".jpg" else "RGB")
                picture.save(folder / f"img{k}{suffix}")
    return Path(root)


def write_idx(path, array):
    """A plain or gzipped IDX file of bytes."""
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_table(path, pixels, labels, *, header=True, last=False, delimiter=","):
    """A table with a row for each image."""
    flat = pixels.reshape(len(pixels), -1)
    names = [f"pixel{k}" for k in range(flat.shape[1])]
    rows = [[*map(str, row)] for row in flat.tolist()]
    lines = [[*r, str(k)] if last else [str(k), *r] for k, r in zip(labels, rows, strict=True)]
    if header:
        lines.insert(0, [*names, "label"] if last else ["label", *names])
    text = "\n".join(delimiter.join(line) for line in lines) + "\n"
    path = Path(path)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
