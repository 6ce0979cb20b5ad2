"""The table of identification among half of CFP's people, with thresholds from the other half."""

import numpy as np

from evaluation import error_rates, identification

SIZES = (50, 125, 200)
LARGE = 1000


def report(cosines, listed, halves, drawn):
    """`halves`: name -> frontal pairs; both ways round."""
    cosines = np.where(np.isfinite(cosines), cosines, -np.inf).T  # a row a probe
    print(f"\nTarget FPIR {identification.FPIR:g}; {identification.DRAWS} draws; both ways round\n"
          "\n| thresholds from | gallery | FMR used | bound: gallery x FMR | measured FPIR | 95 % of the draws | expected | FNIR | 95 % of the draws | misnamed | FNIR, profiles |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, other in (tuple(halves), tuple(halves)[::-1]):
        rows, people = error_rates.rows(halves[name], drawn[:1]), halves[other].people
        for size in SIZES:
            row = identification.chosen_row(rows, size)
            line(cosines, listed, people, size, f"{name} | {size} | {row.fmr:.0e} | {size * row.fmr:.1e}", row.cosine)
        for size in SIZES:
            exact = max(identification.FPIR / size, rows[-1].fmr)
            line(cosines, listed, people, size, f"{name} | {size} | {exact:.1e}, between rows | {size * exact:.1e}", identification.between_rows(rows, size))
        row = identification.chosen_row(rows, LARGE)
        fnir = identification.estimated_fnir(cosines, listed, people, LARGE, row.cosine)
        print(f"| {name} | {LARGE:,} | {row.fmr:.0e} | {LARGE * row.fmr:.1e} | | | | {fnir:.2%} (estimated) | | | |")


def line(cosines, listed, people, size, about, threshold):
    found = identification.draws(cosines, listed, people, size, threshold)
    low, high = np.percentile(np.stack([found.fpir, found.fnir]), (2.5, 97.5), axis=1)
    expected = identification.expected(cosines, listed, people, size, threshold)
    print(f"| {about} | {found.fpir.mean():.2e} | {low[0]:.1e} to {high[0]:.1e} | {expected:.2e} | {found.fnir.mean():.2%} | "
          f"{low[1]:.2%} to {high[1]:.2%} | {found.misnamed.mean():.3%} | {found.profile_fnir.mean():.2%} |")
