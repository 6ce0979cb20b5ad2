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
        if matches!(&*self.kernel, Kernel::Sum { .. } | Kernel::Table(_)) {
            let mut map = inputs.remove(0).into_tensor();
            let other = inputs.first();
            self.change(map.try_as_plain_ram_mut()?.as_slice_mut()?, other)?;
            return Ok(tvec!(map.into_tvalue()));
        }
        let shape = self.output.shape.as_concrete().context("a shape that is not known")?;
        let mut output = if matches!(&*self.kernel, Kernel::Quantize { .. }) {
            // Bytes of channels beyond the last are not written.
            Tensor::zero_dt(self.output.datum_type, shape)?
        } else {
            #[expect(unsafe_code, reason = "each value is computed")]
            unsafe {
                Tensor::uninitialized_dt(self.output.datum_type, shape)?
            }
        };
        let mut plain = output.try_as_plain_ram_mut()?;
        let input = inputs[0].try_as_plain_ram()?;
        match &*self.kernel {
            Kernel::Quantize { channels, to } => {
                let values = input.as_slice::<f32>()?;
                bytes::quantize_interleaved(
                    values,
                    *channels,
                    [1.0 / to.step, to.zero],
                    plain.as_slice_mut()?,
                )
                .context("a value to quantize is NaN")?;
            }
            Kernel::Dequantize { channels, from } => {
                let map = input.as_slice::<u8>()?;
                bytes::dequantize_interleaved(
                    map,
                    *channels,
                    &from.values(),
                    plain.as_slice_mut()?,
                );
            }
            Kernel::Convolution(conv) => conv.run(input.as_slice()?, plain.as_slice_mut()?),
            Kernel::Connected(conv) => conv.run_to_floats(input.as_slice()?, plain.as_slice_mut()?),
            Kernel::Sum { .. } | Kernel::Table(_) => {}
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl Operator {
    /// Runs a kernel that replaces its input.
    fn change(&self, map: &mut [u8], other: Option<&TValue>) -> TractResult<()> {
        match (&*self.kernel, other) {
            (Kernel::Sum { factors, offset }, Some(other)) => {
                bytes::add(map, other.try_as_plain_ram()?.as_slice()?, *factors, *offset);
            }
            (Kernel::Table(tables), _) => bytes::look_up_interleaved(map, tables),
            _ => {}
        }
        Ok(())
    }
}

impl TypedOp for Operator {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.output.clone()))
    }

    as_op!();
}
