"""The table of CFP's protocol accuracy, and of the TAR at given FMR."""

import numpy as np

from common import cfp_photos
from evaluation.cfp_pairs import KINDS, interval, resamples
from evaluation.error_rates import Tail

RATES = (1e-2, 1e-3, 1e-4)


def protocol_pairs(cosines, listed, kind, folds):
    """Cosines (-inf where a photo was refused), truth and both people of the protocol's pairs."""
    first, second, same = (np.concatenate(part) for part in zip(*(listed.pairs[kind, fold] for fold in folds)))
    found = cosines[first, second]
    return np.where(np.isfinite(found), found, -np.inf), same, listed.person[first], listed.person[second]


def best_threshold(scores, same):
    """The threshold of the highest accuracy."""
    order = np.argsort(-scores)
    right = np.cumsum(same[order]) + (~same).sum() - np.cumsum(~same[order])
    at = int(np.argmax(right))
    return (scores[order[at]] + scores[order[min(at + 1, len(order) - 1)]]) / 2


def accuracy(cosines, listed, kind):
    """Of folds 6-10, at the threshold that suits folds 1-5 best; its interval, and each fold's."""
    level = best_threshold(*protocol_pairs(cosines, listed, kind, cfp_photos.CHOOSING)[:2])
    each = []
    for fold in range(1, cfp_photos.FOLDS + 1):
        scores, same, _, _ = protocol_pairs(cosines, listed, kind, [fold])
        each.append(np.mean((scores > level) == same))
    scores, same, *both = protocol_pairs(cosines, listed, kind, cfp_photos.REPORTING)
    people, number = np.unique(np.concatenate(both), return_inverse=True)
    a, b = number[: len(same)], number[len(same):]
    right = (scores > level) == same
    weights = [np.where(same, drawn[a], drawn[a] * drawn[b]) for drawn in resamples(len(people))]
    return right.mean(), interval([(weight * right).sum() / weight.sum() for weight in weights]), each


def accepted(pairs, drawn):
    """The share of genuine pairs above the threshold of each of RATES, and its interval."""
    tail, sample = Tail(pairs), np.ones((1, len(pairs.people)))

    def shares(people):
        levels, weight = tail.thresholds(RATES, tail.reached(people)), people[pairs.owner]
        return [weight[pairs.genuine >= level].sum() / weight.sum() for level in levels]

    return shares(sample[0]), interval([shares(people) for people in drawn])


def report(cosines, listed, frontal, drawn):
    """The first rows of the model card."""
    print("\n| folds 6-10 | | 95 % |\n| --- | --- | --- |")
    each = {}
    for kind in KINDS:
        value, (low, high), each[kind] = accuracy(cosines, listed, kind)
        print(f"| CFP-{kind} accuracy | {value:.2%} | {low:.2%} to {high:.2%} |")
    for rate, value, low, high in zip(RATES, *(lambda values, both: (values, *both))(*accepted(frontal, drawn))):
        print(f"| TAR at FMR {rate:.0e} | {value:.2%} | {low:.2%} to {high:.2%} |")
    print("\nAt the threshold of folds 1-5, each fold from 1 to 10:", "; ".join(
        f"CFP-{kind} {', '.join(f'{value:.2%}' for value in values)}, all ten {np.mean(values):.2%}" for kind, values in each.items()))
