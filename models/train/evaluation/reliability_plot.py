"""The reliability diagram: share of genuine pairs against mean similarity, for each bin, with intervals."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from evaluation.cfp_pairs import KINDS, interval


def draw(path, name, shown):
    """`shown`: kind -> (reliability over all pairs, reliability between 0.05 and 0.95)."""
    figure, axes = plt.subplots(1, len(shown), figsize=(4.4 * len(shown), 4.4), sharey=True, layout="constrained")
    for axis, (kind, (every, doubtful)) in zip(axes, shown.items()):
        axis.plot([0, 1], [0, 1], color="0.75", linewidth=1, zorder=0)
        for bins, label, colour, mark in ((every, "all pairs, ten bins", "C0", "o"), (doubtful, "similarity 0.05 to 0.95, ten bins", "C3", "s")):
            low, high = interval(bins.drawn_share)
            reach = np.clip([bins.share - low, high - bins.share], 0, None)
            axis.errorbar(bins.similarity, bins.share, reach, fmt=mark, markersize=4, capsize=2, linewidth=1, color=colour, label=label)
        axis.set(title=f"{KINDS[kind]}, calibration error {every.error:.3f}", xlabel="mean similarity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes[0].set_ylabel("share of pairs of one person (even odds)")
    axes[0].legend(loc="upper left", frameon=False, fontsize=9)
    figure.suptitle(f"{name}: CFP's folds 6-10, 95 % by resampling people", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)
