//! The reference embeddings of everyone enrolled with the running model, in memory, for search.
//!
//! The store is the truth and this is its copy: loaded at the start, changed after each commit.
//! All vectors lie in one contiguous matrix, so that a search is one pass over memory.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use zeroize::Zeroize;

use crate::comparison::{Comparator, Score};
use crate::embedding::Embedding;
use crate::employee::EmployeeId;

/// Somebody whose reference is near a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// Who.
    pub employee: EmployeeId,
    /// How well the probe compares with their reference.
    pub score: Score,
}

/// Two people whose references compare well.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Who.
    pub employees: [EmployeeId; 2],
    /// How well their references compare.
    pub score: Score,
}

/// The best few of many, best first.
struct Best<T> {
    most: usize,
    items: Vec<(f32, T)>,
}

/// Everyone's reference, searchable.
pub struct Gallery {
    rows: RwLock<Rows>,
}

struct Rows {
    /// Values of one embedding.
    width: usize,
    /// `employees.len()` rows of `width` values.
    values: Vec<f32>,
    employees: Vec<EmployeeId>,
    /// When each reference ends, if ever; from then on it is compared with nothing.
    expiries: Vec<Option<Timestamp>>,
    row_of: HashMap<EmployeeId, usize>,
}

impl Gallery {
    /// An empty gallery for embeddings of `width` values.
    pub fn new(width: usize) -> Self {
        let rows = Rows {
            width,
            values: Vec::new(),
            employees: Vec::new(),
            expiries: Vec::new(),
            row_of: HashMap::new(),
        };
        Self { rows: RwLock::new(rows) }
    }

    /// How many people are in it.
    pub fn len(&self) -> usize {
        self.read().employees.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this employee is in it.
    pub fn contains(&self, employee: &EmployeeId) -> bool {
        self.read().row_of.contains_key(employee)
    }

    /// Puts a reference in place of the employee's former one, if any.
    ///
    /// # Panics
    /// Where the embedding is not of the gallery's width: it is of another model, and no such
    /// template is opened.
    pub fn insert(
        &self,
        employee: EmployeeId,
        reference: &Embedding,
        expires_at: Option<Timestamp>,
    ) {
        let mut rows = self.write();
        assert_eq!(reference.values().len(), rows.width, "an embedding of another model");
        if let Some(&row) = rows.row_of.get(&employee) {
            let span = rows.span(row);
            rows.values[span].copy_from_slice(reference.values());
            rows.expiries[row] = expires_at;
        } else {
            let row = rows.employees.len();
            rows.make_room();
            rows.values.extend_from_slice(reference.values());
            rows.employees.push(employee.clone());
            rows.expiries.push(expires_at);
            rows.row_of.insert(employee, row);
        }
    }

    /// Takes an employee out and overwrites their reference.
    pub fn remove(&self, employee: &EmployeeId) {
        let mut rows = self.write();
        let Some(row) = rows.row_of.remove(employee) else { return };
        let last = rows.employees.len() - 1;
        let (span, last_span) = (rows.span(row), rows.span(last));
        rows.values.copy_within(last_span.clone(), span.start);
        rows.values[last_span.clone()].zeroize();
        rows.values.truncate(last_span.start);
        rows.employees.swap_remove(row);
        rows.expiries.swap_remove(row);
        if row != last {
            let moved = rows.employees[row].clone();
            rows.row_of.insert(moved, row);
        }
    }

    /// Compares a probe with one employee's reference; `None` where they are not in the gallery, or no
    /// longer.
    pub fn compare(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        comparator: &Comparator,
        now: Timestamp,
    ) -> Option<Score> {
        let rows = self.read();
        let row = *rows.row_of.get(employee).filter(|row| rows.holds(**row, now))?;
        let span = rows.span(row);
        Some(
            comparator.calibration.score(comparator.measure.of(&rows.values[span], probe.values())),
        )
    }

    /// The `top` nearest, nearest first.
    pub fn search(
        &self,
        probe: &Embedding,
        top: usize,
        comparator: &Comparator,
        now: Timestamp,
    ) -> Vec<Neighbour> {
        let rows = self.read();
        let mut best = Best::new(top);
        for (row, values) in rows.values.chunks_exact(rows.width).enumerate() {
            if rows.holds(row, now) {
                best.offer(comparator.measure.of(values, probe.values()), row);
            }
        }
        let nearest = best.items.into_iter().map(|(measured, row)| Neighbour {
            employee: rows.employees[row].clone(),
            score: comparator.calibration.score(measured),
        });
        nearest.collect()
    }

    /// The `top` closest pairs, closest first. Everyone is compared with everyone.
    pub fn closest_pairs(&self, top: usize, comparator: &Comparator) -> Vec<Pair> {
        let rows = self.read();
        let mut best = Best::new(top);
        for (a, reference) in rows.values.chunks_exact(rows.width).enumerate() {
            for (b, other) in rows.values.chunks_exact(rows.width).enumerate().skip(a + 1) {
                best.offer(comparator.measure.of(reference, other), [a, b]);
            }
        }
        let pairs = best.items.into_iter().map(|(measured, pair)| Pair {
            employees: pair.map(|row| rows.employees[row].clone()),
            score: comparator.calibration.score(measured),
        });
        pairs.collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Best<T> {
    fn new(most: usize) -> Self {
        Self { most, items: Vec::new() }
    }

    /// Keeps the item if it is among the best so far; of equals the first comes first.
    fn offer(&mut self, value: f32, item: T) {
        let is_full = self.items.len() >= self.most;
        if is_full && self.items.last().is_none_or(|(worst, _)| value <= *worst) {
            return;
        }
        let place = self.items.partition_point(|(better, _)| *better >= value);
        self.items.insert(place, (value, item));
        self.items.truncate(self.most);
    }
}

impl Rows {
    fn span(&self, row: usize) -> std::ops::Range<usize> {
        row * self.width..(row + 1) * self.width
    }

    /// Whether a reference has not ended.
    fn holds(&self, row: usize, now: Timestamp) -> bool {
        self.expiries[row].is_none_or(|end| now < end)
    }

    /// Grows by hand, so that the matrix that is left behind is overwritten.
    fn make_room(&mut self) {
        if self.values.capacity() - self.values.len() >= self.width {
            return;
        }
        let mut larger = Vec::with_capacity((2 * self.values.len()).max(64 * self.width));
        larger.extend_from_slice(&self.values);
        std::mem::replace(&mut self.values, larger).zeroize();
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl std::fmt::Debug for Gallery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gallery({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::comparison::{Calibration, Measure};

    const WIDTH: usize = 5;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, Embedding),
        Remove(u8),
        Search(Embedding),
    }

    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::collection::vec(-1.0_f32..1.0, WIDTH)
            .prop_filter_map("no direction", |values| Embedding::normalize(values).ok())
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..12, embedding()).prop_map(|(who, e)| Step::Insert(who, e)),
            (0_u8..12).prop_map(Step::Remove),
            embedding().prop_map(Step::Search),
        ]
    }

    fn cosine(scale: f64, offset: f64) -> Comparator {
        let calibration = Calibration::new(scale, offset).unwrap();
        Comparator { measure: Measure::Cosine, calibration }
    }

    fn id(who: u8) -> EmployeeId {
        EmployeeId::parse(&format!("e-{who}")).unwrap()
    }

    proptest! {
        #[test]
        fn a_gallery_equals_a_map_searched_by_brute_force(steps in prop::collection::vec(step(), 1..60)) {
            let comparator = cosine(10.0, 3.0);
            let gallery = Gallery::new(WIDTH);
            let mut model: HashMap<EmployeeId, Embedding> = HashMap::new();
            for step in steps {
                match step {
                    Step::Insert(who, reference) => {
                        gallery.insert(id(who), &reference, None);
                        model.insert(id(who), reference);
                    }
                    Step::Remove(who) => {
                        gallery.remove(&id(who));
                        model.remove(&id(who));
                    }
                    Step::Search(probe) => {
                        let found = gallery.search(&probe, 4, &comparator, NOW);
                        prop_assert_eq!(gallery.len(), model.len());
                        let mut expected: Vec<_> =
                            model.values().map(|r| comparator.compare(&probe, r).value()).collect();
                        expected.sort_by(|a, b| b.total_cmp(a));
                        expected.truncate(4);
                        let scores: Vec<_> = found.iter().map(|c| c.score.value()).collect();
                        prop_assert_eq!(scores, expected);
                        for near in found {
                            let own = gallery.compare(&near.employee, &probe, &comparator, NOW);
                            prop_assert_eq!(own, Some(near.score));
                            let reference = &model[&near.employee];
                            prop_assert_eq!(comparator.compare(&probe, reference), near.score);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_ended_is_compared_with_nothing() {
        let gallery = Gallery::new(2);
        let face = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        let end = NOW + Duration::from_secs(10);
        gallery.insert(id(1), &face, Some(end));
        let comparator = cosine(1.0, 0.0);
        let found = |now| {
            let searched = gallery.search(&face, 1, &comparator, now).len();
            (searched, gallery.compare(&id(1), &face, &comparator, now).is_some())
        };
        assert_eq!(found(end - Duration::from_millis(1)), (1, true));
        assert_eq!(found(end), (0, false));
        gallery.insert(id(1), &face, None);
        assert_eq!(found(end), (1, true));
    }

    #[test]
    fn the_closest_pair_comes_first() {
        let gallery = Gallery::new(2);
        for (who, values) in [(1, [1.0, 0.0]), (2, [0.0, 1.0]), (3, [0.9, 0.1])] {
            gallery.insert(id(who), &Embedding::normalize(values.to_vec()).unwrap(), None);
        }
        let comparator = cosine(1.0, 0.0);
        let pairs = gallery.closest_pairs(2, &comparator);
        let names: Vec<_> = pairs.iter().map(|p| p.employees.clone()).collect();
        assert_eq!(names, [[id(1), id(3)], [id(2), id(3)]]);
        assert_eq!(gallery.closest_pairs(0, &comparator), []);
        assert_eq!(gallery.closest_pairs(9, &comparator).len(), 3);
    }

    #[test]
    fn whoever_takes_the_place_of_the_removed_keeps_their_own_reference() {
        let gallery = Gallery::new(2);
        let (first, last) = (id(1), id(2));
        gallery.insert(first.clone(), &Embedding::normalize(vec![3.0, 4.0]).unwrap(), None);
        gallery.insert(last.clone(), &Embedding::normalize(vec![4.0, 3.0]).unwrap(), None);
        gallery.remove(&first);
        assert_eq!(gallery.read().values, [0.8, 0.6]);
        assert!(!gallery.contains(&first) && gallery.contains(&last));
    }
}
