"""Measures an encoder on CFP through the shipped pipeline, and fits its calibration and its tables of error rates.

    python -m evaluation.cfp --cfp CFP --encoder ../encoder.onnx --detector ../detector.onnx --picture ../reliability.png --fit

prints the tables of the model card. `likeness score` compares every photo with every other by its own decoding, detection, alignment and
network. Folds 1-5 choose thresholds, scale and offset; folds 6-10, which hold other people, are reported. --fit writes scale and
offset (from folds 1-5) and the error rates (from all 500 people) into the encoder's manifest, or into the one that is named. --opencv measures
without the binary: YuNet and OpenCV's warp, the encoder by onnxruntime. Intervals are 95 %, by resampling the people.
"""

import argparse
from pathlib import Path

from common import cfp_photos, manifests
from evaluation import accuracy_table, calibration_table, cfp_scores, error_rate_table, error_rates, identification_table
from evaluation.cfp_pairs import KINDS, pairs, resamples


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfp", required=True, type=Path)
    parser.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    parser.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    parser.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    parser.add_argument("--work", default=Path("work"), type=Path, help="scores are kept here")
    parser.add_argument("--precision", choices=("float", "bytes"), help="of the binary; by default that of the manifest")
    parser.add_argument("--picture", type=Path, help="where to draw the reliability curve")
    parser.add_argument("--opencv", action="store_true")
    parser.add_argument("--fit", nargs="?", type=Path, const=Path(), metavar="MANIFEST", help="write it, by default beside the encoder")
    return parser.parse_args()


def main():
    chosen = arguments()
    own = chosen.encoder.with_suffix(".toml")
    manifest, listed = manifests.read(own), cfp_photos.protocol(chosen.cfp)
    name = f"{manifest['model']['name']} {manifest['model']['sha256'][:12]}"
    if "quantization" in manifest:
        name += " in floats" if chosen.opencv or chosen.precision == "float" else " in 8 bits"
    print(f"Encoder {name}, detector {chosen.detector.stem}, {'OpenCV and onnxruntime' if chosen.opencv else 'likeness score'}.")
    cosines = (cfp_scores.by_opencv if chosen.opencv else cfp_scores.by_binary)(chosen, listed)
    halves = {"folds 1-5": listed.people("FF", cfp_photos.CHOOSING), "folds 6-10": listed.people("FF", cfp_photos.REPORTING)}
    of = {kind: {half: pairs(cosines, listed, kind, people) for half, people in halves.items()} for kind in KINDS}
    drawn = resamples(len(halves["folds 1-5"]))

    print("\n### Accuracy")
    accuracy_table.report(cosines, listed, of["FF"]["folds 6-10"], drawn)
    print("\n### Calibration")
    fitted, judged = ({kind: of[kind][half] for kind in KINDS} for half in halves)
    line = calibration_table.report(fitted, judged, drawn, chosen.picture, manifest["model"]["name"])
    print("\n### Error rates")
    tables = {}
    for kind in KINDS:
        error_rate_table.report_promise(kind, of[kind], drawn)
        tables[error_rate_table.NAMES[kind]] = shipped(cosines, listed, kind, line)
    print("\n### Identification")
    identification_table.report(cosines, listed, of["FF"], drawn)
    if chosen.fit is not None:
        comparison = manifest["comparison"] | {"scale": line.scale, "offset": line.offset}
        golden = manifest.pop("golden")  # stays last
        written = {**manifest, "comparison": comparison, **tables, "golden": golden}
        manifests.write(own if chosen.fit == Path() else chosen.fit, written)


def shipped(cosines, listed, kind, line):
    """The manifest's table of one kind, from everybody."""
    every = pairs(cosines, listed, kind, sorted(set(listed.person)))
    drawn = resamples(len(every.people))
    rows = error_rates.rows(every, drawn)
    error_rate_table.report_shipped(kind, rows, line, every, drawn)
    return error_rate_table.manifest_rows(rows, line)


if __name__ == "__main__":
    main()
