//! The references of a gallery compared with each other: a sample of the impostors that its thresholds must withstand.

use super::Gallery;
use super::matrix::Matrix;
use crate::comparison::Comparator;
use crate::evaluation::ImpostorScore;

impl Gallery {
    /// Compares at most `most` people with each other and returns how many they are, with the score of each pair.
    /// Unrecognizable references match nobody, so they are left out.
    ///
    /// Of a larger gallery those with the lowest data key ids are taken. The ids are random, the same on every replica,
    /// and stay while others join or leave, so the sample is unbiased, shared and stable.
    pub fn impostor_scores(
        &self,
        most: usize,
        comparator: &Comparator,
    ) -> (usize, Vec<ImpostorScore>) {
        let (people, sample) = self.sample(most);
        let mut scores = Vec::with_capacity(people * people.saturating_sub(1) / 2);
        for a in 0..people {
            for b in a + 1..people {
                let measured = comparator.measure.of(sample.row(a), sample.row(b));
                let score = comparator.calibration.score(measured).value() as f32;
                scores.push(ImpostorScore { score, people: [a as u32, b as u32] });
            }
        }
        (people, scores)
    }

    /// Copies the sample, in the order of its data key ids, so that the gallery is not locked while it is compared.
    fn sample(&self, most: usize) -> (usize, Matrix<f32>) {
        let rows = self.read();
        let recognizable = |row: &usize| rows.enrolled[*row].recognizable;
        let mut chosen: Vec<usize> = (0..rows.enrolled.len()).filter(recognizable).collect();
        let key = |row: &usize| *rows.enrolled[*row].key.as_bytes();
        if chosen.len() > most {
            chosen.select_nth_unstable_by_key(most, key);
            chosen.truncate(most);
        }
        chosen.sort_unstable_by_key(key);
        let mut sample = Matrix::new(rows.width);
        for &row in &chosen {
            sample.push(rows.references.row(row));
        }
        (chosen.len(), sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{Calibration, Measure};
    use crate::embedding::Embedding;
    use crate::employee::{AuditId, EmployeeId};
    use crate::gallery::Enrolled;
    use crate::seal::DataKeyId;

    fn comparator() -> Comparator {
        Comparator { measure: Measure::Cosine, calibration: Calibration::new(10.0, 0.0).unwrap() }
    }

    /// People whose data key ids descend as their numbers ascend.
    fn gallery(numbers: impl IntoIterator<Item = u8>) -> Gallery {
        let gallery = Gallery::new(2);
        numbers.into_iter().for_each(|number| enroll(&gallery, number, true));
        gallery
    }

    fn enroll(gallery: &Gallery, number: u8, recognizable: bool) {
        let enrolled = Enrolled {
            employee: EmployeeId::parse(&format!("e-{number}")).unwrap(),
            audit_id: AuditId::from_bytes([number; 16]),
            expires_at: None,
            recognizable,
            key: DataKeyId::from_bytes([200 - number; 16]),
        };
        let angle = f32::from(number) / 100.0;
        let reference = Embedding::normalize(vec![angle.cos(), angle.sin()]).unwrap();
        gallery.insert(enrolled, &reference);
    }

    #[test]
    fn each_pair_is_compared_once() {
        let (people, scores) = gallery([0, 10, 30]).impostor_scores(100, &comparator());
        let expected = [(0.2_f32, [0, 1]), (0.3, [0, 2]), (0.1, [1, 2])];
        assert_eq!((people, scores.len()), (3, 3));
        for (one, (angle, people)) in scores.iter().zip(expected) {
            assert!((one.score - 10.0 * angle.cos()).abs() < 1e-4, "{one:?}");
            assert_eq!(one.people, people);
        }
        assert_eq!(Gallery::new(2).impostor_scores(100, &comparator()), (0, Vec::new()));
    }

    #[test]
    fn unrecognizable_references_are_left_out() {
        let gallery = gallery([0, 10, 30]);
        let scores = gallery.impostor_scores(100, &comparator());
        enroll(&gallery, 50, false);
        assert_eq!(gallery.impostor_scores(100, &comparator()), scores);
    }

    #[test]
    fn the_sample_does_not_depend_on_the_order_and_hardly_on_who_else_joins() {
        let sample = |numbers: Vec<u8>| gallery(numbers).impostor_scores(3, &comparator());
        assert_eq!(sample(vec![1, 20, 50, 90]), sample(vec![90, 50, 20, 1]));
        assert_eq!(sample(vec![1, 20, 50, 90]), sample(vec![2, 3, 20, 50, 90]));
        assert_eq!(sample(vec![1, 20, 50, 90]).0, 3);
    }
}
