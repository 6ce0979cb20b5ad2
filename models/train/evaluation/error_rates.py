"""Thresholds by false match rate, as far as the impostors of CFP carry them.

A row's cosine is the lowest that at most this share of the impostor pairs reaches. A row counts only where at least ten different pairs of
people stand behind the pairs of photos that reach it: a hundred pairs of photos of two look-alikes are one observation, not a hundred.
Intervals are by resampling the people.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.cfp_pairs import interval

LADDER = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
LEAST_PAIRS = 10
TAIL = 5  # times the most lenient rate; a resample's thresholds lie within


@dataclass
class Row:
    fmr: float
    cosine: float
    interval: np.ndarray  # of the cosine that a resample has at this rate
    fmr_interval: np.ndarray  # of the rate that a resample has at this cosine
    pairs: int  # different pairs of people behind its errors


class Tail:
    """The impostor pairs with the highest cosines, in falling order, and what all of them weigh."""

    def __init__(self, pairs):
        kept = int(TAIL * LADDER[0] * len(pairs.impostor))
        order = np.argpartition(-pairs.impostor, kept)[:kept]
        order = order[np.argsort(-pairs.impostor[order], kind="stable")]
        self.cosines, self.a, self.b = pairs.impostor[order], pairs.a[order].astype(int), pairs.b[order].astype(int)
        self.counts = pairs.impostor_counts().astype(np.float64)

    def reached(self, people):
        """The share of all impostor pairs that each of these pairs and those before it make up, people weighing so much."""
        return np.cumsum(people[self.a] * people[self.b]) / (people @ self.counts @ people)

    def thresholds(self, rates, reached):
        """The lowest cosine for each rate that at most this share reaches."""
        first_too_many = np.searchsorted(reached, np.asarray(rates) * (1 + 1e-12), side="right")
        return np.nextafter(self.cosines[np.minimum(first_too_many, len(self.cosines) - 1)], np.float32(np.inf))

    def above(self, cosines):
        """How many pairs reach each cosine."""
        return np.searchsorted(-self.cosines, -np.asarray(cosines), side="right")

    def different(self, count):
        """How many different pairs of people the first `count` pairs of photos show."""
        two = np.sort(np.stack([self.a[:count], self.b[:count]]), 0)
        return len(np.unique(two, axis=1).T)


def rows(pairs, drawn):
    """The table of these people, strictest row last, as far as the data carry it."""
    tail = Tail(pairs)
    cosines = tail.thresholds(LADDER, tail.reached(np.ones(len(pairs.people))))
    count = tail.above(cosines)
    at_rate, at_cosine = (interval(each) for each in zip(*(_resampled(tail, people, count) for people in drawn)))
    found = [Row(fmr, float(cosine), at_rate[:, k], at_cosine[:, k], tail.different(count[k]))
             for k, (fmr, cosine) in enumerate(zip(LADDER, cosines))]
    return [row for row in found if row.pairs >= LEAST_PAIRS]


def _resampled(tail, people, count):
    """One resample's cosines at the ladder's rates, and its rates where the sample has its first `count` pairs."""
    reached = tail.reached(people)
    return tail.thresholds(LADDER, reached), np.where(count > 0, reached[count - 1], 0)


def measured(pairs, cosines, drawn):
    """FMR and FNMR at these cosines, each with its interval; a refused photo matches nobody."""
    tail = Tail(pairs)
    count = tail.above(cosines)
    missed = np.stack([np.bincount(pairs.owner, pairs.genuine < cosine, len(pairs.people)) for cosine in cosines])
    whole = np.bincount(pairs.owner, minlength=len(pairs.people))
    one = np.ones((1, len(pairs.people)))
    of = {}
    for name, people in (("value", one), ("drawn", drawn)):
        fmr = [np.where(count > 0, tail.reached(row)[count - 1], 0) for row in people]
        of[name] = np.array(fmr), people @ missed.T / (people @ whole)[:, None]
    return [(of["value"][k][0], interval(of["drawn"][k])) for k in (0, 1)]
