"""Genuine and impostor pairs of some of CFP's people, and how they weigh when the people are drawn anew.

A resample of people is a row of multiplicities, how often each person was drawn. A genuine pair then weighs what its person does, an
impostor pair the product of its two people's (a person drawn twice is no impostor to himself).
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 500
KINDS = {"FF": "frontal-frontal", "FP": "frontal-profile"}


@dataclass
class Pairs:
    people: np.ndarray  # CFP's numbers; below, people are indices into it
    genuine: np.ndarray  # cosines; -inf where a photo was refused, for it matches nobody
    owner: np.ndarray  # whose
    impostor: np.ndarray  # cosines; refused photos are left out
    a: np.ndarray  # of which two people
    b: np.ndarray

    def acquired(self):
        """The genuine cosines of photos that were not refused, and whose they are."""
        kept = np.isfinite(self.genuine)
        return self.genuine[kept], self.owner[kept]

    def impostor_counts(self, values=None):
        """How many impostor pairs (or the sum of a value over them) any two people have, people x people."""
        size = len(self.people)
        return np.bincount(self.a.astype(np.int64) * size + self.b, values, size * size).reshape(size, size)


def pairs(cosines, listed, kind, people):
    """Every pair of a frontal photo with another frontal one ("FF") or with a profile ("FP") of these people."""
    chosen = np.isin(listed.person, people)
    frontal, profile = np.flatnonzero(chosen & listed.frontal), np.flatnonzero(chosen & ~listed.frontal)
    if kind == "FF":
        first, second = (frontal[side] for side in np.triu_indices(len(frontal), 1))
    else:
        first, second = np.repeat(frontal, len(profile)), np.tile(profile, len(frontal))
    found, number = cosines[first, second], np.searchsorted(people, listed.person).astype(np.int16)
    a, b = number[first], number[second]
    same, acquired = a == b, np.isfinite(found)
    genuine, strangers = np.where(acquired, found, -np.inf)[same], ~same & acquired
    return Pairs(people, genuine, a[same], found[strangers], a[strangers], b[strangers])


def resamples(people, seed=0):
    """Multiplicities, RESAMPLES x people: as many people as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, people, people), minlength=people) for _ in range(RESAMPLES)]).astype(np.float64)


def interval(drawn):
    """95 %, of the first axis."""
    return np.nanpercentile(drawn, (2.5, 97.5), axis=0)
