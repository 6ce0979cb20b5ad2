//! The references of all employees enrolled with one model, in memory, for search.
//!
//! The store is authoritative and the gallery is a copy: loaded at the start, changed after each commit. All vectors are
//! in one contiguous matrix, so that a search is one pass over memory, which simultaneous searches share.

mod best;
mod codes;
mod digest;
mod impostors;
mod integer_dot;
mod matrix;
mod scan;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;

use self::best::Best;
use self::codes::Codes;
pub use self::digest::GalleryDigest;
use self::matrix::Matrix;
use crate::comparison::{Comparator, Measure, Score};
use crate::embedding::Embedding;
use crate::employee::{AuditId, EmployeeId};
use crate::seal::DataKeyId;

/// An employee's reference, without its embedding.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The employee.
    pub employee: EmployeeId,
    /// The audit id of the reference.
    pub audit_id: AuditId,
    /// Time at which it expires, if ever; from then on it is not compared.
    pub expires_at: Option<Timestamp>,
    /// Whether it shows a recognizable face. Otherwise it matches nobody: a search leaves it out.
    pub recognizable: bool,
    /// The data key of its template.
    pub key: DataKeyId,
}

/// The result of comparing a probe with an employee's reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The comparison score.
    pub score: Score,
    /// The audit id of the reference; each enrollment has its own.
    pub audit_id: AuditId,
    /// Whether the reference shows a recognizable face.
    pub recognizable: bool,
}

/// An employee whose reference is near a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// The employee.
    pub employee: EmployeeId,
    /// The audit id of the reference.
    pub audit_id: AuditId,
    /// The comparison score of the probe with the reference.
    pub score: Score,
}

/// Two employees whose references are close.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The two employees.
    pub employees: [EmployeeId; 2],
    /// The comparison score of their references.
    pub score: Score,
}

/// A search.
#[derive(Clone, Debug)]
pub struct Query {
    /// The probe.
    pub probe: Embedding,
    /// Number of nearest references to find.
    pub top: usize,
    /// The present time: expired references are not found.
    pub now: Timestamp,
}

/// The searchable references of one model.
pub struct Gallery {
    rows: RwLock<Rows>,
}

struct Rows {
    /// Number of values of an embedding.
    width: usize,
    references: Matrix<f32>,
    /// The same vectors in 8 bits.
    codes: Codes,
    enrolled: Vec<Enrolled>,
    row_of: HashMap<EmployeeId, usize>,
    /// The sum over all rows.
    digest: GalleryDigest,
}

impl Gallery {
    /// Creates an empty gallery for embeddings of `width` values.
    pub fn new(width: usize) -> Self {
        Self { rows: RwLock::new(Rows::none(width)) }
    }

    /// Returns the number of employees.
    pub fn len(&self) -> usize {
        self.read().enrolled.len()
    }

    /// Returns whether the gallery is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the gallery holds this employee.
    pub fn contains(&self, employee: &EmployeeId) -> bool {
        self.read().row_of.contains_key(employee)
    }

    /// Returns whether this employee's reference shows no recognizable face, so that it matches nobody.
    pub fn is_unrecognizable(&self, employee: &EmployeeId) -> bool {
        let rows = self.read();
        rows.row_of.get(employee).is_some_and(|&row| !rows.enrolled[row].recognizable)
    }

    /// Returns the employees whose references show no recognizable face.
    pub fn unrecognizable(&self) -> Vec<EmployeeId> {
        let rows = self.read();
        let doubtful = rows.enrolled.iter().filter(|enrolled| !enrolled.recognizable);
        doubtful.map(|enrolled| enrolled.employee.clone()).collect()
    }

    /// Returns the digest of the employees and their templates.
    pub fn digest(&self) -> GalleryDigest {
        self.read().digest
    }

    /// Inserts a reference and replaces the employee's former one, if any.
    ///
    /// # Panics
    /// If the embedding does not have the gallery's width: it is of another model, and no such template is opened.
    pub fn insert(&self, enrolled: Enrolled, reference: &Embedding) {
        let digest = enrolled.digest();
        let mut rows = self.write();
        assert_eq!(reference.values().len(), rows.width, "an embedding of another model");
        if let Some(&row) = rows.row_of.get(&enrolled.employee) {
            rows.references.set(row, reference.values());
            rows.codes.set(row, reference.values());
            let former = std::mem::replace(&mut rows.enrolled[row], enrolled);
            rows.digest -= former.digest();
        } else {
            let row = rows.enrolled.len();
            rows.references.push(reference.values());
            rows.codes.push(reference.values());
            rows.row_of.insert(enrolled.employee.clone(), row);
            rows.enrolled.push(enrolled);
        }
        rows.digest += digest;
    }

    /// Changes the expiry of an employee's reference, if present.
    pub fn set_expiry(&self, employee: &EmployeeId, expires_at: Option<Timestamp>) {
        let mut rows = self.write();
        if let Some(&row) = rows.row_of.get(employee) {
            rows.enrolled[row].expires_at = expires_at;
        }
    }

    /// Removes an employee and overwrites their reference.
    pub fn remove(&self, employee: &EmployeeId) {
        let mut rows = self.write();
        let Some(row) = rows.row_of.remove(employee) else { return };
        rows.references.swap_remove(row);
        rows.codes.swap_remove(row);
        let removed = rows.enrolled.swap_remove(row);
        rows.digest -= removed.digest();
        if let Some(moved) = rows.enrolled.get(row).map(|moved| moved.employee.clone()) {
            rows.row_of.insert(moved, row);
        }
    }

    /// Replaces all references by those of another gallery, atomically: an employee in both is never missing.
    ///
    /// # Panics
    /// If the other gallery has another width.
    pub fn replace(&self, other: Self) {
        let other = other.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut rows = self.write();
        assert_eq!(other.width, rows.width, "a gallery of another model");
        let former = std::mem::replace(&mut *rows, other);
        drop(rows);
        // Overwritten after the lock is released.
        drop(former);
    }

    /// Compares a probe with one employee's reference. Returns `None` if the reference is absent or expired.
    pub fn compare(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        comparator: &Comparator,
        now: Timestamp,
    ) -> Option<Compared> {
        let rows = self.read();
        let row = *rows.row_of.get(employee).filter(|row| rows.holds(**row, now))?;
        let measured = comparator.measure.of(rows.references.row(row), probe.values());
        let Enrolled { audit_id, recognizable, .. } = rows.enrolled[row];
        Some(Compared { score: comparator.calibration.score(measured), audit_id, recognizable })
    }

    /// Returns the nearest references for each query, nearest first, in one pass over the references.
    pub fn search(&self, queries: &[Query], comparator: &Comparator) -> Vec<Vec<Neighbour>> {
        let rows = self.read();
        let found = match comparator.measure {
            Measure::Cosine => rows.search_codes(queries),
            Measure::WeightedL1(_) => rows.search_all(queries, &comparator.measure),
        };
        let neighbour = |(measured, row): (f32, usize)| Neighbour {
            employee: rows.enrolled[row].employee.clone(),
            audit_id: rows.enrolled[row].audit_id,
            score: comparator.calibration.score(measured),
        };
        found.into_iter().map(|nearest| nearest.into_iter().map(neighbour).collect()).collect()
    }

    /// Returns the `top` closest pairs, closest first, by exhaustive comparison.
    pub fn closest_pairs(&self, top: usize, comparator: &Comparator) -> Vec<Pair> {
        let rows = self.read();
        let mut best = Best::new(top);
        for a in 0..rows.enrolled.len() {
            let reference = rows.references.row(a);
            for b in a + 1..rows.enrolled.len() {
                best.offer(comparator.measure.of(reference, rows.references.row(b)), [a, b]);
            }
        }
        let pairs = best.into_items().into_iter().map(|(measured, pair)| Pair {
            employees: pair.map(|row| rows.enrolled[row].employee.clone()),
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

impl Enrolled {
    fn digest(&self) -> GalleryDigest {
        GalleryDigest::of(&self.employee, self.key)
    }
}

impl Rows {
    fn none(width: usize) -> Self {
        Self {
            width,
            references: Matrix::new(width),
            codes: Codes::new(width),
            enrolled: Vec::new(),
            row_of: HashMap::new(),
            digest: GalleryDigest::default(),
        }
    }

    /// Returns whether a reference has not expired.
    fn holds(&self, row: usize, now: Timestamp) -> bool {
        self.enrolled[row].expires_at.is_none_or(|end| now < end)
    }

    /// Returns whether a search finds a reference.
    fn is_searched(&self, row: usize, now: Timestamp) -> bool {
        self.enrolled[row].recognizable && self.holds(row, now)
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

    fn search(
        gallery: &Gallery,
        probe: &Embedding,
        top: usize,
        comparator: &Comparator,
        now: Timestamp,
    ) -> Vec<Neighbour> {
        let query = Query { probe: probe.clone(), top, now };
        gallery.search(&[query], comparator).remove(0)
    }

    fn key(number: u8) -> DataKeyId {
        DataKeyId::from_bytes([number; 16])
    }

    fn enrolled(employee: EmployeeId, key: DataKeyId) -> Enrolled {
        Enrolled {
            employee,
            audit_id: AuditId::from_bytes(*key.as_bytes()),
            expires_at: None,
            recognizable: true,
            key,
        }
    }

    fn id(who: u8) -> EmployeeId {
        EmployeeId::parse(&format!("e-{who}")).unwrap()
    }

    proptest! {
        #[test]
        fn gallery_equals_a_map_with_exhaustive_search(steps in prop::collection::vec(step(), 1..60)) {
            let comparator = cosine(10.0, 3.0);
            let gallery = Gallery::new(WIDTH);
            let mut model: HashMap<EmployeeId, (Embedding, DataKeyId)> = HashMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(who, reference) => {
                        let key = key(number as u8);
                        gallery.insert(enrolled(id(who), key), &reference);
                        model.insert(id(who), (reference, key));
                    }
                    Step::Remove(who) => {
                        gallery.remove(&id(who));
                        model.remove(&id(who));
                    }
                    Step::Search(probe) => {
                        let found = search(&gallery, &probe, 4, &comparator, NOW);
                        prop_assert_eq!(gallery.len(), model.len());
                        let mut expected: Vec<_> =
                            model.values().map(|(r, _)| comparator.compare(&probe, r).value()).collect();
                        expected.sort_by(|a, b| b.total_cmp(a));
                        expected.truncate(4);
                        let scores: Vec<_> = found.iter().map(|c| c.score.value()).collect();
                        prop_assert_eq!(scores, expected);
                        for near in found {
                            let own = gallery.compare(&near.employee, &probe, &comparator, NOW);
                            let (reference, key) = &model[&near.employee];
                            let audit_id = AuditId::from_bytes(*key.as_bytes());
                            prop_assert_eq!(near.audit_id, audit_id);
                            prop_assert_eq!(own, Some(Compared { score: near.score, audit_id, recognizable: true }));
                            prop_assert_eq!(comparator.compare(&probe, reference), near.score);
                        }
                    }
                }
            }
            let mut digest = GalleryDigest::default();
            for (employee, (_, key)) in &model {
                digest += GalleryDigest::of(employee, *key);
            }
            prop_assert_eq!(gallery.digest(), digest);
            let (another, face) = (Gallery::new(WIDTH), Embedding::normalize(vec![1.0; WIDTH]).unwrap());
            another.insert(enrolled(id(99), key(7)), &face);
            gallery.replace(another);
            prop_assert_eq!((gallery.len(), gallery.digest()), (1, GalleryDigest::of(&id(99), key(7))));
            prop_assert!(gallery.compare(&id(99), &face, &comparator, NOW).is_some());
        }
    }

    /// Numbers between -1 and 1 that look random (Marsaglia 2003, xorshift).
    fn noise(seed: u64) -> impl Iterator<Item = f32> {
        std::iter::successors(Some(seed), |x| {
            let x = x ^ x << 13;
            let x = x ^ x >> 7;
            Some(x ^ x << 17)
        })
        .map(|x| (x >> 40) as f32 / (1 << 23) as f32 - 1.0)
    }

    #[test]
    fn search_by_codes_equals_exhaustive_search() {
        let width = 40;
        let gallery = Gallery::new(width);
        let mut values = noise(11);
        let mut face = |centre: &[f32], spread: f32| {
            let values = centre.iter().zip(&mut values).map(|(c, noise)| c + spread * noise);
            Embedding::normalize(values.collect()).unwrap()
        };
        let centre: Vec<f32> = noise(5).take(width).collect();
        // So close that 8-bit estimates cannot rank them, and some identical.
        for who in 0..3000 {
            let spread = if who % 3 == 0 { 0.02 } else { 1.0 };
            let reference = if who % 100 == 0 { face(&centre, 0.0) } else { face(&centre, spread) };
            let ended = (who % 7 == 0).then_some(NOW);
            let employee = EmployeeId::parse(&format!("e-{who}")).unwrap();
            let somebody = enrolled(employee, key(who as u8));
            gallery.insert(Enrolled { expires_at: ended, ..somebody }, &reference);
        }
        for who in 500..1500 {
            gallery.remove(&EmployeeId::parse(&format!("e-{who}")).unwrap());
        }
        let spreads = [0.0, 0.01, 0.1, 1.0, 5.0];
        let queries: Vec<_> = (0..60)
            .map(|k| Query { probe: face(&centre, spreads[k % 5]), top: k % 8, now: NOW })
            .collect();
        let rows = gallery.read();
        assert_eq!(rows.search_codes(&queries), rows.search_all(&queries, &Measure::Cosine));
    }

    #[test]
    fn expired_references_are_not_compared() {
        let gallery = Gallery::new(2);
        let face = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        let end = NOW + Duration::from_secs(10);
        let ending = Enrolled { expires_at: Some(end), ..enrolled(id(1), key(1)) };
        gallery.insert(ending, &face);
        let comparator = cosine(1.0, 0.0);
        let found = |now| {
            let searched = search(&gallery, &face, 1, &comparator, now).len();
            (searched, gallery.compare(&id(1), &face, &comparator, now).is_some())
        };
        assert_eq!(found(end - Duration::from_millis(1)), (1, true));
        assert_eq!(found(end), (0, false));
        gallery.insert(enrolled(id(1), key(2)), &face);
        assert_eq!(found(end), (1, true));
    }

    #[test]
    fn unrecognizable_references_are_compared_and_not_found() {
        let gallery = Gallery::new(2);
        let face = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        gallery.insert(Enrolled { recognizable: false, ..enrolled(id(1), key(1)) }, &face);
        gallery.insert(enrolled(id(2), key(2)), &face);
        let comparator = cosine(1.0, 0.0);
        let found = search(&gallery, &face, 2, &comparator, NOW);
        assert_eq!(found.into_iter().map(|near| near.employee).collect::<Vec<_>>(), [id(2)]);
        let compared = |who| gallery.compare(&id(who), &face, &comparator, NOW).unwrap();
        assert!(!compared(1).recognizable && compared(2).recognizable);
        assert_eq!(gallery.unrecognizable(), [id(1)]);
        assert!(gallery.is_unrecognizable(&id(1)) && !gallery.is_unrecognizable(&id(2)));
    }

    #[test]
    fn the_closest_pair_comes_first() {
        let gallery = Gallery::new(2);
        for (who, values) in [(1, [1.0, 0.0]), (2, [0.0, 1.0]), (3, [0.9, 0.1])] {
            let face = Embedding::normalize(values.to_vec()).unwrap();
            gallery.insert(enrolled(id(who), key(who)), &face);
        }
        let comparator = cosine(1.0, 0.0);
        let pairs = gallery.closest_pairs(2, &comparator);
        let names: Vec<_> = pairs.iter().map(|p| p.employees.clone()).collect();
        assert_eq!(names, [[id(1), id(3)], [id(2), id(3)]]);
        assert_eq!(gallery.closest_pairs(0, &comparator), []);
        assert_eq!(gallery.closest_pairs(9, &comparator).len(), 3);
    }

    #[test]
    fn swap_remove_keeps_the_moved_row() {
        let gallery = Gallery::new(2);
        let (first, last) = (id(1), id(2));
        for (who, values) in [(&first, vec![3.0, 4.0]), (&last, vec![4.0, 3.0])] {
            let face = Embedding::normalize(values).unwrap();
            gallery.insert(enrolled(who.clone(), key(1)), &face);
        }
        gallery.remove(&first);
        assert_eq!(gallery.read().references.rows(0..1), [0.8, 0.6]);
        assert!(!gallery.contains(&first) && gallery.contains(&last));
    }
}
