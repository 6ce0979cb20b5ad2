//! The operators of a lowered network. A map of bytes has the shape [1, ceil(channels / 4), height, width, 4].

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use convolve::bytes::{self, Convolution};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedOp, as_op, op_as_typed_op,
    op_out_of_plan,
};

use super::grid::Grid;

/// What an operator computes.
#[derive(Debug)]
pub(super) enum Kernel {
    /// A map of floats becomes bytes.
    Quantize { channels: usize, to: Grid },
    /// A map of bytes becomes floats.
    Dequantize { channels: usize, from: Grid },
    /// A convolution from bytes to bytes.
    Convolution(Convolution),
    /// A convolution from bytes to floats, of one position.
    Connected(Convolution),
    /// The sum of two maps: steps of the result for a step of each, and the offset.
    Sum { factors: [f32; 2], offset: f32 },
    /// A byte for each byte of each channel.
    Table(Vec<[u8; 256]>),
}

/// A kernel, and the type and shape of its result.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) kernel: Arc<Kernel>,
    pub(super) output: TypedFact,
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel)
    }
}

impl Eq for Operator {}

impl Hash for Operator {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.kernel).hash(state);
    }
}

impl Op for Operator {
    fn name(&self) -> StaticName {
        match &*self.kernel {
            Kernel::Quantize { .. } => "ByteQuantize",
            Kernel::Dequantize { .. } => "ByteDequantize",
            Kernel::Convolution(_) => "ByteConv",
            Kernel::Connected(_) => "ByteConnected",
            Kernel::Sum { .. } => "ByteSum",
            Kernel::Table(_) => "ByteTable",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Operator {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs.remove(0);
        let output = match &*self.kernel {
            Kernel::Quantize { channels, to } => {
                // Bytes of channels beyond the last are not written.
                let output = Tensor::zero_dt(self.output.datum_type, self.shape()?)?;
                let grid = [1.0 / to.step, to.zero];
                computed(output, &input, |values, map| {
                    bytes::quantize_interleaved(values, *channels, grid, map)
                        .context("a value to quantize is NaN")
                })?
            }
            Kernel::Dequantize { channels, from } => {
                computed(self.unset()?, &input, |map, values| {
                    bytes::dequantize_interleaved(map, *channels, &from.values(), values);
                    Ok(())
                })?
            }
            Kernel::Convolution(conv) => computed(self.unset()?, &input, |input, output| {
                conv.run(input, output);
                Ok(())
            })?,
            Kernel::Connected(conv) => computed(self.unset()?, &input, |input, output| {
                conv.run_to_floats(input, output);
                Ok(())
            })?,
            Kernel::Sum { factors, offset } => {
                let other = inputs[0].try_as_plain_ram()?;
                changed(input, |map| {
                    bytes::add(map, other.as_slice()?, *factors, *offset);
                    Ok(())
                })?
            }
            Kernel::Table(tables) => changed(input, |map| {
                bytes::look_up_interleaved(map, tables);
                Ok(())
            })?,
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl Operator {
    fn shape(&self) -> TractResult<&[usize]> {
        self.output.shape.as_concrete().context("a shape that is not known")
    }

    /// Returns a result for a kernel that computes each of its values.
    fn unset(&self) -> TractResult<Tensor> {
        #[expect(unsafe_code, reason = "each value is computed")]
        unsafe {
            Tensor::uninitialized_dt(self.output.datum_type, self.shape()?)
        }
    }
}

/// Computes the values of a result from those of the input.
fn computed<T: Datum, U: Datum>(
    mut output: Tensor,
    input: &TValue,
    compute: impl FnOnce(&[T], &mut [U]) -> TractResult<()>,
) -> TractResult<Tensor> {
    let mut values = output.try_as_plain_ram_mut()?;
    compute(input.try_as_plain_ram()?.as_slice()?, values.as_slice_mut()?)?;
    Ok(output)
}

/// Changes the bytes of a map, in place where nothing else reads it.
fn changed(map: TValue, change: impl FnOnce(&mut [u8]) -> TractResult<()>) -> TractResult<Tensor> {
    let mut map = map.into_tensor();
    change(map.try_as_plain_ram_mut()?.as_slice_mut()?)?;
    Ok(map)
}

impl TypedOp for Operator {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.output.clone()))
    }

    as_op!();
}
