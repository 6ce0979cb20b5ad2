//! Operators that change each value by its channel alone: batch norms, activations, bounds.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{EvalOp, OutletId};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul, Sub};

use super::constants::each;
use super::prelu::PRelu;

/// A function of a value and its channel, with one number for each channel.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Multiplies.
    Scale(Vec<f32>),
    /// Adds.
    Shift(Vec<f32>),
    /// Multiplies negative values: `ReLU` by 0, `PReLU` by its slopes.
    Slope(Vec<f32>),
    /// Replaces smaller values.
    AtLeast(Vec<f32>),
    /// Replaces greater values.
    AtMost(Vec<f32>),
    /// An operator without parameters for each channel.
    Function(ElementWiseOp),
}

impl Step {
    /// Returns what `next` makes of the values of an outlet with this many channels; `None` for
    /// other operators.
    pub(super) fn of(
        model: &TypedModel,
        next: &TypedNode,
        values: OutletId,
        channels: usize,
    ) -> TractResult<Option<Self>> {
        if let Some(op) = next.op_as::<ElementWiseOp>() {
            let fact = model.outlet_fact(OutletId::new(next.id, 0))?;
            let is_float = fact.datum_type == f32::datum_type();
            return Ok(is_float.then(|| Self::Function(op.clone())));
        }
        let [first, second] = next.inputs[..] else { return Ok(None) };
        let (other, is_second) = if first == values { (second, true) } else { (first, false) };
        let rank = model.outlet_fact(values)?.rank();
        let Some(numbers) = of_channels(model.outlet_fact(other)?, rank, channels)? else {
            return Ok(None);
        };
        if next.op_is::<PRelu>() {
            return Ok(is_second.then_some(Self::Slope(numbers)));
        }
        let Some(TypedBinOp(op, None)) = next.op_as() else { return Ok(None) };
        let each = |of: fn(f32) -> f32| numbers.iter().copied().map(of).collect::<Vec<_>>();
        Ok(if op.is::<Mul>() {
            Some(Self::Scale(numbers))
        } else if op.is::<Add>() {
            Some(Self::Shift(numbers))
        } else if op.is::<Sub>() && is_second {
            Some(Self::Shift(each(|number| -number)))
        } else if op.is::<Div>() && is_second {
            Some(Self::Scale(each(f32::recip)))
        } else if op.is::<Max>() && numbers.iter().all(|&number| number == 0.0) {
            Some(Self::Slope(numbers))
        } else if op.is::<Max>() {
            Some(Self::AtLeast(numbers))
        } else if op.is::<Min>() {
            Some(Self::AtMost(numbers))
        } else {
            None
        })
    }

    /// Changes values of one channel.
    pub(super) fn apply(&self, channel: usize, values: &mut [f32]) -> TractResult<()> {
        let change: &dyn Fn(f32) -> f32 = match self {
            Self::Scale(numbers) => &|value| value * numbers[channel],
            Self::Shift(numbers) => &|value| value + numbers[channel],
            Self::Slope(numbers) => &|value| value.max(0.0) + numbers[channel] * value.min(0.0),
            Self::AtLeast(numbers) => &|value| value.max(numbers[channel]),
            Self::AtMost(numbers) => &|value| value.min(numbers[channel]),
            Self::Function(op) => {
                let tensor = Tensor::from_shape(&[values.len()], values)?;
                let changed = op.eval_out_of_plan(tvec!(tensor.into_tvalue()))?;
                if let Some(changed) = changed {
                    values.copy_from_slice(changed[0].try_as_plain_ram()?.as_slice::<f32>()?);
                }
                return Ok(());
            }
        };
        for value in values {
            *value = change(*value);
        }
        Ok(())
    }
}

/// Returns the constant numbers of a fact for each channel of maps (channels in axis 1); `None` if
/// they are not constant or vary within a channel.
fn of_channels(fact: &TypedFact, rank: usize, channels: usize) -> TractResult<Option<Vec<f32>>> {
    let Some(known) = &fact.konst else { return Ok(None) };
    let shape = known.shape();
    let behind = rank.saturating_sub(2);
    let (leading, positions) = shape.split_at(shape.len().saturating_sub(behind));
    let is_of_channels = known.len() == 1
        || positions.iter().all(|&length| length == 1)
            && positions.len() == behind
            && (leading == [channels] || leading == [1, channels]);
    if !is_of_channels || known.datum_type() != f32::datum_type() {
        return Ok(None);
    }
    each::<f32>(known, channels).map(Some)
}
