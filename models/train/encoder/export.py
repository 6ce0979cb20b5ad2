"""Exports the averaged weights of a checkpoint as models/encoder.onnx with its manifest.

    python -m encoder.export --checkpoint work/encoder/encoder-6/checkpoint.pt --out ../encoder.onnx

Batch norms are folded, and weights are stored in 16 bits, which are converted to 32 bits once, when
the file is loaded. PyTorch with the rounded weights and onnxruntime must agree within 1e-4. The
manifest gets the golden output for the test pattern, and keeps its calibration until
`evaluation/cfp.py --fit`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from common import manifests
from common.weights import folded, halve, rounded
from encoder.network import Encoder

PROVENANCE = (
    "Trained by models/train/encoder/train.py, from the weights of likeness-encoder-5, on aligned faces of public collections (UTKFace, CelebA, "
    "Voteview, two mask collections, All-Age-Faces, DSCA, OMI and others, whose makers allow research use), taught by the embeddings of OpenCV "
    "Zoo's SFace (Apache-2.0). See models/README.md."
)
LARGEST = 20_000_000  # bytes of the float file; half of it in bytes


def load(checkpoint):
    weights = torch.load(checkpoint, map_location="cpu")["average"]
    network = Encoder().eval()
    network.load_state_dict(weights)
    return network


@torch.no_grad()
def export(network, path):
    """Writes the ONNX and returns the largest difference between it and PyTorch, and the lowest cosine to the weights as trained."""
    lighter = rounded(folded(network))
    faces = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (8, 3, 112, 112)).astype(np.float32))
    torch.onnx.export(lighter, (faces[:1],), str(path), opset_version=17, dynamo=False, input_names=["face"], output_names=["embedding"])
    halve(path)
    run, name = manifests.session(path)
    answer = np.concatenate([run.run(None, {name: face[None].numpy()})[0] for face in faces])
    return np.abs(answer - lighter(faces).numpy()).max(), torch.cosine_similarity(lighter(faces), network(faces)).min().item()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--checkpoint", required=True, type=Path)
    arguments.add_argument("--out", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--name", default="likeness-encoder-6")
    chosen = arguments.parse_args()
    network = load(chosen.checkpoint)
    difference, alike = export(network, chosen.out)
    size = chosen.out.stat().st_size
    print(f"{chosen.out}: {size:,} bytes, largest difference between PyTorch and onnxruntime {difference:.1e}, "
          f"lowest cosine to the weights of 32 bits {alike:.7f}")
    assert difference < 1e-4 and size <= LARGEST
    target = chosen.out.with_suffix(".toml")
    manifest = {
        "model": {"name": chosen.name, "sha256": manifests.digest(chosen.out),
                  "licence": "see models/LICENSE.md", "provenance": PROVENANCE},
        "input": {"width": 112, "height": 112, "channels": 3, "layout": "nchw", "colour": "rgb", "mean": [127.5] * 3, "scale": 0.0078125},
        "output": {"length": 128},
        "views": manifests.VIEWS,
        **manifests.UNFITTED,
    }
    if target.exists():
        manifest |= {k: v for k, v in manifests.read(target).items() if k in manifests.FITTED}
    manifest["golden"] = {"output": manifests.golden_encoder(chosen.out, manifest)}
    manifests.write(target, manifest)


if __name__ == "__main__":
    main()
