"""Hints: what the teacher's last feature map says of a face, 7 x 7 places of 128 numbers where the embedding is 128 in all.

    python encoder_hints.py --data DATA --teacher SFACE.onnx      (about 17 minutes on one core; --first and --shards to share the work)

The map has 1,024 channels. They are weighed by how strongly the teacher's last layer reads them, then reduced to the 128 directions in
which they vary most (`--work/encoder/hints.npz`, fitted once on stored faces), and kept in 8 bits. The command works through the stored faces
and their mirror images, 1,024 a file under --work/encoder/stored; `encoder_views.py` keeps the hints of its views itself.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

import encoder_faces
import encoder_teacher

CHANNELS, SIDE, SHARD = 128, 112, 1024
STEP = 1 / 32  # of the 8 bits, in standard deviations
FITTED_ON = 2048


def maps(teacher, faces):
    """The last feature maps of uint8 faces, N x 1024 x 7 x 7, by the teacher in bf16 and not compiled."""
    parts = []
    for start in range(0, len(faces), 64):
        pixels = torch.from_numpy(np.ascontiguousarray(faces[start:start + 64])).permute(0, 3, 1, 2).float()
        parts.append(teacher[1:-2](teacher[0](pixels).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts).float()


@torch.no_grad()
def fit(teacher, faces):
    """Mean of each place and channel, projection of the channels, and the weight of each hint.

    With G = sum of w w' over the last layer's rows and places, the best channels to keep, for the embedding's sake,
    are the first principal components of G^(1/2) x. A hint weighs the square root of what it adds to the embedding's variance."""
    seen = maps(teacher, faces)
    mean = seen.mean(0)
    seen = (seen - mean).permute(0, 2, 3, 1).reshape(-1, 1024).double()
    reads = teacher[-1].weight.double().reshape(128, 1024, 49)
    value, vector = torch.linalg.eigh(torch.einsum("ocp,odp->cd", reads, reads))
    root = vector * value.clamp_min(1e-12).sqrt() @ vector.T
    spread, axes = torch.linalg.eigh(root @ (seen.T @ seen / len(seen)) @ root)
    spread, axes = spread.flip(0)[:CHANNELS], axes.flip(1)[:, :CHANNELS]
    back = torch.linalg.inv(root) @ axes * spread.sqrt()  # from hints of unit variance to the map
    weight = (torch.einsum("ocp,ck->okp", reads, back) ** 2).sum(0).sqrt()
    return {"mean": mean.numpy(), "projection": (root @ axes / spread.sqrt()).T.float().numpy(),
            "back": back.float().numpy(), "weight": (weight / weight.mean()).reshape(CHANNELS, 7, 7).float().numpy()}


def projection(path, teacher, faces):
    """As kept, or fitted now."""
    if not path.exists():
        chosen = np.random.default_rng(0).choice(len(faces), FITTED_ON, replace=False)
        np.savez(path.with_suffix(".partial.npz"), **fit(teacher, faces[np.sort(chosen), 4:-4, 4:-4]))
        path.with_suffix(".partial.npz").rename(path)
    return dict(np.load(path))


class Both(nn.Module):
    """Embedding and hints of one pass."""

    def __init__(self, teacher, kept):
        super().__init__()
        self.body, self.last = teacher[1:-2], teacher[-2:]
        matrix, mean = torch.from_numpy(kept["projection"]), torch.from_numpy(kept["mean"])
        self.project = nn.Conv2d(1024, CHANNELS, 1, bias=False).requires_grad_(False)
        self.project.weight.data = matrix[:, :, None, None]
        self.register_buffer("shift", torch.einsum("kc,cyx->kyx", matrix, mean))

    def forward(self, scaled):
        seen = self.body(scaled)
        hints = (self.project(seen).float() - self.shift) * (1 / STEP)
        return self.last(seen).float(), hints.round().clamp(-127, 127).to(torch.int8).permute(0, 2, 3, 1)


class Teacher:
    """SFace compiled by PyTorch in bf16: 109 faces a second on one core, where OpenCV has 67 and onnxruntime 51."""

    BATCH = 128  # compiled for this many

    def __init__(self, path, faces, work):
        network = encoder_teacher.in_bf16(encoder_teacher.read(str(path)))
        kept = projection(Path(work) / "encoder" / "hints.npz", network, faces)
        self.scaling, both = network[0], Both(network, kept)
        both.project = both.project.to(torch.bfloat16).to(memory_format=torch.channels_last)
        self.both = torch.compile(both.eval(), options={"freezing": True})

    @torch.no_grad()
    def __call__(self, faces):
        """Unit embeddings and hints (8 bits, N x 7 x 7 x 128) of uint8 faces, N x 112 x 112 x 3."""
        embeddings, hints = [], []
        for start in range(0, len(faces), self.BATCH):
            part = torch.from_numpy(np.ascontiguousarray(faces[start:start + self.BATCH])).permute(0, 3, 1, 2)
            full = torch.zeros((self.BATCH, 3, SIDE, SIDE), dtype=torch.bfloat16).to(memory_format=torch.channels_last)
            full[:len(part)] = self.scaling(part.float())
            raw, hint = self.both(full)
            embeddings.append(torch.nn.functional.normalize(raw, dim=1)[:len(part)])
            hints.append(hint[:len(part)])
        return torch.cat(embeddings).numpy().astype(np.float16), torch.cat(hints).numpy()


def keep(folder, number, answer):
    """The hints first: who sees the embeddings may count on both."""
    for name, part in zip(("hints", "sface"), reversed(answer)):
        partial = folder / f"{number:05}.partial-{name}.npy"
        np.save(partial, part)
        partial.rename(folder / f"{number:05}.{name}.npy")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--teacher", required=True, type=Path)
    arguments.add_argument("--work", default=Path("../train"), type=Path)
    arguments.add_argument("--first", default=0, type=int)
    arguments.add_argument("--shards", default=50, type=int)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    faces, _, _ = encoder_faces.load(chosen.data, chosen.work)
    teacher, folder = Teacher(chosen.teacher, faces, chosen.work), chosen.work / "encoder" / "stored"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(chosen.first, chosen.first + chosen.shards):
        plain = faces[number * SHARD:(number + 1) * SHARD, 4:-4, 4:-4]
        if len(plain) and not (folder / f"{number:05}.sface.npy").exists():
            keep(folder, number, [np.stack(two, 1) for two in zip(teacher(plain), teacher(plain[:, :, ::-1]))])
            print(f"\r{(number + 1) * SHARD:,} of {len(faces):,} faces", end="", flush=True)


if __name__ == "__main__":
    main()
