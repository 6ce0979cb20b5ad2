//! One pass over all references, shared by simultaneous searches.

use super::best::Best;
use super::codes::{CodedProbe, Estimates};
use super::{Query, Rows};
use crate::comparison::{Measure, dot};

/// Rows that every query reads before the next ones: their codes stay in the processor's second-level cache.
const BLOCK: usize = 1024;

/// Estimates of which nearly always none is good enough: the compiler compares several at once.
const GLANCE: usize = 64;

/// The nearest rows of one query, nearest first, with what the measure says of each; of equals the first row comes first.
type Nearest = Vec<(f32, usize)>;

impl Rows {
    /// Searches by any measure: compares every reference.
    pub(super) fn search_all(&self, queries: &[Query], measure: &Measure) -> Vec<Nearest> {
        let nearest = |query: &Query| {
            let mut best = Best::new(query.top);
            for row in (0..self.enrolled.len()).filter(|row| self.is_searched(*row, query.now)) {
                best.offer(measure.of(self.references.row(row), query.probe.values()), row);
            }
            best.into_items()
        };
        queries.iter().map(nearest).collect()
    }

    /// Searches by the cosine: compares only references that may be among the nearest according to their codes. The
    /// result equals that of [`search_all`](Self::search_all).
    pub(super) fn search_codes(&self, queries: &[Query]) -> Vec<Nearest> {
        let mut scans: Vec<_> = queries.iter().map(|query| Scan::new(query, self)).collect();
        let mut estimates = Estimates::default();
        let people = self.enrolled.len();
        for start in (0..people).step_by(BLOCK) {
            let block = start..people.min(start + BLOCK);
            for scan in &mut scans {
                self.codes.estimate(block.clone(), &scan.coded, &mut estimates);
                scan.look_at(start, &estimates.cosines, self);
            }
        }
        scans.into_iter().map(|scan| scan.finish(self)).collect()
    }
}

/// The state of one query during a pass.
struct Scan<'a> {
    query: &'a Query,
    coded: CodedProbe,
    /// The best estimates so far.
    best: Best<()>,
    /// References that may be among the nearest, with their estimates.
    possible: Vec<(f32, usize)>,
    /// Distance below the last of the best estimates within which a reference may still be nearer: both may be off.
    margin: f32,
}

impl<'a> Scan<'a> {
    fn new(query: &'a Query, rows: &Rows) -> Self {
        let coded = CodedProbe::new(query.probe.values());
        let margin = 2.0 * rows.codes.error(&coded);
        Self { query, coded, best: Best::new(query.top), possible: Vec::new(), margin }
    }

    fn look_at(&mut self, start: usize, estimates: &[f32], rows: &Rows) {
        for (start, estimates) in (start..).step_by(GLANCE).zip(estimates.chunks(GLANCE)) {
            let bar = self.best.floor() - self.margin;
            if estimates.iter().filter(|estimate| **estimate >= bar).count() == 0 {
                continue;
            }
            for (row, estimate) in (start..).zip(estimates.iter().copied()) {
                if estimate >= self.best.floor() - self.margin
                    && rows.is_searched(row, self.query.now)
                {
                    self.best.offer(estimate, ());
                    self.possible.push((estimate, row));
                }
            }
        }
    }

    fn finish(self, rows: &Rows) -> Nearest {
        let floor = self.best.floor() - self.margin;
        let mut nearest = Best::new(self.query.top);
        for (_, row) in self.possible.into_iter().filter(|(estimate, _)| *estimate >= floor) {
            nearest.offer(dot(rows.references.row(row), self.query.probe.values()), row);
        }
        nearest.into_items()
    }
}
