"""Identification of people who had no part in choosing the threshold: false positives and negatives.

The rule is the service's (`for_identification`): the most lenient row whose FMR times the gallery size
is at most the target FPIR, else the strictest row. Some people are drawn as non-enrolled, others as
the gallery, one photo each; each frontal photo of the former and each other photo of the latter is a
probe. A refused photo matches nobody. Many draws with fixed seeds give the mean and the variation
between galleries.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

FPIR = 1e-2
DRAWS = 200
STRANGERS = 125


@dataclass
class Found:
    """Per draw."""

    fpir: np.ndarray
    fnir: np.ndarray  # frontal probes
    misnamed: np.ndarray  # the part of it that was taken for somebody else
    profile_fnir: np.ndarray


def chosen_row(rows, size, fpir=FPIR):
    """The service's choice."""
    return next((row for row in rows if row.fmr * size <= fpir), rows[-1])


def between_rows(rows, size, fpir=FPIR):
    """The cosine at which FMR times the gallery's size is the target itself, straight in log FMR between two rows; not beyond either end."""
    return float(np.interp(-np.log(fpir / size), [-np.log(row.fmr) for row in rows], [row.cosine for row in rows]))


def draws(cosines, listed, people, size, threshold):
    """Galleries of `size` of these people. Here and below a row of cosines is of a probe, and those of refused photos are -inf."""
    refused = ~np.isfinite(np.diag(cosines))
    of = {view: {p: np.flatnonzero((listed.person == p) & (listed.frontal == view)) for p in people} for view in (True, False)}
    each = [_draw(cosines, refused, of, people, size, threshold, np.random.default_rng(seed)) for seed in range(DRAWS)]
    return Found(*map(np.array, zip(*each)))


def _draw(score, refused, of, people, size, threshold, rng):
    order = rng.permutation(people)
    enrolled, strangers = order[:size], order[size:][:STRANGERS]
    photos = [rng.choice(of[True][p][~refused[of[True][p]]]) for p in enrolled]  # whose photo is refused brings another
    probes = np.concatenate([of[True][p] for p in strangers])
    fpir = np.mean(score[np.ix_(probes, photos)].max(1) >= threshold)
    missed, misnamed = _search(score, [np.setdiff1d(of[True][p], photos) for p in enrolled], photos, threshold)
    profile, _ = _search(score, [of[False][p] for p in enrolled], photos, threshold)
    return fpir, missed, misnamed, profile


def _search(score, probes, photos, threshold):
    """The shares of these probes (a list for each enrolled person) that are missed or misnamed, and that are misnamed."""
    own = np.repeat(np.arange(len(photos)), [len(each) for each in probes])
    found = score[np.ix_(np.concatenate(probes), photos)]
    best = found.argmax(1)
    reached = found[np.arange(len(own)), best] >= threshold
    return np.mean(~reached | (best != own)), np.mean(reached & (best != own))


def expected(cosines, listed, people, size, threshold):
    """The mean FPIR over all possible draws, without drawing: the chance that none of a random gallery reaches the threshold.

    Of the others, person g has a share f(g) of photos that a probe would be taken for; with `size` of them drawn without replacement the chance of
    no false match is the mean product of 1 - f(g), an elementary symmetric polynomial. Only the few with f(g) > 0 need to be multiplied out.
    """
    frontal = np.flatnonzero(listed.frontal & np.isin(listed.person, people))
    acquired = np.isfinite(np.diag(cosines))[frontal]
    score = cosines[np.ix_(frontal, frontal)] >= threshold
    number = np.searchsorted(people, listed.person[frontal])
    member = np.eye(len(people))[number] * acquired[:, None]
    share = (score @ member) / member.sum(0)
    share[np.arange(len(frontal)), number] = 0
    return np.mean([1 - _none(row[row > 0], len(people) - 1, size) for row in share])


def _none(share, others, size):
    """The mean of the product of 1 - share over all choices of `size` of the others, most of whom have a share of 0."""
    odds = np.ones(1)  # odds[k]: the sum over choices of k of those with a share
    for each in share:
        odds = np.append(odds, 0) + np.append(0, odds) * (1 - each)
    plain, every = others - len(share), comb(others, size)
    return sum(value * (comb(plain, size - k) / every) for k, value in enumerate(odds[: size + 1]))


def estimated_fnir(cosines, listed, people, size, threshold):
    """The FNIR of a gallery larger than the data: missed, or reached by one of `size` - 1 strangers whose cosine is higher still.

    How often a stranger's is higher is taken from each probe's own comparisons with all strangers at hand, who are held to be drawn one by one
    from many more like them.
    """
    frontal = np.flatnonzero(listed.frontal & np.isin(listed.person, people))
    acquired = np.isfinite(np.diag(cosines))[frontal]
    score, person = cosines[np.ix_(frontal, frontal)], listed.person[frontal]
    right = []
    for at, found in enumerate(score):
        own = np.flatnonzero((person == person[at]) & acquired & (np.arange(len(person)) != at))
        strangers = np.sort(found[(person != person[at]) & acquired])
        higher = 1 - np.searchsorted(strangers, found[own], side="right") / max(len(strangers), 1)
        right.append(np.where(found[own] >= threshold, (1 - higher) ** (size - 1), 0) if acquired[at] else np.zeros(len(own)))
    return 1 - np.mean(np.concatenate(right))
