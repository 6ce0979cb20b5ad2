#!/usr/bin/env python3
"""Compares the time of SFace in likeness with OpenCV's, one view on one thread, in interleaved runs.

    benches/opencv.py [--runs 7] BINARY...

Each BINARY is measured by its `likeness model check models/sface.onnx`, which takes the median of 20 views; OpenCV's
FaceRecognizerSF by the median of 60. Needs models/sface.onnx (models/get-sface.sh) and opencv-python.
"""

import argparse
import re
import statistics
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np

MODEL = Path(__file__).parents[1] / "models" / "sface.onnx"


def opencv_ms():
    cv2.setNumThreads(1)
    recognizer = cv2.FaceRecognizerSF.create(str(MODEL), "")
    face = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    times = []
    for _ in range(60):
        start = time.perf_counter()
        recognizer.feature(face)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def likeness_ms(binary):
    printed = subprocess.run([binary, "model", "check", MODEL], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"time +([\d.]+) ms", printed).group(1))


def spread(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("binaries", nargs="+", metavar="BINARY")
    options = options.parse_args()
    rounds = [(opencv_ms(), *map(likeness_ms, options.binaries)) for _ in range(options.runs)]
    print(f"OpenCV {cv2.__version__}: {spread([one[0] for one in rounds], '.1f')} ms")
    for column, binary in enumerate(options.binaries, start=1):
        times = spread([one[column] for one in rounds], ".1f")
        ratios = spread([one[column] / one[0] for one in rounds], ".2f")
        print(f"{binary}: {times} ms, {ratios} of OpenCV")


if __name__ == "__main__":
    main()
