//! Convolutions of a graph with the operators that follow them, as one operator of either precision.

use convolve::Shape;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{InOut, OutletId};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::constants::{self, each, numbers};
use super::steps::Step;

/// A convolution in the graph, with the operators that are fused into it.
pub(super) struct FusedConvolution {
    pub(super) shape: Shape,
    pub(super) depthwise: bool,
    /// In OIHW order.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
    /// The factor of negative sums for each output.
    pub(super) slopes: Vec<f32>,
}

impl FusedConvolution {
    /// Returns a dense or depthwise float convolution with constant weights; `None` for other
    /// operators.
    pub(super) fn of(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Self>> {
        let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
        let facts = model.node_input_facts(node.id)?;
        let [input, kernel, bias] = facts[..] else { return Ok(None) };
        let (Some(kernel), Some(bias)) = (&kernel.konst, &bias.konst) else { return Ok(None) };
        let Some(shape) = constants::shape(conv, input) else { return Ok(None) };
        let depthwise = conv.group == shape.inputs && shape.outputs == shape.inputs;
        let is_floats = input.datum_type == f32::datum_type() && conv.q_params.is_none();
        if !is_floats || !(depthwise || conv.group == 1) {
            return Ok(None);
        }
        Ok(Some(Self {
            shape,
            depthwise,
            weights: numbers(kernel)?,
            biases: each(bias, shape.outputs)?,
            slopes: vec![1.0; shape.outputs],
        }))
    }

    /// Returns a product of a vector and a constant matrix as a convolution whose kernel is the
    /// whole map, and that map; `None` for other operators.
    pub(super) fn fully_connected(
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<(Self, OutletId)>> {
        let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
        let ([vector, matrix], None) = (&node.inputs[..], op.q_params) else { return Ok(None) };
        let fact = model.outlet_fact(*vector)?;
        let (Some(&[1, inputs]), Some(known)) =
            (fact.shape.as_concrete(), &model.outlet_fact(*matrix)?.konst)
        else {
            return Ok(None);
        };
        let kinds = [fact.datum_type, known.datum_type()];
        let outputs = known.len().checked_div(inputs).unwrap_or(0);
        if kinds != [f32::datum_type(); 2] || known.rank() != 2 || outputs == 0 {
            return Ok(None);
        }
        let rows = op.axes.track_axis((InOut::In(1), 0), InOut::Out(0))?.is_some();
        let weights = if rows {
            numbers(known)?
        } else {
            numbers(&known.clone().into_tensor().permute_axes(&[1, 0])?)?
        };
        let map = flattened(model, *vector)?;
        let [channels, height, width] = match model.outlet_fact(map)?.shape.as_concrete() {
            Some(&[1, channels, height, width]) => [channels, height, width],
            _ => [inputs, 1, 1],
        };
        let shape = Shape {
            inputs: channels,
            outputs,
            input: [height, width],
            output: [1, 1],
            kernel: [height, width],
            stride: [1, 1],
            before: [0, 0],
        };
        let (biases, slopes) = (vec![0.0; outputs], vec![1.0; outputs]);
        Ok(Some((Self { shape, depthwise: false, weights, biases, slopes }, map)))
    }

    /// Fuses the operators that follow, as far as possible; returns the outlet of the last one.
    pub(super) fn take_over(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<OutletId> {
        let mut last = OutletId::new(node.id, 0);
        while let Some(next) = following(model, last)?
            && let Some(step) = Step::of(model, next, last, self.shape.outputs)?
            && self.takes(step)
        {
            last = OutletId::new(next.id, 0);
            if self.slopes.iter().any(|&slope| slope.to_bits() != 1_f32.to_bits()) {
                break;
            }
        }
        Ok(last)
    }

    /// Fuses a function of the output if possible; returns whether it was.
    fn takes(&mut self, step: Step) -> bool {
        match step {
            Step::Scale(scales) => {
                let of_output = self.weights.len() / self.shape.outputs;
                for (weights, scale) in self.weights.chunks_exact_mut(of_output).zip(&scales) {
                    scale_all(weights, *scale);
                }
                self.biases.iter_mut().zip(&scales).for_each(|(bias, scale)| *bias *= scale);
            }
            Step::Shift(numbers) => {
                self.biases.iter_mut().zip(&numbers).for_each(|(bias, number)| *bias += number);
            }
            Step::Slope(slopes) => self.slopes = slopes,
            Step::AtLeast(_) | Step::AtMost(_) | Step::Function(_) => return false,
        }
        true
    }

    /// Fuses scales and shifts of the input if possible; returns whether they were. Not where the
    /// input is padded, since the padding is neither scaled nor shifted.
    pub(super) fn takes_before(&mut self, steps: &[Step]) -> bool {
        let Shape { inputs, outputs, input, output, kernel, stride, before } = self.shape;
        let reaches = |side: usize| (output[side] - 1) * stride[side] + kernel[side];
        if before != [0, 0] || reaches(0) > input[0] || reaches(1) > input[1] {
            return false;
        }
        let (mut scales, mut shifts) = (vec![1.0; inputs], vec![0.0; inputs]);
        for step in steps {
            match step {
                Step::Scale(numbers) => {
                    let both = scales.iter_mut().zip(&mut shifts).zip(numbers);
                    both.for_each(|((scale, shift), number)| {
                        *scale *= number;
                        *shift *= number;
                    });
                }
                Step::Shift(numbers) => {
                    shifts.iter_mut().zip(numbers).for_each(|(shift, number)| *shift += number);
                }
                _ => return false,
            }
        }
        let taps = kernel[0] * kernel[1];
        let of_output = self.weights.len() / outputs;
        let rows = self.weights.chunks_exact_mut(of_output).zip(&mut self.biases);
        for (output, (weights, bias)) in rows.enumerate() {
            for (k, weights) in weights.chunks_exact_mut(taps).enumerate() {
                let channel = if self.depthwise { output } else { k };
                *bias += weights.iter().sum::<f32>() * shifts[channel];
                scale_all(weights, scales[channel]);
            }
        }
        true
    }
}

fn scale_all(weights: &mut [f32], scale: f32) {
    for weight in weights {
        *weight *= scale;
    }
}

/// Returns the map that an outlet is the flattened form of, or the outlet.
fn flattened(model: &TypedModel, outlet: OutletId) -> TractResult<OutletId> {
    let outlet = same_values(model, outlet);
    let node = model.node(outlet.node);
    let is_reshape = matches!(node.op_as::<AxisOp>(), Some(AxisOp::Reshape(..)));
    let [input] = node.inputs[..] else { return Ok(outlet) };
    let is_map = matches!(model.outlet_fact(input)?.shape.as_concrete(), Some([1, _, _, _]));
    Ok(if is_reshape && is_map { same_values(model, input) } else { outlet })
}

/// Returns the only node that reads an outlet, unless the outlet is an output of the model too.
pub(super) fn following(model: &TypedModel, outlet: OutletId) -> TractResult<Option<&TypedNode>> {
    if model.output_outlets()?.contains(&outlet) {
        return Ok(None);
    }
    model.single_succ(outlet.node)
}

/// Returns the outlet before operators that change nothing in inference.
pub(super) fn same_values(model: &TypedModel, mut outlet: OutletId) -> OutletId {
    while let node = model.node(outlet.node)
        && ["Dropout", "Identity"].contains(&&*node.op().name())
    {
        outlet = node.inputs[0];
    }
    outlet
}
