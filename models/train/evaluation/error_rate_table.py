"""The tables of error rates: the shipped ones, of all of CFP's people, and a cross-check on other people."""

from math import ceil

from evaluation import error_rates
from evaluation.cfp_pairs import KINDS

NAMES = {"FF": "error_rate", "FP": "profile_error_rate"}  # in the manifest


def manifest_rows(rows, line):
    """Rows of a manifest: scores by this line, rounded to the strict side, in intervals that hold them."""
    written = []
    for row in rows:
        score, (low, high) = ceil(line(row.cosine) * 1e4) / 1e4, (round(float(line(edge)), 4) for edge in row.interval)
        written.append({"fmr": row.fmr, "score": score, "interval": [min(low, score), max(high, score)], "pairs": row.pairs})
    return written


def report_shipped(kind, rows, line, pairs, drawn):
    _, (fnmr, missed) = error_rates.measured(pairs, [row.cosine for row in rows], drawn)
    print(f"\n{KINDS[kind]}, {len(pairs.people)} people, {len(pairs.impostor):,} impostor and {len(pairs.genuine):,} genuine pairs\n"
          "\n| FMR | score | 95 % of the score | 95 % of the FMR at the score | pairs of people behind it | FNMR | 95 % |\n"
          "| --- | --- | --- | --- | --- | --- | --- |")
    for row, written, value, low, high in zip(rows, manifest_rows(rows, line), fnmr, *missed):
        print(f"| {row.fmr:.0e} | {written['score']:.2f} | {written['interval'][0]:.2f} to {written['interval'][1]:.2f} | "
              f"{row.fmr_interval[0]:.1e} to {row.fmr_interval[1]:.1e} | {row.pairs:,} | {value:.2%} | {low:.2%} to {high:.2%} |")


def report_promise(kind, halves, drawn):
    """Thresholds from one half of the people judged on the other, both ways round; `halves`: name -> pairs."""
    print(f"\n{KINDS[kind]}: thresholds from one half of the people, judged on the other\n"
          "\n| thresholds from | promised FMR | pairs of people behind it | measured FMR on the others | 95 % | FNMR | 95 % |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, other in (tuple(halves), tuple(halves)[::-1]):
        rows = error_rates.rows(halves[name], drawn)
        (fmr, wrong), (fnmr, missed) = error_rates.measured(halves[other], [row.cosine for row in rows], drawn)
        for row, *found in zip(rows, fmr, *wrong, fnmr, *missed):
            print(f"| {name} | {row.fmr:.0e} | {row.pairs:,} | " + "{:.2e} | {:.1e} to {:.1e} | {:.2%} | {:.2%} to {:.2%} |".format(*found))
