//! The probe that waits between the two calls of a presentation session, as bytes to seal.
//!
//! All numbers are little-endian. The format lives two minutes at most; the key's domain separator changes with it.

use zeroize::Zeroizing;

use crate::embedding::{Embedding, ModelId};
use crate::face::{Bounds, Face, Point};
use crate::presentation::LiveScore;
use crate::quality::Quality;

/// The face of the best straight frame, encoded by every encoder that served.
#[derive(Debug)]
pub(super) struct WaitingProbe {
    pub(super) face: Face,
    pub(super) quality: Quality,
    /// The mean live score of the session, if the PAD networks judged it.
    pub(super) live_score: Option<LiveScore>,
    pub(super) embeddings: Vec<(ModelId, Embedding)>,
}

impl WaitingProbe {
    /// Returns the bytes to seal.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let values: usize = self.embeddings.iter().map(|(_, e)| e.values().len()).sum();
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(8 * 24 + 36 * self.embeddings.len() + 4 * values));
        let Bounds { x, y, width, height } = *self.face.bounds();
        let landmarks = self.face.landmarks().iter().flat_map(|p| [p.x, p.y]);
        let numbers = [x, y, width, height].into_iter().chain(landmarks);
        let numbers = numbers.chain([self.face.confidence()]).chain(self.quality.measures());
        let numbers = numbers.chain([self.live_score.map_or(f64::NAN, LiveScore::value)]);
        numbers.for_each(|number| bytes.extend(number.to_le_bytes()));
        for (model, embedding) in &self.embeddings {
            bytes.extend(model.as_bytes());
            bytes.extend((embedding.values().len() as u32).to_le_bytes());
            embedding.values().iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for other bytes.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let bounds = {
            let [x, y, width, height] = numbers(&mut bytes)?;
            Bounds { x, y, width, height }
        };
        let places: [f64; 10] = numbers(&mut bytes)?;
        let landmarks = [0, 2, 4, 6, 8].map(|at| Point { x: places[at], y: places[at + 1] });
        let [confidence] = numbers(&mut bytes)?;
        let face = Face::new(bounds, landmarks, confidence)?;
        let quality = Quality::from_measures(numbers(&mut bytes)?);
        let [live_score] = numbers(&mut bytes)?;
        let live_score = LiveScore::new(live_score);
        let mut embeddings = Vec::new();
        while !bytes.is_empty() {
            let model = ModelId::from_digest(*bytes.split_off(..32)?.first_chunk()?);
            let length = u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?);
            let (values, []) = bytes.split_off(..4 * length as usize)?.as_chunks::<4>() else {
                return None;
            };
            let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
            embeddings.push((model, Embedding::raw(values).ok()?));
        }
        Some(Self { face, quality, live_score, embeddings })
    }

    /// Takes the embedding of an encoder, if it served.
    pub(super) fn take(&mut self, model: ModelId) -> Option<Embedding> {
        let at = self.embeddings.iter().position(|(id, _)| *id == model)?;
        Some(self.embeddings.swap_remove(at).1)
    }
}

/// Reads so many numbers from the front.
fn numbers<const N: usize>(bytes: &mut &[u8]) -> Option<[f64; N]> {
    let (numbers, []) = bytes.split_off(..8 * N)?.as_chunks::<8>() else { return None };
    let mut values = [0.0; N];
    values.iter_mut().zip(numbers).for_each(|(value, bytes)| *value = f64::from_le_bytes(*bytes));
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> WaitingProbe {
        let place = |x, y| Point { x, y };
        let landmarks =
            [place(1.0, 2.0), place(3.0, 2.0), place(2.0, 3.0), place(1.5, 4.0), place(2.5, 4.0)];
        let bounds = Bounds { x: 0.5, y: -1.0, width: 4.0, height: 6.0 };
        let embedding = |value| Embedding::normalize(vec![value, 1.0, -0.25]).unwrap();
        WaitingProbe {
            face: Face::new(bounds, landmarks, 0.75).unwrap(),
            quality: Quality::from_measures([60.0, 0.3, 180.0, 0.01, -4.0, 0.0, 0.125, 0.5]),
            live_score: LiveScore::new(1.5),
            embeddings: vec![
                (ModelId::from_digest([1; 32]), embedding(0.5)),
                (ModelId::from_digest([2; 32]), embedding(2.0)),
            ],
        }
    }

    #[test]
    fn probe_is_read_as_written() {
        let (written, bytes) = (probe(), probe().to_bytes());
        let mut read = WaitingProbe::read(&bytes).unwrap();
        assert_eq!((&read.face, &read.quality), (&written.face, &written.quality));
        assert_eq!(read.live_score, written.live_score);
        let unjudged = WaitingProbe { live_score: None, ..probe() }.to_bytes();
        assert_eq!(WaitingProbe::read(&unjudged).unwrap().live_score, None);
        assert_eq!(read.embeddings, written.embeddings);
        assert_eq!(bytes.len(), bytes.capacity());
        let second = ModelId::from_digest([2; 32]);
        assert_eq!(read.take(second), Some(written.embeddings[1].1.clone()));
        assert_eq!(read.take(second), None);
    }

    #[test]
    fn truncated_bytes_are_no_probe() {
        let bytes = probe().to_bytes();
        let whole = [8 * 24, 8 * 24 + 36 + 12, bytes.len()];
        for length in 0..=bytes.len() {
            let read = WaitingProbe::read(&bytes[..length]);
            assert_eq!(read.is_some(), whole.contains(&length), "{length}");
        }
    }
}
