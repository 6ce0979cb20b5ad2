//! Lowers a float network to 8 bits, by the ranges of its maps.
//!
//! Convolutions, sums and the functions between them run on bytes; everything else runs in floats
//! as before, between a conversion of each map. A map without a range stays in floats.

mod grid;
mod operator;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convolve::bytes::{Convolution, Layer, Order};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{OutletId, TractErrorContext, bail};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use self::grid::{Grid, Quantized};
use self::operator::{Kernel, Operator};
use self::parts::{Part, Parts};
use super::constants::finite;
use super::fusion::{FusedConvolution, same_values};
use super::prelu::PRelu;
use super::steps::Step;
use crate::engine::quantization::{Range, Ranges};

/// A map whose range [`lower`] uses.
pub(in crate::engine) struct Map {
    pub(in crate::engine) outlet: OutletId,
    /// The name of its range.
    pub(in crate::engine) name: String,
    /// Whether it is computed in bytes, not quantized from floats.
    pub(in crate::engine) is_computed: bool,
}

/// Returns the maps whose ranges [`lower`] uses; none of a network that is quantized already.
pub(in crate::engine) fn maps(model: &TypedModel) -> TractResult<Vec<Map>> {
    let mut facts = model.nodes().iter().flat_map(|node| &node.outputs);
    if facts.any(|output| output.fact.datum_type.size_of() == 1) {
        return Ok(Vec::new());
    }
    let parts = Parts::of(model)?;
    let map = |outlet: OutletId| Map {
        outlet,
        name: model.node(outlet.node).name.clone(),
        is_computed: parts.gives_bytes(outlet, &|_| true),
    };
    Ok(parts.maps(model)?.into_iter().filter(|outlet| outlet.slot == 0).map(map).collect())
}

/// Returns the network in 8 bits.
///
/// # Errors
/// If a range is not that of a map of the network.
pub(in crate::engine) fn lower(model: &TypedModel, ranges: &Ranges) -> TractResult<TypedModel> {
    let parts = Parts::of(model)?;
    let maps = parts.maps(model)?;
    let names: BTreeSet<_> = maps.iter().map(|map| model.node(map.node).name.as_str()).collect();
    if let Some(unknown) = ranges.maps().find(|name| !names.contains(name)) {
        bail!("[quantization] has a range of {unknown}, which is no map of this network");
    }
    let mut lowering = Lowering {
        from: model,
        ranges,
        parts: &parts,
        to: TypedModel::default(),
        floats: BTreeMap::new(),
        bytes: BTreeMap::new(),
    };
    for input in model.input_outlets()? {
        lowering.floats(*input)?;
    }
    let outputs = model.output_outlets()?.iter().map(|output| lowering.floats(*output));
    let outputs = outputs.collect::<TractResult<Vec<_>>>()?;
    lowering.to.select_output_outlets(&outputs)?;
    Ok(lowering.to)
}

/// Whether a lowered network gives the same numbers on every processor: it computes no sums in floats.
pub(in crate::engine) fn is_exact(model: &TypedModel) -> bool {
    model.nodes().iter().all(|node| {
        node.op_is::<Operator>()
            || node.op_is::<TypedSource>()
            || node.op_is::<Const>()
            || node.op_is::<AxisOp>()
            || node.op_is::<TypedBinOp>()
            || node.op_is::<PRelu>()
            || same_values(model, OutletId::new(node.id, 0)).node != node.id
    })
}

/// A network whose outlets are computed on demand, each once in floats and once in bytes at most.
struct Lowering<'a> {
    from: &'a TypedModel,
    ranges: &'a Ranges,
    parts: &'a Parts,
    to: TypedModel,
    floats: BTreeMap<OutletId, OutletId>,
    bytes: BTreeMap<OutletId, (OutletId, Grid)>,
}

impl<'a> Lowering<'a> {
    /// Returns a map's range, if it is known.
    fn range(&self, map: OutletId) -> Option<Range> {
        let name = &self.from.node(map.node).name;
        if map.slot == 0 { self.ranges.of(name) } else { None }
    }

    /// Returns the part that computes a map in 8 bits.
    fn lowered(&self, map: OutletId) -> Option<&'a Part> {
        self.parts.lowered(map, &|map| self.range(map).is_some())
    }

    /// Returns an outlet in floats.
    fn floats(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(known) = self.floats.get(&outlet) {
            return Ok(*known);
        }
        let lowered = self.lowered(outlet).map(Part::gives_floats);
        let floats = match lowered {
            Some(true) => self.connected(outlet)?,
            Some(false) => {
                let (map, grid) = self.bytes(outlet)?;
                let [channels, ..] = self.sizes(outlet)?;
                let kernel = Kernel::Dequantize { channels, from: grid };
                self.wire(outlet, "floats", kernel, self.float_fact(outlet)?, &[map])?
            }
            None => self.copied(outlet)?,
        };
        self.floats.insert(outlet, floats);
        Ok(floats)
    }

    /// Returns an outlet computed as before.
    fn copied(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        let node = self.from.node(outlet.node);
        let inputs = node.inputs.iter().map(|input| self.floats(*input));
        let inputs = inputs.collect::<TractResult<TVec<_>>>()?;
        let outlets = if self.from.input_outlets()?.contains(&outlet) {
            let fact = self.from.outlet_fact(outlet)?.clone();
            tvec!(self.to.add_source(node.name.clone(), fact)?)
        } else {
            self.to.wire_node(node.name.clone(), node.op.clone(), &inputs)?
        };
        for (slot, copied) in outlets.iter().enumerate() {
            self.floats.insert(OutletId::new(node.id, slot), *copied);
        }
        Ok(outlets[outlet.slot])
    }

    /// Returns a map in bytes, and their grid. It has a range.
    fn bytes(&mut self, map: OutletId) -> TractResult<(OutletId, Grid)> {
        if let Some(known) = self.bytes.get(&map) {
            return Ok(*known);
        }
        let range = self.range(map).context("a map without a range")?;
        let is_computed = self.lowered(map).is_some_and(|part| !part.gives_floats());
        let computed = if is_computed {
            self.computed(map, range)?
        } else {
            let grid = Grid::exact(range);
            let [channels, ..] = self.sizes(map)?;
            let floats = self.floats(map)?;
            let kernel = Kernel::Quantize { channels, to: grid };
            (self.wire(map, "bytes", kernel, self.byte_fact(map)?, &[floats])?, grid)
        };
        self.bytes.insert(map, computed);
        Ok(computed)
    }

    /// Computes a map from bytes to bytes.
    fn computed(&mut self, map: OutletId, range: Range) -> TractResult<(OutletId, Grid)> {
        let part = self.lowered(map).context("a map that is not computed in 8 bits")?;
        let range = match part {
            Part::Convolution { most, .. } => Range::new(range.low(), range.high().min(*most)),
            Part::Sum { rectified: true, .. } => Range::new(0.0, range.high()),
            _ => Some(range),
        };
        let grid = Grid::with_zero(range.context("a range on the wrong side of its bound")?);
        let inputs = part.inputs().iter().map(|input| self.bytes(*input));
        let (inputs, grids): (Vec<_>, Vec<_>) =
            inputs.collect::<TractResult<Vec<_>>>()?.into_iter().unzip();
        let kernel = match part {
            Part::Convolution { fused, .. } => {
                Kernel::Convolution(convolution(fused, grids[0], grid)?)
            }
            Part::Sum { .. } => sum([grids[0], grids[1]], grid),
            Part::Steps { steps, .. } => table(steps, self.sizes(map)?[0], grids[0], grid)?,
        };
        let map = self.wire(map, "bytes", kernel, self.byte_fact(map)?, &inputs)?;
        Ok((map, grid))
    }

    /// Computes a convolution of one position from bytes to floats.
    fn connected(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        let Some(Part::Convolution { input, fused, .. }) = self.lowered(outlet) else {
            bail!("a layer that is not computed in 8 bits");
        };
        let (input, grid) = self.bytes(*input)?;
        let conv = convolution(fused, grid, Grid { step: 1.0, zero: 0.0 })?;
        self.wire(outlet, "floats", Kernel::Connected(conv), self.float_fact(outlet)?, &[input])
    }

    fn wire(
        &mut self,
        outlet: OutletId,
        form: &str,
        kernel: Kernel,
        output: TypedFact,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = format!("{} as {form}", self.from.node(outlet.node).name);
        let op = Operator { kernel: Arc::new(kernel), output };
        Ok(self.to.wire_node(name, op, inputs)?[0])
    }

    fn float_fact(&self, outlet: OutletId) -> TractResult<TypedFact> {
        Ok(self.from.outlet_fact(outlet)?.without_value())
    }

    fn byte_fact(&self, map: OutletId) -> TractResult<TypedFact> {
        let [channels, height, width] = self.sizes(map)?;
        Ok(u8::fact([1, channels.div_ceil(4), height, width, 4]))
    }

    /// Returns channels, height and width of a map; a vector has one position.
    fn sizes(&self, map: OutletId) -> TractResult<[usize; 3]> {
        let fact = self.from.outlet_fact(map)?;
        match fact.shape.as_concrete() {
            Some(&[1, channels, height, width]) => Ok([channels, height, width]),
            Some(&[1, channels]) => Ok([channels, 1, 1]),
            _ => bail!("a map of the shape {:?}", fact.shape),
        }
    }
}

/// Returns a convolution from one grid to another.
fn convolution(fused: &FusedConvolution, from: Grid, to: Grid) -> TractResult<Convolution> {
    let Quantized { weights, biases, steps } = Quantized::of(fused, from);
    let scales: Vec<f32> = steps.iter().map(|step| step / to.step).collect();
    let is_linear = fused.slopes.iter().all(|&slope| slope.to_bits() == 1_f32.to_bits());
    let negative: Vec<f32> = scales.iter().zip(&fused.slopes).map(|(a, b)| a * b).collect();
    finite(&scales)?;
    finite(&negative)?;
    Ok(Convolution::new(&Layer {
        shape: fused.shape,
        from: from.bytes(),
        to: to.bytes(),
        weights: &weights,
        biases: &biases,
        scales: &scales,
        negative_scales: (!is_linear).then_some(&negative[..]),
        depthwise: fused.depthwise,
        order: Order::Interleaved,
    }))
}

fn sum(from: [Grid; 2], to: Grid) -> Kernel {
    let factors = from.map(|grid| grid.step / to.step);
    let offset = to.zero - from[0].zero * factors[0] - from[1].zero * factors[1];
    Kernel::Sum { factors, offset }
}

/// Returns the bytes that functions of each channel make of each byte.
fn table(steps: &[Step], channels: usize, from: Grid, to: Grid) -> TractResult<Kernel> {
    let of_channel = |channel| -> TractResult<[u8; 256]> {
        let mut values = from.values();
        for step in steps {
            step.apply(channel, &mut values)?;
        }
        Ok(values.map(|value| to.byte(value)))
    };
    Ok(Kernel::Table((0..channels).map(of_channel).collect::<TractResult<_>>()?))
}

#[cfg(test)]
mod tests;
