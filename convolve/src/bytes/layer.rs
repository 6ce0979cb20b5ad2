//! The description of an 8-bit convolution.

use super::Bytes;
use crate::shape::{Shape, Tap};

/// Channels that are interleaved.
pub(super) const INTERLEAVED: usize = 4;

/// The most weights of one output: 65,536 x 255 x 128 fits in 32 bits.
pub const MOST_WEIGHTS: usize = 65_536;

/// The order of a map's channels in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Channels x height x width, as in ONNX.
    Planar,
    /// Fours of channels x height x width x 4. Bytes of channels beyond the last have no meaning.
    Interleaved,
}

impl Order {
    /// The number of values of a map.
    pub(super) fn values(self, channels: usize, [height, width]: [usize; 2]) -> usize {
        let channels = match self {
            Self::Planar => channels,
            Self::Interleaved => channels.next_multiple_of(INTERLEAVED),
        };
        channels * height * width
    }

    /// The index of a channel's value in a map of `area` positions.
    pub(super) fn index(self, channel: usize, position: usize, area: usize) -> usize {
        match self {
            Self::Planar => channel * area + position,
            Self::Interleaved => {
                let (four, k) = (channel / INTERLEAVED, channel % INTERLEAVED);
                (four * area + position) * INTERLEAVED + k
            }
        }
    }
}

/// The parameters of a convolution, as `QLinearConv` has them.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Sizes of the maps and the kernel.
    pub shape: Shape,
    /// Whether each output depends on the input of the same number only. Such a layer has as many
    /// outputs as inputs.
    pub depthwise: bool,
    /// The order of the input and of the output.
    pub order: Order,
    /// The quantization of the input.
    pub from: Bytes,
    /// The quantization of the output.
    pub to: Bytes,
    /// Weights in OIHW order: outputs x inputs (1 if depthwise) x kernel, at most [`MOST_WEIGHTS`]
    /// for each output.
    pub weights: &'a [i8],
    /// One bias for each output, in units of the sums.
    pub biases: &'a [i32],
    /// One scale for each output: the steps of the output for a sum of 1.
    pub scales: &'a [f32],
    /// The scales where the sum with its bias is negative (`scales` times the slopes of a `PReLU`);
    /// `None` if they are `scales`.
    pub negative_scales: Option<&'a [f32]>,
}

impl Layer<'_> {
    #[track_caller]
    pub(super) fn check(&self) {
        let Self { shape, depthwise, weights, biases, scales, .. } = *self;
        shape.check();
        assert!(!depthwise || shape.inputs == shape.outputs, "a depthwise layer: {shape:?}");
        let of_output = self.channels() * shape.taps().count();
        assert!(of_output <= MOST_WEIGHTS, "{of_output} weights of an output");
        assert_eq!(weights.len(), shape.outputs * of_output, "weights");
        assert_eq!(biases.len(), shape.outputs, "biases");
        assert_eq!(scales.len(), shape.outputs, "scales");
        assert_eq!(self.negative_scales().len(), shape.outputs, "negative scales");
        let mut scales = scales.iter().chain(self.negative_scales());
        assert!(scales.all(|scale| scale.is_finite()), "a scale is not finite");
    }

    /// Inputs of an output.
    fn channels(&self) -> usize {
        if self.depthwise { 1 } else { self.shape.inputs }
    }

    pub(super) fn negative_scales(&self) -> &[f32] {
        self.negative_scales.unwrap_or(self.scales)
    }

    /// A weight; 0 beyond the last output or input, and for other inputs of a depthwise layer.
    pub(super) fn weight(&self, output: usize, input: usize, [y, x]: Tap) -> i8 {
        let Shape { inputs, outputs, kernel: [height, width], .. } = self.shape;
        if output >= outputs || input >= inputs || (self.depthwise && input != output) {
            return 0;
        }
        let input = if self.depthwise { 0 } else { input };
        self.weights[((output * self.channels() + input) * height + y) * width + x]
    }

    /// The bias of an output minus the contribution of the input's zero point; 0 beyond the last
    /// output.
    pub(super) fn start(&self, output: usize) -> i32 {
        let of_output = self.channels() * self.shape.taps().count();
        let Some(weights) = self.weights.chunks_exact(of_output).nth(output) else { return 0 };
        let total: i32 = weights.iter().copied().map(i32::from).sum();
        self.biases[output].wrapping_sub(self.from.unsigned_zero() * total)
    }

    /// The scales of an output for sums from 0 on and for negative sums; 0 beyond the last output.
    pub(super) fn scales(&self, output: usize) -> [f32; 2] {
        [self.scales, self.negative_scales()]
            .map(|scales| scales.get(output).copied().unwrap_or(0.0))
    }
}
