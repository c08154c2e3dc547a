"""Trains what finds skin for `--keep skin` on folders of JPEG photos, a minute or two.

    pip install torchvision requests tqdm
    pip install --no-deps facenet-pytorch  # else it replaces torch by an old one
    python examples/train_skin.py FOLDER ... -o weights/skin.safetensors

facenet-pytorch finds the faces, which label the skin. The skin of a person is what has the colours
of the middle of a face, in the face and below it. Photos without faces teach what is not skin.
Train again after a new encoder of the matcher.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from photostyle.model.matcher import ANALYSIS_SIZE, Blocks, Matcher, load_matcher
from photostyle.model.skin import SkinHead, facts, save_skin_head

STEPS, BATCH, RATE = 4000, 2048, 4e-3

Face = dict[str, Any]


class Example(NamedTuple):
    """Blocks of a photo. facts: (n, FACTS). labels: (n,), 0 or 1. weights: (n,)."""

    facts: Tensor
    labels: Tensor
    weights: Tensor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--faces", type=Path, help="JSON that keeps the faces found.")
    options = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    found = (file for folder in options.folders for file in folder.rglob("*"))
    files = sorted(file for file in found if file.suffix.lower() in (".jpg", ".jpeg"))
    faces = found_faces(files, options.faces)
    matcher = load_matcher()
    kept, held_out = list[Example](), list[Example]()
    for number, file in enumerate(files):
        examples = read(file, faces.get(str(file), []), matcher, number)
        (held_out if number % 10 == 9 else kept).extend(examples)
    if not any(example.labels.any() for example in kept):
        parser.error("no face was found in these photos whose skin could be learned")
    blocks = Example(*map(torch.cat, zip(*kept, strict=True)))
    head = trained(blocks)
    head = trained(doubtful_left_out(blocks, head))
    if held_out:
        report(head, Example(*map(torch.cat, zip(*held_out, strict=True))))
    provenance = {
        "made by": "examples/train_skin.py",
        "photos": len(files),
        "with faces": sum(bool(faces.get(str(file))) for file in files),
        "steps": STEPS,
    }
    save_skin_head(head, options.output, provenance)


def opened(file: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(file)).convert("RGB")


def found_faces(files: list[Path], cache: Path | None) -> dict[str, list[Face]]:
    """By file: boxes (left, top, right, bottom), marks (eyes, nose, corners of the mouth)."""
    if cache and cache.exists():
        return json.loads(cache.read_text())
    from facenet_pytorch import MTCNN

    network = MTCNN(keep_all=True, min_face_size=28, thresholds=[0.6, 0.7, 0.8])
    faces: dict[str, list[Face]] = {}
    for file in files:
        photo = opened(file)
        scale = min(1.5, 800 / max(photo.size))
        small = photo.resize([round(scale * side) for side in photo.size])
        boxes, sure, marks = network.detect(small, landmarks=True)
        faces[str(file)] = (
            [
                {"box": (box / scale).tolist(), "p": float(p), "marks": (points / scale).tolist()}
                for box, p, points in zip(boxes, sure, marks, strict=True)
            ]
            if boxes is not None
            else []
        )
    if cache:
        cache.write_text(json.dumps(faces))
    return faces


def read(file: Path, faces: list[Face], matcher: Matcher, number: int) -> list[Example]:
    """The photo as it is; if it has faces, also a part of it under another light."""
    photo = opened(file)
    pixels = np.asarray(photo, np.float32) / 255
    if any(face["p"] < 0.9 for face in faces):  # there may be a face, or none
        return []
    truth = labelled(pixels, faces)
    if truth is None:
        return []
    planes = torch.from_numpy(np.concatenate([pixels, np.stack(truth, 2)], 2)).permute(2, 0, 1)
    examples = []
    for own in (True, False) if faces else (number % 2 == 0,):
        part = planes if own else _crop(planes, number, faces)
        height, width = part.shape[1:]
        scale = ANALYSIS_SIZE / max(height, width)
        size = [16 * max(2, round(side * scale / 16)) for side in (height, width)]
        part = F.interpolate(part[None], size, mode="bilinear", antialias=True).clamp(0, 1)
        rgb = part[:, :3]
        if not own:
            gain = torch.exp(0.15 * torch.randn(1, 3, 1, 1)) * torch.exp(0.2 * torch.randn(1))
            rgb = (rgb * gain).clamp(0, 1) ** torch.exp(0.15 * torch.randn(1))
        with torch.no_grad():
            blocks = matcher.blocks(rgb)
        labels, counts = F.avg_pool2d(part[:, 3:], 8).split(1, 1)
        labels = labels / counts.clamp_min(1e-3)
        examples.append(drawn(blocks, labels, counts, bool(faces)))
    return examples


def _crop(planes: Tensor, number: int, faces: list[Face]) -> Tensor:
    chance = random.Random(number)
    height, width = planes.shape[1:]
    share = chance.uniform(0.35, 0.8)
    h, w = round(share * height), round(share * width)
    y, x = chance.randint(0, height - h), chance.randint(0, width - w)
    if faces:  # around one of them
        left, top, right, bottom = chance.choice(faces)["box"]
        y = round(min(max((top + bottom) / 2 - chance.uniform(0.3, 0.7) * h, 0), height - h))
        x = round(min(max((left + right) / 2 - chance.uniform(0.3, 0.7) * w, 0), width - w))
    return planes[:, y : y + h, x : x + w]


def labelled(pixels: Any, faces: list[Face]) -> tuple[Any, Any] | None:
    """Planes (H, W): whether a pixel is skin, and whether that is known; None for grey faces."""
    height, width = pixels.shape[:2]
    skin, known = np.zeros((height, width), np.float32), np.ones((height, width), np.float32)
    y, x = np.mgrid[:height, :width]
    light = pixels.mean(2)
    red, blue = ((pixels[..., c] - light) / (light + 0.05) for c in (0, 2))
    for face in faces:
        left, top, right, bottom = face["box"]
        (ax, ay), (bx, by), _, (cx, cy), (dx, dy) = face["marks"]
        wide, high = right - left, bottom - top
        middle = (
            (x > min(ax, cx))
            & (x < max(bx, dx))
            & (y > (ay + by) / 2 + 0.1 * high)
            & (y < (cy + dy) / 2 - 0.05 * high)
        )
        if middle.sum() < 12:
            known[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)] = 0
            continue
        mean_red, mean_blue, mean_light = (np.median(p[middle]) for p in (red, blue, light))
        if mean_red - mean_blue < 0.08:
            return None
        spread = [max(0.05, 1.5 * p[middle].std()) for p in (red, blue)]
        off = ((red - mean_red) / spread[0]) ** 2 + ((blue - mean_blue) / spread[1]) ** 2
        stops = np.log2((light + 0.02) / (mean_light + 0.02))
        alike = (off < 4) & (stops > -1.3) & (stops < 0.9)
        maybe = (off < 16) & (stops > -2.5) & (stops < 1.5)
        center_x, center_y = (left + right) / 2, (top + bottom) / 2
        inside = ((x - center_x) / (0.5 * wide)) ** 2 + ((y - center_y) / (0.5 * high)) ** 2 < 1
        body = (abs(x - center_x) < 2.5 * wide) & (y > top) & (y < bottom + 6 * high) & ~inside
        neck = (abs(x - center_x) < 0.45 * wide) & (y >= center_y) & (y < bottom + 0.35 * high)
        sure = (inside | neck) & alike
        skin[sure] = 1
        known[(inside | neck | body) & maybe & (skin == 0)] = 0
    # Elsewhere there may be other people, of whom this does not know.
    return skin, np.where(skin > 0, 1, known).astype(np.float32)


def drawn(blocks: Blocks, labels: Tensor, counts: Tensor, face: bool) -> Example:
    """Blocks of a photo: all skin, some that could be by their colours, some others.

    What could be skin counts less in photos with faces, which show more skin than was labelled.
    labels, counts: (1, 1, h, w), the fractions of skin, and of what is known.
    """
    labels, known, alike = (
        part.flatten() for part in (labels, counts > 0.6, plausible(blocks.colors) > 0)
    )
    skin = known & (labels > 0.7)
    rest = known & (labels < 0.1)
    numbers = [
        skin.nonzero()[:, 0],
        (rest & alike).nonzero()[:, 0],
        (rest & ~alike).nonzero()[:, 0],
    ]
    some = [
        n[torch.randperm(len(n))[:most]] for n, most in zip(numbers, (120, 150, 50), strict=True)
    ]
    chosen = torch.cat(some)
    weights = torch.cat(
        [
            torch.full((len(n),), weight)
            for n, weight in zip(some, (1.0, 0.3 if face else 1.0, 0.5), strict=True)
        ]
    )
    return Example(facts(blocks)[0].flatten(0, 1)[chosen], (labels[chosen] > 0.5).float(), weights)


def trained(blocks: Example) -> SkinHead:
    """A head, for which skin and all else weigh the same."""
    head = SkinHead()
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    skin = blocks.labels > 0.5
    balance = float(blocks.weights[~skin].sum() / blocks.weights[skin].sum())
    weights = torch.where(skin, balance * blocks.weights, blocks.weights)
    for step in range(STEPS):
        chosen = torch.randint(len(weights), (BATCH,))
        logits = head(blocks.facts[chosen].float())[:, 0]
        losses = F.binary_cross_entropy_with_logits(logits, blocks.labels[chosen], reduction="none")
        loss = (weights[chosen] * losses).sum() / weights[chosen].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(step, loss.item(), flush=True)
    return head.eval()


def plausible(rgb: Tensor) -> Tensor:
    """Whether colours (B, 3, h, w) could be those of skin: (B, 1, h, w), 0 or 1."""
    red, green, blue = rgb.split(1, 1)
    return ((red > green) & (green > 0.85 * blue) & (red - blue > 0.04)).float()


@torch.no_grad()
def doubtful_left_out(blocks: Example, head: SkinHead) -> Example:
    """Without the blocks that are surely skin to a head: of people without a face."""
    found = torch.cat([head(part.float())[:, 0].sigmoid() for part in blocks.facts.split(1 << 16)])
    left = (blocks.labels > 0.5) | (found < 0.9)
    return Example(*(part[left] for part in blocks))


@torch.no_grad()
def report(head: SkinHead, blocks: Example) -> None:
    """How much of the skin is found, and of what has its colours in photos without faces."""
    found = head(blocks.facts.float())[:, 0].sigmoid()
    for name, which in (
        ("skin", blocks.labels > 0.5),
        ("other", (blocks.labels < 0.5) & (blocks.weights == 1)),
    ):
        shares = [float((found[which] > limit).float().mean()) for limit in (0.3, 0.5, 0.7, 0.9)]
        print(name, int(which.sum()), *(f"{share:.3f}" for share in shares))


if __name__ == "__main__":
    main()
