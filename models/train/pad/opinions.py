"""Scores the views by the MiniFASNets, for the network to learn from.

    python -m pad.opinions --minifas FOLDER [--work DIR]

Both read the outer crop of a view, which is 2.8 times the box: nearly what the first of them expects, and what both get wherever the
photo ends before that. Kept: --work/pad/views/NNN.opinion.npy, N x 2 live scores. Rounds that have some are kept.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from pad.teachers import MINIFAS, Network


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minifas", required=True, type=Path)
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    cv2.setNumThreads(1)
    networks = [Network(args.minifas / f"minifas-{crop}.onnx", given, 1) for crop, given in MINIFAS.items()]
    for path in sorted((args.work / "pad" / "views").glob("[0-9][0-9][0-9].npy")):
        target = path.with_suffix(".opinion.npy")
        if not target.exists():
            outer = (cv2.resize(cut[:, :, 5:2:-1], (80, 80), interpolation=cv2.INTER_AREA) for cut in np.load(path, mmap_mode="r"))
            np.save(target, np.array([[network.scored(cut) for network in networks] for cut in outer], np.float32))


if __name__ == "__main__":
    main()
