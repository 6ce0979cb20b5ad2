"""Compares the measures with independent formulas: `python -m unittest evaluation.test_measures`."""

import unittest
from types import SimpleNamespace

import numpy as np

from evaluation import calibration, cfp_pairs, error_rates, identification

PEOPLE, FRONTAL, PROFILES = 14, 5, 2


def world(seed=0, people=PEOPLE):
    """Cosines of generated photos of some people, the third photo refused, and who they show."""
    rng = np.random.default_rng(seed)
    photos = people * (FRONTAL + PROFILES)
    person = np.concatenate([np.repeat(np.arange(1, people + 1), each) for each in (FRONTAL, PROFILES)])
    middle = rng.normal(size=(people + 1, 6))
    vectors = middle[person] + 0.8 * rng.normal(size=(photos, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T).astype(np.float32)
    cosines[2], cosines[:, 2] = np.nan, np.nan
    return cosines, SimpleNamespace(person=person, frontal=np.arange(photos) < people * FRONTAL)


class Pairs(unittest.TestCase):
    def test_are_those_that_a_double_loop_finds(self):
        cosines, listed = world()
        for kind in cfp_pairs.KINDS:
            genuine, impostor = [], []
            for one in range(len(cosines)):
                for other in range(one + 1, len(cosines)):
                    if listed.frontal[one] and listed.frontal[other] == (kind == "FF"):
                        (genuine if listed.person[one] == listed.person[other] else impostor).append(cosines[one, other])
            found = cfp_pairs.pairs(cosines, listed, kind, np.unique(listed.person))
            np.testing.assert_array_equal(np.sort(found.acquired()[0]), np.sort([x for x in genuine if np.isfinite(x)]))
            np.testing.assert_array_equal(np.sort(found.impostor), np.sort([x for x in impostor if np.isfinite(x)]))
            self.assertEqual(len(found.genuine), len(genuine))
            self.assertEqual(found.impostor_counts().sum(), len(found.impostor))


class Calibration(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(1)
        self.genuine, self.impostor = rng.normal(2.0, 1, 900).round(2), rng.normal(-2.0, 1, 4000).round(2)

    def test_line_of_two_normal_classes_is_their_log_odds(self):
        rng = np.random.default_rng(2)  # equal variance: log-odds = (m1 - m0) x / s^2 - (m1^2 - m0^2) / 2 s^2
        line = calibration.fit((1, rng.normal(0.6, 0.2, 400_000), rng.normal(0.1, 0.2, 400_000)))
        self.assertAlmostEqual(line.scale, 0.5 / 0.04, delta=0.1)
        self.assertAlmostEqual(line.offset, (0.36 - 0.01) / 0.08, delta=0.05)

    def test_line_has_no_gradient_left(self):
        line = calibration.fit((1, self.genuine, self.impostor))
        residual = [(1 - calibration.similarity(line(self.genuine)), self.genuine), (-calibration.similarity(line(self.impostor)), self.impostor)]
        self.assertAlmostEqual(sum(gap.mean() for gap, _ in residual), 0, places=4)
        self.assertAlmostEqual(sum((gap * x).mean() for gap, x in residual), 0, places=4)

    def test_least_cllr_is_that_of_the_convex_hull_of_the_roc(self):
        values = np.unique(np.concatenate([self.genuine, self.impostor]))[::-1]
        roc = [(0.0, 0.0)] + [(np.mean(self.impostor >= v), np.mean(self.genuine >= v)) for v in values]
        hull = []
        for point in roc:  # upper hull from left to right
            while len(hull) > 1 and np.linalg.det([np.subtract(hull[-1], hull[-2]), np.subtract(point, hull[-2])]) >= 0:
                hull.pop()
            hull.append(point)
        cost = 0.0
        for (x0, y0), (x1, y1) in zip(hull[:-1], hull[1:]):
            false, true = x1 - x0, y1 - y0
            cost += true * np.log2(1 + false / true) if true > 0 else 0
            cost += false * np.log2(1 + true / false) if false > 0 else 0
        self.assertAlmostEqual(calibration.least_cllr(self.genuine, self.impostor), cost / 2, places=10)

    def test_cllr_of_no_information_is_one_bit_and_its_least_is_no_more(self):
        self.assertAlmostEqual(calibration.cllr(np.zeros(5), np.zeros(50)), 1.0)
        self.assertAlmostEqual(calibration.least_cllr(np.zeros(5), np.zeros(50)), 1.0)
        self.assertLess(calibration.least_cllr(self.genuine, self.impostor), calibration.cllr(self.genuine, self.impostor))

    def test_error_of_the_sample_and_of_a_resample_is_that_of_the_pairs_written_out(self):
        cosines, listed = world()
        pairs = cfp_pairs.pairs(cosines, listed, "FF", np.unique(listed.person))
        line = calibration.Line(6.0, 2.5)
        (genuine, owner), impostor = pairs.acquired(), pairs.impostor
        edges = calibration.equal_bins(line(genuine), line(impostor))
        drawn = cfp_pairs.resamples(PEOPLE)[:3]
        found = calibration.reliability(pairs, line, edges, drawn)
        for people, error in zip([np.ones(PEOPLE), *drawn], [found.error, *found.drawn_error]):
            often = np.repeat(genuine, people[owner].astype(int)), np.repeat(impostor, (people[pairs.a] * people[pairs.b]).astype(int))
            scores, weight = line(np.concatenate(often)), calibration.even(*often)
            gap = weight * (calibration.similarity(scores) - np.repeat([1, 0], [len(each) for each in often]))
            place = np.digitize(scores, edges[1:-1])
            self.assertAlmostEqual(error, sum(abs(gap[place == k].sum()) for k in range(calibration.BINS)), places=9)
        np.testing.assert_allclose(found.weight, 0.1, atol=0.03)


class ErrorRates(unittest.TestCase):
    def test_thresholds_and_rates_of_a_resample_are_those_of_the_pairs_written_out(self):
        cosines, listed = world(people=40)
        pairs = cfp_pairs.pairs(cosines, listed, "FF", np.unique(listed.person))
        tail = error_rates.Tail(pairs)
        for people in [np.ones(40), *cfp_pairs.resamples(40)[:5]]:
            written = np.sort(np.repeat(pairs.impostor, (people[pairs.a] * people[pairs.b]).astype(int)))
            reached = tail.reached(people)
            for rate, cosine in zip((1e-2, 3e-3, 1e-3), tail.thresholds((1e-2, 3e-3, 1e-3), reached)):
                allowed = int(rate * len(written))
                self.assertLessEqual(np.sum(written >= cosine), allowed)
                self.assertGreater(np.sum(written >= written[-1 - allowed]), allowed)
                self.assertEqual(cosine, np.nextafter(written[-1 - allowed], np.float32(2)))
                self.assertAlmostEqual(reached[tail.above(cosine) - 1], np.mean(written >= cosine), places=12)

    def test_a_row_needs_ten_pairs_of_people(self):
        size = 60
        a, b = (side.astype(np.int16) for side in np.triu_indices(size, 1))
        a, b = np.repeat(a, 100), np.repeat(b, 100)
        impostor = np.linspace(0, 0.5, len(a), dtype=np.float32)
        impostor[:100 * 9] += 1  # nine look-alikes in every photo: 900 errors, nine pairs
        pairs = cfp_pairs.Pairs(np.arange(size), np.ones(size), np.arange(size), impostor, a, b)
        rows = error_rates.rows(pairs, cfp_pairs.resamples(size)[:20])
        self.assertEqual(rows[-1].fmr, 1e-2)
        self.assertGreaterEqual(rows[-1].pairs, 10)

    def test_measured_misses_are_counted_by_hand(self):
        cosines, listed = world()
        pairs = cfp_pairs.pairs(cosines, listed, "FP", np.unique(listed.person))
        (fmr, _), (fnmr, _) = error_rates.measured(pairs, [0.9], cfp_pairs.resamples(PEOPLE)[:5])
        self.assertAlmostEqual(fnmr[0], np.mean(~(pairs.genuine >= 0.9)))
        self.assertAlmostEqual(fmr[0], np.mean(pairs.impostor >= 0.9))


class Identification(unittest.TestCase):
    def test_the_mean_of_many_draws_is_the_expected_rate(self):
        cosines, listed = world(people=30)
        cosines[np.isnan(cosines)] = -np.inf
        people = np.unique(listed.person)
        for size in (3, 12):
            drawn = identification.draws(cosines, listed, people, size, 0.9)
            spread = 4 * drawn.fpir.std() / np.sqrt(len(drawn.fpir))
            self.assertAlmostEqual(drawn.fpir.mean(), identification.expected(cosines, listed, people, size, 0.9), delta=spread)
            spread = 4 * drawn.fnir.std() / np.sqrt(len(drawn.fnir))
            self.assertAlmostEqual(drawn.fnir.mean(), identification.estimated_fnir(cosines, listed, people, size, 0.9), delta=spread)
            self.assertTrue(np.all(drawn.misnamed <= drawn.fnir))

    def test_the_rule_is_the_services(self):
        rows = [SimpleNamespace(fmr=fmr) for fmr in (1e-2, 1e-3, 1e-4)]
        chosen = {size: identification.chosen_row(rows, size).fmr for size in (1, 10, 100, 1000)}
        self.assertEqual(chosen, {1: 1e-2, 10: 1e-3, 100: 1e-4, 1000: 1e-4})


if __name__ == "__main__":
    unittest.main()
