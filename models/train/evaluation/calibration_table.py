"""The table of calibrations that are fitted on CFP's folds 1-5, with their errors on folds 6-10."""

from evaluation import calibration, reliability_plot
from evaluation.cfp_pairs import KINDS, interval

GOAL = 0.02  # of the calibration error, for either kind
FITS = {"frontal-frontal": (1, 0), "both, 3 to 1": (0.75, 0.25), "both, evenly": (0.5, 0.5), "both, 1 to 3": (0.25, 0.75), "frontal-profile": (0, 1)}


def lines(fitted):
    """A line for each way of weighing the two kinds of pairs; `fitted` holds folds 1-5, by kind."""
    sets = {kind: (found.acquired()[0], found.impostor) for kind, found in fitted.items()}
    return {name: calibration.fit(*((share, *sets[kind]) for kind, share in zip(KINDS, shares) if share)) for name, shares in FITS.items()}


def judge(pairs, line, drawn, within=(0.0, 1.0)):
    edges = calibration.equal_bins(line(pairs.acquired()[0]), line(pairs.impostor), *within)
    return calibration.reliability(pairs, line, edges, drawn)


def choose(lines, fitted, drawn):
    """The name of the line to ship, by the errors on the people whom it was fitted on, and these errors.

    The least wrong of those that reach the goal for both kinds. Where none does, a compromise would be wrong for both, so it is the line
    of frontal photos, which the service asks for; to a turned head it then gives less than is true, never more.
    """
    errors = {name: {kind: judge(found, line, drawn[:0]).error for kind, found in fitted.items()} for name, line in lines.items()}
    reaching = [name for name, of in errors.items() if max(of.values()) <= GOAL]
    return min(reaching, key=lambda name: max(errors[name].values()), default=KINDS["FF"]), errors


def report(fitted, judged, drawn, picture, name):
    """Prints every line's errors and the chosen one's reliability; returns the chosen line."""
    fits = lines(fitted)
    chosen, before = choose(fits, fitted, drawn)
    least = {kind: calibration.least_cllr(pairs.acquired()[0], pairs.impostor) for kind, pairs in judged.items()}  # the same for every line
    print("\n| line fitted on | scale, offset | pairs | calibration error, folds 1-5 | folds 6-10 | 95 % | Cllr | its least | Cllr - least |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for fit, line in fits.items():
        for kind, pairs in judged.items():
            found = judge(pairs, line, drawn)
            low, high = interval(found.drawn_error)
            cost = calibration.cllr(line(pairs.acquired()[0]), line(pairs.impostor))
            mark = "**" if fit == chosen else ""
            print(f"| {mark}{fit}{mark} | {line.scale}, {line.offset} | {KINDS[kind]} | {before[fit][kind]:.4f} | {found.error:.4f} | "
                  f"{low:.4f} to {high:.4f} | {cost:.4f} | {least[kind]:.4f} | {cost - least[kind]:.4f} |")
    print(f"\nShipped: {chosen}.")
    shown = {kind: (judge(pairs, fits[chosen], drawn), judge(pairs, fits[chosen], drawn, calibration.DOUBTFUL)) for kind, pairs in judged.items()}
    for kind, (every, doubtful) in shown.items():
        table(f"{KINDS[kind]}, all pairs", every, judged[kind])
        table(f"{KINDS[kind]}, similarity {' to '.join(map(str, calibration.DOUBTFUL))}", doubtful, judged[kind])
    if picture:
        reliability_plot.draw(picture, name, shown)
    return fits[chosen]


def table(title, bins, pairs):
    genuine, impostor = bins.genuine.sum() / len(pairs.acquired()[0]), bins.impostor.sum() / len(pairs.impostor)
    print(f"\n{title} ({genuine:.1%} of the genuine, {impostor:.1%} of the impostor pairs; mean gap {bins.error:.4f})\n"
          "\n| mean similarity | share of one person | 95 % | genuine pairs | impostor pairs |\n| --- | --- | --- | --- | --- |")
    low, high = interval(bins.drawn_share)
    for row in zip(bins.similarity, bins.share, low, high, bins.genuine, bins.impostor):
        print("| {:.4f} | {:.4f} | {:.4f} to {:.4f} | {:,} | {:,} |".format(*row))
