//! Measures the ranges of a network's maps while it encodes faces.

use std::sync::{Mutex, PoisonError};

use tract_onnx::prelude::*;

use super::operators::Map;

/// The extremes of each map over all faces so far.
#[derive(Debug)]
pub(super) struct RangeMeter {
    maps: Vec<(String, bool)>,
    extremes: Mutex<Vec<Extremes>>,
}

/// The extremes of one map.
#[derive(Clone, Debug)]
struct Extremes {
    faces: f64,
    /// Over all faces.
    all: [f32; 2],
    /// Of each face, added.
    sums: [f64; 2],
}

impl RangeMeter {
    /// Creates a meter.
    pub(super) fn new(maps: Vec<Map>) -> Self {
        let none = Extremes { faces: 0.0, all: [0.0; 2], sums: [0.0; 2] };
        let extremes = Mutex::new(vec![none; maps.len()]);
        let maps = maps.into_iter().map(|map| (map.name, map.is_computed)).collect();
        Self { maps, extremes }
    }

    /// Returns the number of maps.
    pub(super) fn maps(&self) -> usize {
        self.maps.len()
    }

    /// Adds the maps of one face.
    pub(super) fn measure(&self, maps: &[TValue]) -> TractResult<()> {
        let mut of_face = Vec::with_capacity(maps.len());
        for map in maps {
            let values = map.try_as_plain_ram()?;
            let wider = |[low, high]: [f32; 2], &value: &f32| [low.min(value), high.max(value)];
            of_face.push(values.as_slice::<f32>()?.iter().fold([0.0; 2], wider));
        }
        let mut extremes = self.extremes.lock().unwrap_or_else(PoisonError::into_inner);
        for (extremes, [low, high]) in extremes.iter_mut().zip(of_face) {
            let Extremes { faces, all, sums } = extremes;
            *faces += 1.0;
            *all = [all[0].min(low), all[1].max(high)];
            *sums = [sums[0] + f64::from(low), sums[1] + f64::from(high)];
        }
        Ok(())
    }

    /// Returns the range of each map: the means of the lowest and of the highest values of the faces, 0
    /// included. Few faces reach further, and a step as fine is worth more than their extremes. A map that is
    /// quantized from floats, such as the image, has the extremes of all faces.
    pub(super) fn ranges(&self) -> Vec<(String, [f32; 2])> {
        let extremes = self.extremes.lock().unwrap_or_else(PoisonError::into_inner);
        let range = |((name, is_computed), extremes): (&(String, bool), &Extremes)| {
            let Extremes { faces, all, sums } = extremes;
            let means = sums.map(|sum| (sum / faces.max(1.0)) as f32);
            (name.clone(), if *is_computed { means } else { *all })
        };
        self.maps.iter().zip(extremes.iter()).map(range).collect()
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::internal::OutletId;

    use super::*;

    #[test]
    fn computed_maps_have_the_mean_extremes_of_the_faces() {
        let map = |name: &str, is_computed| Map {
            outlet: OutletId::new(0, 0),
            name: name.to_owned(),
            is_computed,
        };
        let meter = RangeMeter::new(vec![map("image", false), map("map", true)]);
        for (low, high) in [(-1.0_f32, 2.0_f32), (1.0, 4.0)] {
            let values = Tensor::from_shape(&[2], &[low, high]).unwrap().into_tvalue();
            meter.measure(&[values.clone(), values]).unwrap();
        }
        let range = |name: &str, range| (name.to_owned(), range);
        assert_eq!(meter.ranges(), [range("image", [-1.0, 4.0]), range("map", [-0.5, 3.0])]);
    }
}
