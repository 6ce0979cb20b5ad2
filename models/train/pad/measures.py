"""Error rates of presentation-attack detection by ISO/IEC 30107-3, with intervals by resampling groups (videos or people)."""

import numpy as np

RESAMPLES = 1000


def threshold(live, bpcer):
    """The score below which this share of live photos lies."""
    ordered = np.sort(live)
    return ordered[min(len(ordered) - 1, int(np.floor(bpcer * len(ordered))))]


def common_threshold(sets, bpcer):
    """The score below which this share of live photos lies, where each set of scores has the same weight."""
    every, weight = np.concatenate(sets), np.concatenate([np.full(len(scores), 1 / len(scores) / len(sets)) for scores in sets])
    order = np.argsort(every)
    return float(every[order][np.searchsorted(np.cumsum(weight[order]), bpcer)])


def apcer(attack, at):
    """Share of attacks that pass as live."""
    return float((attack >= at).mean()) if len(attack) else float("nan")


def auc(live, attack):
    """Probability that a live photo scores higher than an attack."""
    order = np.argsort(np.concatenate([attack, live]), kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    return float((rank[len(attack):].sum() - len(live) * (len(live) + 1) / 2) / (len(live) * len(attack)))


def eer(live, attack):
    """The error rate at the threshold where APCER and BPCER are closest."""
    at = np.unique(np.concatenate([live, attack]))
    bpcer = np.searchsorted(np.sort(live), at) / len(live)
    passed = 1 - np.searchsorted(np.sort(attack), at) / len(attack)
    best = np.argmin(np.abs(bpcer - passed))
    return float((bpcer[best] + passed[best]) / 2)


def interval(measure, *groups_of_scores, seed=0):
    """The 95 % interval of measure(scores, ...), where each argument is a list of score arrays, one array a group."""
    rng, values = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = [np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]) for groups in groups_of_scores]
        values.append(measure(*drawn))
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def grouped(scores, groups):
    """The scores of each group."""
    names, number = np.unique(groups, return_inverse=True)
    return [scores[number == i] for i in range(len(names))]
