"""Writes the manifests of the MiniFASNets, and the calibration of both together.

    python -m pad.minifas --minifas FOLDER --binary LIKENESS [--out ..] [--work DIR]

FOLDER holds the files of `models/get-minifas.sh`. The thresholds are quantiles of the mean live score of both, through the service,
on the live photos of Replay-Attack devel and CASIA-FASD train, each set with the same weight.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from common import manifests
from pad import data
from pad.check import scored
from pad.export import BPCERS
from pad.measures import common_threshold
from pad.teachers import MINIFAS, Network

SOURCE = {"2.7": "2.7_80x80_MiniFASNetV2.pth", "4.0": "4_0_0_80x80_MiniFASNetV1SE.pth"}
CALIBRATION = """# Thresholds for the mean live score of minifas-2.7.onnx and minifas-4.0.onnx together, from the live photos of Replay-Attack's
# development part and of CASIA-FASD's training part, each set with the same weight. Written by models/train/pad/minifas.py.
# Cameras differ: calibrate on your own with `likeness evaluate --pad`.
"""


def manifest(path, crop, given):
    network = Network(path, given, 1)
    return {
        "model": {"name": f"minifas-{crop}", "sha256": manifests.digest(path), "licence": "Apache-2.0",
                  "provenance": f"{SOURCE[crop]} of minivision-ai/Silent-Face-Anti-Spoofing, converted by models/minifas.py. Trained on private data. Not made by this project."},
        "input": {"side": given.side, "channels": 3, "layout": "nchw", "colour": given.colour, "mean": [given.mean] * 3, "scale": given.scale},
        "crop": {"sizes": list(given.crops), "shape": given.box, "border": given.border, "antialiased": False},
        "output": {"form": "logits", "live": network.live},
        "golden": {"output": manifests.rounded(network.raw(manifests.pattern(given.side, given.side)[:, :, ::-1]))},
    }


def live_scores(photos, minifas, manifests_folder, binary):
    """The mean live scores of both networks through the service."""
    with tempfile.TemporaryDirectory() as folder:
        folder, networks = Path(folder), []
        for crop in MINIFAS:
            for path in (minifas / f"minifas-{crop}.onnx", manifests_folder / f"minifas-{crop}.toml"):
                shutil.copy(path, folder)
            networks.append(str(folder / f"minifas-{crop}.onnx"))
        return scored(photos, binary, ["--pad-networks", ",".join(networks)], folder / "photos")[1]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minifas", required=True, type=Path)
    ask.add_argument("--binary", required=True)
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../..")
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    digests = []
    for crop, given in MINIFAS.items():
        written = manifest(args.minifas / f"minifas-{crop}.onnx", crop, given)
        digests.append(written["model"]["sha256"])
        manifests.write(args.out / f"minifas-{crop}.toml", written)
    photos, parts = data.read(args.work), []
    for name, splits in (("replay", ("devel",)), ("casia", ("train", "devel"))):
        live = [photo for photo in photos if photo.set == name and photo.split in splits and not photo.attack and photo.box is not None]
        parts.append(live_scores(live, args.minifas, args.out, args.binary))
    lines = [CALIBRATION, f"models = {manifests._value(digests)}\nlive_photos = {sum(map(len, parts))}\n"]
    lines += [f"\n[[threshold]]\nbpcer = {bpcer}\nscore = {common_threshold(parts, bpcer):.4f}\n" for bpcer in BPCERS]
    (args.out / "minifas-calibration.toml").write_text("".join(lines))


if __name__ == "__main__":
    main()
