"""Calibration: from cosines to log-odds, and its error. Both classes have equal weight.

The score = scale x cosine - offset is fitted by logistic regression. It is evaluated by the expected
calibration error (the difference between the mean similarity of a bin, the sigmoid of the score, and
its share of genuine pairs, over ten bins of equal weight) and by Cllr (Brümmer and du Preez 2006)
against the least that a monotone map of the same cosines can reach (pool adjacent violators).
"""

from dataclasses import dataclass

import numpy as np

BINS = 10
DOUBTFUL = (0.05, 0.95)  # similarities between which a person would hesitate


@dataclass(frozen=True)
class Line:
    """score = scale x cosine - offset"""

    scale: float
    offset: float

    def __call__(self, cosines):
        return self.scale * np.asarray(cosines, np.float64) - self.offset


def similarity(scores):
    return 1 / (1 + np.exp(-scores))


def even(genuine, impostor):
    """Each pair's weight, genuine ones first: half of everything for either class."""
    return np.concatenate([np.full(len(each), 0.5 / len(each)) for each in (genuine, impostor)])


def logistic(columns, truth, weight, ridge=0.0):
    """The coefficients of the columns, k x pairs, under which the truths are likeliest, by Newton's method with its steps halved where they overshoot.

    `ridge` holds coefficients back that too few pairs of either class speak for.
    """

    def cost(at):
        return weight @ np.logaddexp(0, (1 - 2 * truth) * (at @ columns)) + ridge / 2 * at @ at

    at = np.zeros(len(columns))
    for _ in range(100):
        p = similarity(at @ columns)
        step = np.linalg.solve((columns * (weight * p * (1 - p))) @ columns.T + ridge * np.eye(len(at)), columns @ (weight * (truth - p)) - ridge * at)
        before = cost(at)
        while cost(at + step) > before and np.abs(step).max() > 1e-9:
            step = step / 2
        at = at + step
        if np.abs(step).max() < 1e-8 * (1 + np.abs(at).max()):
            return at
    raise ArithmeticError("the two classes do not overlap: nothing is likeliest")


def fit(*sets):
    """The line of the highest likelihood for sets of (share, genuine, impostor)."""
    x = np.concatenate([np.concatenate(found) for _, *found in sets]).astype(np.float64)
    truth = np.concatenate([np.repeat([1.0, 0.0], [len(genuine), len(impostor)]) for _, genuine, impostor in sets])
    scale, offset = logistic(np.stack([x, -np.ones_like(x)]), truth, np.concatenate([share * even(*found) for share, *found in sets]))
    return Line(round(float(scale), 4), round(float(offset), 4))


def cllr(genuine, impostor):
    """The cost of these scores in bits, 0 for perfect, 1 for no information."""
    return (np.mean(np.logaddexp(0, -genuine)) + np.mean(np.logaddexp(0, impostor))) / np.log(4)


def least_cllr(genuine, impostor):
    """The least Cllr of any monotone map of these scores: the isotonic regression's, by pooling adjacent violators."""
    scores, truth = np.concatenate([genuine, impostor]), np.repeat([1.0, 0.0], [len(genuine), len(impostor)])
    weight = even(genuine, impostor)
    value, place = np.unique(scores, return_inverse=True)
    whole, own = np.bincount(place, weight), np.bincount(place, weight * truth)
    pure = np.select([own == 0, own == whole], [0, 1], np.arange(2, 2 + len(value)))  # a run of one class is one block in any case
    starts = np.flatnonzero(np.diff(pure, prepend=-1))
    blocks = []
    for added in zip(np.add.reduceat(whole, starts), np.add.reduceat(own, starts)):
        blocks.append(added)
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((before[0] + last[0], before[1] + last[1]))
    whole, own = np.array(blocks).T
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = own * np.log2(own / whole), (whole - own) * np.log2(1 - own / whole)
    return -sum(np.nansum(np.where(np.isfinite(part), part, 0)) for part in bits)


def equal_bins(genuine, impostor, least=0.0, most=1.0):
    """Scores between the bins of equal weight that the pairs with similarities from `least` to `most` fall into."""
    scores, weight = np.concatenate([genuine, impostor]), even(genuine, impostor)
    kept = (similarity(scores) >= least) & (similarity(scores) <= most)
    scores, weight = scores[kept], weight[kept]
    order = np.argsort(scores)
    reached = np.cumsum(weight[order])
    inner = scores[order][np.searchsorted(reached, reached[-1] * np.arange(1, BINS) / BINS)]
    return np.concatenate([[scores.min()], inner, [np.nextafter(scores.max(), np.inf)]])


@dataclass
class Reliability:
    """Per bin; `drawn` is the same for resampled people, resamples x bins."""

    weight: np.ndarray
    similarity: np.ndarray
    share: np.ndarray
    genuine: np.ndarray  # counts
    impostor: np.ndarray
    drawn_error: np.ndarray  # resamples
    drawn_share: np.ndarray  # resamples x bins

    @property
    def error(self):
        """The expected calibration error."""
        return float(np.sum(self.weight * np.abs(self.similarity - self.share)))


def reliability(pairs, line, edges, drawn):
    """How true the similarities in each bin are, and how that varies with the people."""
    cosines, owner = pairs.acquired()
    genuine, impostor = line(cosines), line(pairs.impostor)
    whole = np.bincount(owner, minlength=len(pairs.people)), pairs.impostor_counts()
    people = np.vstack([np.ones(len(pairs.people)), drawn])  # the first row is the sample itself
    parts = []
    for low, high in zip(edges[:-1], edges[1:]):
        g, i = (genuine >= low) & (genuine < high), (impostor >= low) & (impostor < high)
        sizes = [_weigh(pairs, owner, g, i, people, whole, values) for values in (None, (similarity(genuine[g]), similarity(impostor[i])))]
        parts.append((*sizes[0], sum(sizes[1]), g.sum(), i.sum()))
    own, other, similar, genuine_count, impostor_count = (np.stack(part, -1) for part in zip(*parts))
    with np.errstate(invalid="ignore"):
        share = own / (own + other)
    gaps = np.abs(similar - own).sum(1) / (own + other).sum(1)
    weight = (own + other)[0] / (own + other)[0].sum()
    return Reliability(weight, similar[0] / (own + other)[0], share[0], genuine_count, impostor_count, gaps[1:], share[1:])


def _weigh(pairs, owner, genuine, impostor, people, whole, values):
    """What the chosen pairs of either class weigh (or their values do) of the whole, for each row of multiplicities."""
    own = np.bincount(owner[genuine], None if values is None else values[0], len(pairs.people))
    size = len(pairs.people)
    cell = pairs.a[impostor].astype(np.int64) * size + pairs.b[impostor]
    other = np.bincount(cell, None if values is None else values[1], size * size).reshape(size, size)
    both = (people @ own / (people @ whole[0]), np.sum(people @ other * people, 1) / np.sum(people @ whole[1] * people, 1))
    return 0.5 * both[0], 0.5 * both[1]
