//! Constants of a graph: shapes, weights and scales that are known before it runs.

use convolve::Shape;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat};

/// Returns the shape of a convolution of one image without dilation; `None` for other convolutions.
pub(super) fn shape(conv: &Conv, input: &TypedFact) -> Option<Shape> {
    let pool = &conv.pool_spec;
    let &[1, inputs, height, width] = input.shape.as_concrete()? else { return None };
    let ours = (conv.kernel_fmt, pool.rank()) == (KernelFormat::OIHW, 2)
        && !pool.data_format.c_is_last()
        && pool.dilations().iter().all(|&step| step == 1);
    if !ours {
        return None;
    }
    let padded = pool.computed_padding(&[height, width]);
    let shape = Shape {
        inputs,
        outputs: pool.output_channels,
        input: [height, width],
        output: [padded[0].convoluted, padded[1].convoluted],
        kernel: [pool.kernel_shape[0], pool.kernel_shape[1]],
        stride: [pool.stride(0), pool.stride(1)],
        before: [padded[0].pad_before, padded[1].pad_before],
    };
    let Shape { outputs, output, kernel, .. } = shape;
    let is_empty = [[inputs, outputs], output, kernel].as_flattened().contains(&0);
    (!is_empty).then_some(shape)
}

/// Returns the values of a tensor.
pub(super) fn numbers<T: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<T>> {
    Ok(tensor.cast_to::<T>()?.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

/// Checks that quantization scales are finite; NaN would become the same byte for every photo.
pub(super) fn finite(scales: &[f32]) -> TractResult<()> {
    if scales.iter().all(|scale| scale.is_finite()) {
        return Ok(());
    }
    bail!("a scale of a quantized operator is not a finite number")
}

pub(super) fn one<T: Datum + Copy>(tensor: &Tensor) -> TractResult<T> {
    let values = numbers(tensor)?;
    let [value] = values[..] else { bail!("{} numbers where one should be", values.len()) };
    Ok(value)
}

/// Returns one number for each output; a single number applies to all.
pub(super) fn each<T: Datum + Copy>(tensor: &Tensor, outputs: usize) -> TractResult<Vec<T>> {
    let values = numbers(tensor)?;
    match values[..] {
        [value] => Ok(vec![value; outputs]),
        _ if values.len() == outputs => Ok(values),
        _ => bail!("{} numbers for {outputs} outputs", values.len()),
    }
}
