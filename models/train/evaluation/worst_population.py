"""Error rates of the population with the highest false match rate, through the shipped binary.

    python -m evaluation.worst_population --binary ../../target/release/likeness --teacher ../sface.onnx --cfp CFP --utk UTK --aaf AAF --vote VOTE [--encoder ../sface.onnx] [--fit]

Run it after `evaluation.cfp --fit`, whose scale and offset it uses. A threshold is computed for each population and rate as `evaluation.cfp`
does it for CFP; the table has the highest of each rate, so that the rate holds in each of them. A rate that the population of the row before does
not carry (at least ten different pairs of people) is stricter than that row by the widest step among those that do. The origins of UTKFace are
drawn in equal numbers; each is measured by itself too, and not fitted to. Pairs that the teacher takes for one person (cosine of 0.5 or more)
are left out. FNMR is that of CFP's frontal pairs of folds 6-10. Prints Markdown; --fit writes the table into the manifest.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from common import cfp_photos, manifests
from evaluation import cfp_scores, error_rates, populations
from evaluation.calibration import Line
from evaluation.cfp_pairs import RESAMPLES, Pairs, pairs, resamples
from evaluation.error_rate_table import manifest_rows

CFP, MOST, JUDGED = "CFP, frontal", 3000, (1e-3, 1e-4)


def impostors(args, groups, line):
    """All comparisons of different people of a population, by cosine, and of each of its groups alone."""
    rng = np.random.default_rng(1)
    drawn = [(name, photo) for name, photos in groups.items() for photo in rng.permutation(np.array(photos, object))[:MOST // len(groups)]]
    names, photos = np.array([name for name, _ in drawn]), [photo for _, photo in drawn]
    matrix, same, good = populations.compared(args, photos)
    usable = rng.permutation(np.flatnonzero(good))

    def among(kept):
        part = matrix[np.ix_(kept, kept)]
        a, b = np.nonzero(~same[np.ix_(kept, kept)] & ~np.eye(len(kept), dtype=bool))
        return Pairs(np.arange(len(kept)), np.empty(0), np.empty(0, int), ((part[a, b] + line.offset) / line.scale).astype(np.float32), a, b)

    return among(usable), {name: among(usable[names[usable] == name]) for name in groups if name}


def half(group, which):
    """The comparisons of every second person with each other."""
    kept = (group.a % 2 == which) & (group.b % 2 == which)
    return Pairs(group.people[which::2], group.genuine, group.owner, group.impostor[kept], group.a[kept] // 2, group.b[kept] // 2)


def worst(by_name, line, draws=RESAMPLES):
    """The manifest's rows: of each rate the highest score, with the name of its population."""
    of = {name: {row["fmr"]: row for row in manifest_rows(error_rates.rows(group, resamples(len(group.people))[:draws]), line)} for name, group in by_name.items()}
    found, before = [], {}
    for fmr in error_rates.LADDER:
        carried = {name: rows[fmr] for name, rows in of.items() if fmr in rows}
        if not carried:
            break
        name, row = max(carried.items(), key=lambda one: one[1]["score"])
        step = max((row["score"] - before[name]["score"] for name, row in carried.items() if name in before), default=0.0)
        if found and found[-1]["population"] not in carried and row["score"] < found[-1]["score"] + step:
            found.append({"fmr": fmr, "score": round(found[-1]["score"] + step, 4), "population": found[-1]["population"]})
            of[found[-1]["population"]][fmr] = found[-1]  # carries the next step
        else:
            found.append({**row, "population": name})
        before = {name: rows[fmr] for name, rows in of.items() if fmr in rows}
    return found


def share(group, cosine):
    return (group.impostor >= cosine).mean()


def report_groups(fitted, parts, rows, cfp_rows, line):
    """The FMR of each group by CFP's table and by the shipped one, and of those fitted to by a table that the other half of the people made."""
    by_half = [worst({name: half(group, which) for name, group in fitted.items()}, line, draws=1) for which in (0, 1)]

    def at(rows, fmr):
        return (next(row["score"] for row in rows if row["fmr"] == fmr) + line.offset) / line.scale

    columns = [f"{what} {fmr:.0e}" for fmr in JUDGED for what in ("CFP's", "shipped", "from the other half of the people,")]
    print(f"| group | people | {' | '.join(columns)} |\n|{' --- |' * (2 + len(columns))}")
    for name, group in {**fitted, **parts}.items():
        each = []
        for fmr in JUDGED:
            other = np.mean([share(half(group, 1 - which), at(by_half[which], fmr)) for which in (0, 1)])
            each += [share(group, at(cfp_rows, fmr)), share(group, at(rows, fmr)), other]
        print(f"| {name} | {len(group.people)} | {' | '.join(f'{rate:.1e}' for rate in each)} |")


def add_fnmr(rows, reported, line):
    """Adds the FNMR of these pairs to each row."""
    for row in rows:
        row["fnmr"] = round(float((reported.genuine < np.float32((row["score"] + line.offset) / line.scale)).mean()), 4)


def report_cost(rows, cfp_rows):
    """The FNMR by both tables."""
    print("\n| FMR | score by CFP | FNMR | shipped score | population | FNMR |\n| --- | --- | --- | --- | --- | --- |")
    for old, row in zip(cfp_rows, rows):
        print(f"| {row['fmr']:.0e} | {old['score']:.2f} | {old['fnmr']:.2%} | {row['score']:.2f} | {row['population']} | {row['fnmr']:.2%} |")


def main():
    ask = populations.arguments(__doc__)
    ask.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    ask.add_argument("--work", default=Path("work"), type=Path, help="scores of CFP are kept here")
    ask.add_argument("--fit", action="store_true")
    args = ask.parse_args()
    encoder = args.encoder or Path(__file__).parents[2] / "encoder.onnx"
    own = encoder.with_suffix(".toml")
    manifest = manifests.read(own)
    line = Line(manifest["comparison"]["scale"], manifest["comparison"]["offset"])
    listed = cfp_photos.protocol(args.cfp)
    cosines = cfp_scores.by_binary(SimpleNamespace(binary=args.binary, encoder=encoder, detector=args.detector, work=args.work), listed)
    fitted, parts = {CFP: pairs(cosines, listed, "FF", sorted(set(listed.person)))}, {}
    for name, groups in populations.fitting(args):
        fitted[name], of_groups = impostors(args, groups, line)
        parts |= of_groups
    rows, cfp_rows = worst(fitted, line), worst({CFP: fitted[CFP]}, line)
    report_groups(fitted, parts, rows, cfp_rows, line)
    reported = pairs(cosines, listed, "FF", listed.people("FF", cfp_photos.REPORTING))
    for table in (rows, cfp_rows):
        add_fnmr(table, reported, line)
    report_cost(rows, cfp_rows)
    if args.fit:
        golden = manifest.pop("golden")  # stays last
        manifests.write(own, {**manifest, "error_rate": rows, "golden": golden})


if __name__ == "__main__":
    main()
