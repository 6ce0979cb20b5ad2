//! Float convolutions, fused with the batch norm, `ReLU` or `PReLU` that follow them. Only on
//! `x86_64`.
//!
//! tract multiplies matrices, for which it gathers a map's values first, and computes the
//! normalization and activation after a depthwise convolution in separate passes. The fused
//! operators take at most two thirds of its time.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use convolve::floats::{Convolution, Layer};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TypedModelPatch, TypedOp, as_op, op_as_typed_op,
    op_out_of_plan,
};

use super::fusion::FusedConvolution;

/// Replaces each dense or depthwise float convolution with constant weights.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let node = model.node(id);
        let Some(mut fused) = FusedConvolution::of(model, node)? else { continue };
        let last = fused.take_over(model, node)?;
        let Some(op) = FloatConv::of(&fused) else { continue };
        let mut patch = TypedModelPatch::default();
        let input = patch.tap_model(model, node.inputs[0])?;
        let ours = patch.wire_node(&node.name, op, &[input])?;
        patch.shunt_outside(model, last, ours[0])?;
        patch.apply(model)?;
    }
    Ok(())
}

/// A float convolution.
#[derive(Clone, Debug)]
struct FloatConv {
    conv: Arc<Convolution>,
    shape: [usize; 4],
}

impl FloatConv {
    /// Returns `None` if this processor has no fast kernel.
    fn of(fused: &FusedConvolution) -> Option<Self> {
        let FusedConvolution { shape, depthwise, weights, biases, slopes } = fused;
        let layer = Layer { shape: *shape, depthwise: *depthwise, weights, biases, slopes };
        let conv = Convolution::new(&layer)?;
        let shape = [1, shape.outputs, shape.output[0], shape.output[1]];
        Some(Self { conv: Arc::new(conv), shape })
    }
}

impl PartialEq for FloatConv {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv)
    }
}

impl Eq for FloatConv {}

impl Hash for FloatConv {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.conv).hash(state);
    }
}

impl Op for FloatConv {
    fn name(&self) -> StaticName {
        "FloatConv".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FloatConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        #[expect(unsafe_code, reason = "each value is computed")]
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.shape)? };
        let mut maps = output.try_as_plain_ram_mut()?;
        let input = inputs[0].try_as_plain_ram()?;
        self.conv.run(input.as_slice::<f32>()?, maps.as_slice_mut::<f32>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for FloatConv {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(self.shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::internal::{Approximation, OutletId};
    use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
    use tract_onnx::tract_core::ops::math::{add, max, mul};
    use tract_onnx::tract_core::ops::nn::DataFormat;

    use super::super::prelu::PRelu;
    use super::*;

    const CHANNELS: usize = 6;

    /// Returns numbers between -1 and 1 without a regular pattern.
    fn numbers(shape: &[usize]) -> TractResult<Tensor> {
        let number = |k: usize| (k * 37 % 101) as f32 / 50.0 - 1.0;
        let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        Tensor::from_shape(shape, &numbers)
    }

    /// Returns a model with a convolution of six channels in these groups, and the operators that
    /// `follow` adds.
    fn network(
        groups: usize,
        follow: impl Fn(&mut TypedModel, OutletId) -> TractResult<TVec<OutletId>>,
    ) -> TractResult<TypedModel> {
        let mut model = TypedModel::default();
        let input = model.add_source("input", f32::fact([1, CHANNELS, 9, 11]))?;
        let kernel = numbers(&[CHANNELS, CHANNELS / groups, 3, 3])?;
        let kernel = model.add_const("kernel", kernel)?;
        let bias = model.add_const("bias", numbers(&[CHANNELS])?)?;
        let (padding, strides) = (PaddingSpec::SameUpper, Some(tvec!(2, 1)));
        let format = DataFormat::NCHW;
        let pool = PoolSpec {
            data_format: format,
            kernel_shape: tvec!(3, 3),
            padding,
            dilations: None,
            strides,
            input_channels: CHANNELS,
            output_channels: CHANNELS,
        };
        let conv = Conv::new(pool, KernelFormat::OIHW, groups, None);
        let conv = model.wire_node("conv", conv, &[input, kernel, bias])?;
        let outputs = follow(&mut model, conv[0])?;
        model.select_output_outlets(&outputs)?;
        Ok(model)
    }

    fn batch_norm(model: &mut TypedModel, values: OutletId) -> TractResult<OutletId> {
        let scale = model.add_const("scale", numbers(&[1, CHANNELS, 1, 1])?)?;
        let offset = model.add_const("offset", numbers(&[1, CHANNELS, 1, 1])?)?;
        let scaled = model.wire_node("mul", mul(), &[scale, values])?;
        Ok(model.wire_node("add", add(), &[offset, scaled[0]])?[0])
    }

    /// Replaces operators, asserts that the results are tract's, and returns the names of the
    /// operators.
    fn operators(model: TypedModel) -> TractResult<Vec<StaticName>> {
        let mut ours = model.clone();
        replace(&mut ours)?;
        ours.compact()?;
        let input = numbers(&[1, CHANNELS, 9, 11])?;
        let run = |model: TypedModel| {
            model.into_optimized()?.into_runnable()?.run(tvec!(input.clone().into_tvalue()))
        };
        let names = ours.nodes().iter().map(|node| node.op().name());
        let names = names.filter(|name| !["Source", "Const"].contains(&&**name)).collect();
        for (ours, theirs) in run(ours)?.iter().zip(&run(model)?) {
            ours.close_enough(theirs, Approximation::Approximate)?;
        }
        Ok(names)
    }

    /// Adds a maximum of the values and `least`.
    fn at_least(model: &mut TypedModel, values: OutletId, least: f32) -> TractResult<OutletId> {
        let least = Tensor::from_shape(&[1, 1, 1, 1], &[least])?;
        let least = model.add_const("least", least)?;
        Ok(model.wire_node("max", max(), &[values, least])?[0])
    }

    #[test]
    fn following_operators_are_fused() -> TractResult<()> {
        for groups in [1, CHANNELS] {
            let relu = network(groups, |model, conv| {
                let values = batch_norm(model, conv)?;
                Ok(tvec!(at_least(model, values, 0.0)?))
            });
            assert_eq!(operators(relu?)?, ["FloatConv"]);
            let prelu = network(groups, |model, conv| {
                let values = batch_norm(model, conv)?;
                let slopes = model.add_const("slopes", numbers(&[CHANNELS, 1, 1])?)?;
                let op = PRelu::new(&[CHANNELS, 1, 1], &[1, CHANNELS, 5, 11])?;
                let bent = model.wire_node("prelu", op, &[values, slopes])?;
                // It follows the activation, so it cannot be fused.
                Ok(tvec!(at_least(model, bent[0], 0.0)?))
            });
            assert_eq!(operators(prelu?)?, ["FloatConv", "Max"]);
        }
        Ok(())
    }

    #[test]
    fn shared_outputs_and_unsupported_operators_are_not_fused() -> TractResult<()> {
        let both = network(1, |model, conv| Ok(tvec!(conv, batch_norm(model, conv)?)));
        assert_eq!(operators(both?)?, ["FloatConv", "Mul", "Add"]);
        let sum = network(1, |model, conv| model.wire_node("sum", add(), &[conv, conv]));
        assert_eq!(operators(sum?)?, ["FloatConv", "Add"]);
        let bound = network(1, |model, conv| Ok(tvec!(at_least(model, conv, 0.5)?)));
        assert_eq!(operators(bound?)?, ["FloatConv", "Max"]);
        let rows = network(1, |model, conv| {
            let rows = model.add_const("rows", numbers(&[1, 1, 5, 1])?)?;
            model.wire_node("by row", mul(), &[conv, rows])
        });
        assert_eq!(operators(rows?)?, ["FloatConv", "Mul"]);
        let pairs = network(3, |_, conv| Ok(tvec!(conv)));
        assert_eq!(operators(pairs?)?, ["Conv"]);
        Ok(())
    }
}
