//! `PRelu` in one pass over its values: x if positive, else slope * x.
//!
//! tract's operator takes several passes, which took 19 of `SFace`'s 38 ms on one core of a Xeon;
//! this one takes 2.4 ms.

use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, OutletId, StaticName, TractErrorContext, TypedOp, as_op, bail,
    op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_hir::internal::{
    InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity,
};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// Replaces tract's operator in the reader.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("PRelu", |_, _| Ok((expand(Described), vec![])));
}

/// The operator in a file: values, and slopes that are broadcast.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Described;

impl Expansion for Described {
    fn name(&self) -> StaticName {
        "PRelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = |input| {
            let shape = model.outlet_fact(input)?.shape.as_concrete().map(<[_]>::to_vec);
            shape.context("PRelu of values whose shape is not known")
        };
        let op = PRelu::new(&shape(inputs[1])?, &shape(inputs[0])?)?;
        model.wire_node(name, op, inputs)
    }
}

/// The operator that runs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct PRelu {
    /// Number of consecutive values with the same slope; the slopes repeat.
    sharing: usize,
}

impl PRelu {
    pub(super) fn new(slopes: &[usize], values: &[usize]) -> TractResult<Self> {
        let varies = |&length: &usize| length != 1;
        let first = slopes.iter().position(varies).unwrap_or(0);
        let end = slopes.iter().rposition(varies).map_or(0, |last| last + 1);
        let behind = if end == 0 { values.len() } else { slopes.len() - end };
        let (rest, shared) = values.split_at(values.len().saturating_sub(behind));
        if !rest.ends_with(&slopes[first..end]) {
            bail!("PRelu with slopes of {slopes:?} for values of {values:?}");
        }
        Ok(Self { sharing: shared.iter().product::<usize>().max(1) })
    }
}

impl Op for PRelu {
    fn name(&self) -> StaticName {
        "PRelu".into()
    }

    op_as_typed_op!();
}

impl EvalOp for PRelu {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = inputs.remove(0).into_tensor();
        let slopes = inputs.remove(0);
        let slopes = slopes.try_as_plain_ram()?;
        let mut plain = tensor.try_as_plain_ram_mut()?;
        let shares = plain.as_slice_mut::<f32>()?.chunks_exact_mut(self.sharing);
        for (share, slope) in shares.zip(slopes.as_slice::<f32>()?.iter().cycle()) {
            for value in share {
                // Not `f32::max`: a comparison is vectorized to one instruction.
                let positive = if *value > 0.0 { *value } else { 0.0 };
                *value = positive + slope * (*value - positive);
            }
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for PRelu {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a PRelu with these slopes on 1 x 2 x 2 x 2 values, -4 to 3.
    fn answer(slopes: &[f32], shape: &[usize]) -> TractResult<Vec<f32>> {
        let values: Vec<f32> = (-4..4_i8).map(f32::from).collect();
        let values = Tensor::from_shape(&[1, 2, 2, 2], &values)?;
        let slopes = Tensor::from_shape(shape, slopes)?;
        let op = PRelu::new(shape, values.shape())?;
        let inputs = tvec!(values.into_tvalue(), slopes.into_tvalue());
        let answer = op.eval(&EvalContext::out_of_plan(), inputs)?;
        Ok(answer[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }

    #[test]
    fn negative_values_are_scaled_by_their_slope() {
        let expected = |slopes: [f32; 4]| {
            let negative = [-4.0, -3.0, -2.0, -1.0];
            let scaled = negative.iter().zip(slopes).map(|(v, slope)| v * slope);
            scaled.chain([0.0, 1.0, 2.0, 3.0]).collect::<Vec<f32>>()
        };
        let all = expected([0.5; 4]);
        for shape in [vec![], vec![1], vec![1, 1, 1, 1]] {
            assert_eq!(answer(&[0.5], &shape).unwrap(), all, "{shape:?}");
        }
        assert_eq!(answer(&[0.5, 9.0], &[2, 1, 1]).unwrap(), all, "by channel");
        assert_eq!(answer(&[0.5, 9.0], &[1, 2, 1, 1]).unwrap(), all, "by channel");
        assert_eq!(answer(&[0.5, 2.0], &[2]).unwrap(), expected([0.5, 2.0, 0.5, 2.0]), "by column");
        let each = [1.0, 2.0, 3.0, 4.0, 9.0, 9.0, 9.0, 9.0];
        assert_eq!(answer(&each, &[2, 2, 2]).unwrap(), expected([1.0, 2.0, 3.0, 4.0]), "each");
        assert!(answer(&[1.0; 3], &[3, 1, 1]).is_err());
        assert!(answer(&[1.0; 4], &[2, 1, 2]).is_err());
    }
}
