//! 8-bit convolutions and sums, as quantized ONNX files contain them.
//!
//! tract's operator multiplies bytes fast too, but copies each input nine times for a 3 x 3 kernel,
//! and requantizes in several passes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use convolve::Shape;
use convolve::bytes::{self, Bytes, Convolution, Layer, MOST_WEIGHTS};
use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, OutletId, StaticName, TractErrorContext, TypedModelPatch, TypedOp,
    as_op, bail, op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::quant::QuantizeLinearU8;
use tract_onnx::tract_hir::internal::{
    InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity,
};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::constants::{self, each, finite, numbers, one};

/// Adds onnxruntime's `QLinearAdd`, which tract lacks, to the reader.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("QLinearAdd", |_, _| Ok((expand(DescribedAdd), vec![])));
}

/// Replaces each dense 8-bit convolution with constant weights, and the quantization of floats.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let node = model.node(id);
        let op: Option<Box<dyn TypedOp>> = if let Some(conv) = node.op_as::<Conv>() {
            QuantizedConv::of(conv, model, node)?.map(Into::into)
        } else if let Some(op) = node.op_as::<ElementWiseOp>() {
            let op = op.0.downcast_ref::<QuantizeLinearU8>();
            op.map(|op| Quantized::of(op).map(Into::into)).transpose()?
        } else {
            None
        };
        if let Some(op) = op {
            let patch = TypedModelPatch::replace_single_op(model, node, &node.inputs[..1], op)?;
            patch.apply(model)?;
        }
    }
    Ok(())
}

/// A dense 8-bit convolution.
#[derive(Clone, Debug)]
struct QuantizedConv {
    conv: Arc<Convolution>,
    output: DatumType,
    shape: [usize; 4],
}

impl QuantizedConv {
    /// Returns `None` for other convolutions, which stay tract's.
    fn of(conv: &Conv, model: &TypedModel, node: &TypedNode) -> TractResult<Option<Self>> {
        let facts = model.node_input_facts(node.id)?;
        let known = facts[1..].iter().map(|fact| fact.konst.clone()).collect::<Option<Vec<_>>>();
        let (Some(shape), Some(output), Some(known)) =
            (shape(conv, facts[0]), conv.q_params, known)
        else {
            return Ok(None);
        };
        let [kernel, biases, from_zero, from_scale, kernel_zero, kernel_scale, to_zero, to_scale] =
            known.as_slice()
        else {
            bail!("a quantized convolution of {} inputs", facts.len());
        };
        let outputs = shape.outputs;
        let bytes = |kind: DatumType, zero: &Tensor| -> TractResult<Bytes> {
            Ok(Bytes { zero: one(zero)?, signed: kind.is_signed() })
        };
        let from = bytes(facts[0].datum_type, from_zero)?;
        let to = bytes(output, to_zero)?;
        let scale = one::<f32>(from_scale)? / one::<f32>(to_scale)?;
        let scales = each::<f32>(kernel_scale, outputs)?.into_iter();
        let scales: Vec<f32> = scales.map(|kernel| kernel * scale).collect();
        finite(&scales)?;
        let zeros = each::<i32>(kernel_zero, outputs)?;
        let kernel = numbers::<i32>(kernel)?;
        let of_output = kernel.chunks_exact(kernel.len() / outputs).zip(&zeros);
        let weights = of_output.flat_map(|(weights, zero)| weights.iter().map(move |w| w - zero));
        let weights = weights.map(i8::try_from).collect::<Result<Vec<_>, _>>()?;
        let (weights, biases, scales) = (&weights[..], &each(biases, outputs)?[..], &scales[..]);
        let layer = Layer {
            shape,
            depthwise: false,
            order: bytes::Order::Planar,
            from,
            to,
            weights,
            biases,
            scales,
            negative_scales: None,
        };
        let conv = Convolution::new(&layer);
        let dims = [1, outputs, shape.output[0], shape.output[1]];
        Ok(Some(Self { conv: Arc::new(conv), output, shape: dims }))
    }
}

/// Returns the shape of a dense convolution from bytes to bytes; `None` for other convolutions.
fn shape(conv: &Conv, input: &TypedFact) -> Option<Shape> {
    let is_bytes = |kind: DatumType| kind.is_integer() && kind.size_of() == 1;
    let ours = is_bytes(input.datum_type) && conv.q_params.is_some_and(is_bytes) && conv.group == 1;
    let shape = ours.then(|| constants::shape(conv, input)).flatten()?;
    let of_output = shape.inputs * shape.kernel.iter().product::<usize>();
    (1..=MOST_WEIGHTS).contains(&of_output).then_some(shape)
}

impl PartialEq for QuantizedConv {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv)
    }
}

impl Eq for QuantizedConv {}

impl Hash for QuantizedConv {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.conv).hash(state);
    }
}

impl Op for QuantizedConv {
    fn name(&self) -> StaticName {
        "QuantizedConv".into()
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizedConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = Tensor::zero_dt(self.output, &self.shape)?;
        let mut maps = output.try_as_plain_ram_mut()?;
        self.conv.run(inputs[0].try_as_plain_ram()?.as_bytes(), maps.as_bytes_mut());
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for QuantizedConv {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.output.fact(self.shape)))
    }

    as_op!();
}

/// Quantization of floats: the reciprocal of ONNX's scale, and the zero point.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Quantized {
    scale: u32,
    zero: i32,
}

impl Quantized {
    fn of(op: &QuantizeLinearU8) -> TractResult<Self> {
        finite(&[op.scale])?;
        Ok(Self { scale: op.scale.to_bits(), zero: op.zero_point.into() })
    }
}

impl Op for Quantized {
    fn name(&self) -> StaticName {
        "Quantized".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Quantized {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let values = inputs[0].cast_to::<f32>()?;
        let values = values.try_as_plain_ram()?;
        let to = Bytes { zero: self.zero, signed: false };
        let bytes = bytes::quantize(values.as_slice::<f32>()?, f32::from_bits(self.scale), to)
            .context("a value to quantize is NaN")?;
        Ok(tvec!(Tensor::from_shape(inputs[0].shape(), &bytes)?.into_tvalue()))
    }
}

impl TypedOp for Quantized {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(u8::datum_type().fact(inputs[0].shape.clone())))
    }

    as_op!();
}

/// `QLinearAdd` in a file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct DescribedAdd;

impl Expansion for DescribedAdd {
    fn name(&self) -> StaticName {
        "QLinearAdd".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 8)?;
        check_output_arity(outputs, 1)?;
        for input in [0, 2, 3, 5, 7] {
            solver.equals(&inputs[input].datum_type, u8::datum_type())?;
        }
        solver.equals(&outputs[0].datum_type, u8::datum_type())?;
        solver.equals(&inputs[0].shape, &inputs[3].shape)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let known = |input: usize| -> TractResult<f32> {
            let known = model.outlet_fact(inputs[input])?.konst.clone();
            one(&*known.context("QLinearAdd with a scale that is not known")?)
        };
        let (to_scale, to_zero) = (known(6)?, known(7)?);
        let (a, b) = (known(1)? / to_scale, known(4)? / to_scale);
        let offset = to_zero - known(2)? * a - known(5)? * b;
        finite(&[a, b, offset])?;
        let op = QuantizedAdd([a, b, offset].map(f32::to_bits));
        model.wire_node(name, op, &[inputs[0], inputs[3]])
    }
}

/// The sum of two 8-bit maps: the scales of both and the offset, in steps of the sum.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct QuantizedAdd([u32; 3]);

impl Op for QuantizedAdd {
    fn name(&self) -> StaticName {
        "QuantizedAdd".into()
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizedAdd {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [first, second, offset] = self.0.map(f32::from_bits);
        let mut sum = inputs.remove(0).into_tensor();
        let other = inputs.remove(0);
        let other = other.try_as_plain_ram()?;
        let mut plain = sum.try_as_plain_ram_mut()?;
        let (sums, other) = (plain.as_slice_mut::<u8>()?, other.as_slice::<u8>()?);
        bytes::add(sums, other, [first, second], offset);
        Ok(tvec!(sum.into_tvalue()))
    }
}

impl TypedOp for QuantizedAdd {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
