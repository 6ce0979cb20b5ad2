//! The parts of a float network that can run in 8 bits, and the maps between them.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::OutletId;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math::Add;

use super::super::fusion::{FusedConvolution, following, same_values};
use super::super::steps::Step;

/// The most weights of an output: with them the sum of products of bytes, and a bias of at most
/// 2^28, fit in 32 bits.
const MOST_WEIGHTS: usize = 57_000;

/// Operators that are computed as one.
pub(super) enum Part {
    /// A convolution, or a fully connected layer.
    Convolution {
        input: OutletId,
        fused: FusedConvolution,
        /// The upper bound of the output.
        most: f32,
    },
    /// The sum of two maps.
    Sum {
        inputs: [OutletId; 2],
        /// Whether negative sums become 0.
        rectified: bool,
    },
    /// Functions of each value and its channel.
    Steps { input: OutletId, steps: Vec<Step> },
}

impl Part {
    /// Returns the maps that it reads.
    pub(super) fn inputs(&self) -> &[OutletId] {
        match self {
            Self::Convolution { input, .. } | Self::Steps { input, .. } => {
                std::slice::from_ref(input)
            }
            Self::Sum { inputs, .. } => inputs,
        }
    }

    /// Whether its output is one position, which is computed in floats: that costs nothing there,
    /// and the last layer loses no accuracy.
    pub(super) fn gives_floats(&self) -> bool {
        matches!(self, Self::Convolution { fused, .. } if fused.shape.output == [1, 1])
    }
}

/// The parts of a network by the outlets of their results.
pub(super) struct Parts(BTreeMap<OutletId, Part>);

impl Parts {
    /// Finds the parts of a model.
    pub(super) fn of(model: &TypedModel) -> TractResult<Self> {
        let mut parts = Self(BTreeMap::new());
        let mut taken = BTreeSet::new();
        for id in model.eval_order()? {
            if taken.contains(&id) {
                continue;
            }
            let node = model.node(id);
            let found = match parts.convolution(model, node)? {
                Some(found) => Some(found),
                None => match sum(model, node)? {
                    Some(found) => Some(found),
                    None => steps(model, node)?,
                },
            };
            if let Some((last, part)) = found {
                taken.extend(nodes_between(model, id, last.node)?);
                parts.0.insert(last, part);
            }
        }
        Ok(parts)
    }

    /// Returns the part that computes an outlet.
    pub(super) fn get(&self, outlet: OutletId) -> Option<&Part> {
        self.0.get(&outlet)
    }

    /// Returns the part that computes an outlet, if it runs in 8 bits: its maps have ranges, and
    /// functions follow another such part.
    pub(super) fn lowered(
        &self,
        outlet: OutletId,
        has_range: &dyn Fn(OutletId) -> bool,
    ) -> Option<&Part> {
        let part = self.get(outlet)?;
        let inputs_have = part.inputs().iter().all(|&input| has_range(input));
        let output_has = part.gives_floats() || has_range(outlet);
        let reads_bytes = match part {
            Part::Steps { input, .. } => self.gives_bytes(*input, has_range),
            Part::Sum { inputs, .. } => {
                inputs.iter().any(|&input| self.gives_bytes(input, has_range))
            }
            Part::Convolution { .. } => true,
        };
        (inputs_have && output_has && reads_bytes).then_some(part)
    }

    /// Returns whether a map is computed in bytes.
    pub(super) fn gives_bytes(
        &self,
        outlet: OutletId,
        has_range: &dyn Fn(OutletId) -> bool,
    ) -> bool {
        self.lowered(outlet, has_range).is_some_and(|part| !part.gives_floats())
    }

    /// Returns the maps whose ranges are needed for all parts that the model's outputs depend on.
    pub(super) fn maps(&self, model: &TypedModel) -> TractResult<BTreeSet<OutletId>> {
        let mut maps = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut waiting = model.output_outlets()?.to_vec();
        while let Some(outlet) = waiting.pop() {
            if !seen.insert(outlet) {
                continue;
            }
            let Some(part) = self.lowered(outlet, &|_| true) else {
                waiting.extend(&model.node(outlet.node).inputs);
                continue;
            };
            maps.extend(part.inputs());
            waiting.extend(part.inputs());
            if !part.gives_floats() {
                maps.insert(outlet);
            }
        }
        Ok(maps)
    }

    /// Returns a convolution or fully connected layer, with what follows it and, where possible,
    /// what precedes it.
    fn convolution(
        &self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<(OutletId, Part)>> {
        let found = match FusedConvolution::of(model, node)? {
            Some(fused) => Some((fused, same_values(model, node.inputs[0]))),
            None => FusedConvolution::fully_connected(model, node)?,
        };
        let Some((mut fused, mut input)) = found else { return Ok(None) };
        if fused.weights.len() / fused.shape.outputs > MOST_WEIGHTS {
            return Ok(None);
        }
        let last = fused.take_over(model, node)?;
        if let Some(Part::Steps { input: before, steps }) = self.get(input)
            && fused.takes_before(steps)
        {
            input = *before;
        }
        let (last, most) = if fused.shape.output == [1, 1] {
            (last, f32::INFINITY)
        } else {
            bounded(model, last, fused.shape.outputs)?
        };
        Ok(Some((last, Part::Convolution { input, fused, most })))
    }
}

/// Returns the upper bound that follows a map, such as that of `ReLU6`, and its outlet.
fn bounded(model: &TypedModel, map: OutletId, channels: usize) -> TractResult<(OutletId, f32)> {
    if let Some(next) = following(model, map)?
        && let Some(Step::AtMost(numbers)) = Step::of(model, next, map, channels)?
        && let [first, ..] = numbers[..]
        && first > 0.0
        && numbers.iter().all(|number| number.to_bits() == first.to_bits())
    {
        return Ok((OutletId::new(next.id, 0), first));
    }
    Ok((map, f32::INFINITY))
}

fn sum(model: &TypedModel, node: &TypedNode) -> TractResult<Option<(OutletId, Part)>> {
    let Some(TypedBinOp(op, None)) = node.op_as() else { return Ok(None) };
    let facts = model.node_input_facts(node.id)?;
    let are_maps = facts.iter().all(|fact| fact.konst.is_none() && channels(fact).is_some());
    if !op.is::<Add>() || !are_maps || facts[0].shape != facts[1].shape {
        return Ok(None);
    }
    let inputs = [node.inputs[0], node.inputs[1]].map(|input| same_values(model, input));
    let mut last = OutletId::new(node.id, 0);
    let mut rectified = false;
    if let (Some(next), Some(channels)) = (following(model, last)?, channels(facts[0]))
        && let Some(Step::Slope(slopes)) = Step::of(model, next, last, channels)?
        && slopes.iter().all(|&slope| slope == 0.0)
    {
        last = OutletId::new(next.id, 0);
        rectified = true;
    }
    Ok(Some((last, Part::Sum { inputs, rectified })))
}

/// Returns functions of each value of a map, one after another.
fn steps(model: &TypedModel, node: &TypedNode) -> TractResult<Option<(OutletId, Part)>> {
    let facts = model.node_input_facts(node.id)?;
    let Some(first) = facts.iter().position(|fact| fact.konst.is_none()) else { return Ok(None) };
    let (input, Some(channels)) = (node.inputs[first], channels(facts[first])) else {
        return Ok(None);
    };
    let Some(step) = Step::of(model, node, input, channels)? else { return Ok(None) };
    let (mut last, mut steps) = (OutletId::new(node.id, 0), vec![step]);
    while let Some(next) = following(model, last)?
        && let Some(step) = Step::of(model, next, last, channels)?
    {
        last = OutletId::new(next.id, 0);
        steps.push(step);
    }
    Ok(Some((last, Part::Steps { input: same_values(model, input), steps })))
}

/// Returns the channels of a float map of one image.
fn channels(fact: &TypedFact) -> Option<usize> {
    let &[1, channels, _, _] = fact.shape.as_concrete()? else { return None };
    (fact.datum_type == f32::datum_type()).then_some(channels)
}

/// Returns the nodes of a part, from its first to its last.
fn nodes_between(model: &TypedModel, first: usize, last: usize) -> TractResult<Vec<usize>> {
    let mut nodes = vec![first];
    let mut node = first;
    while node != last
        && let Some(next) = model.single_succ(node)?
    {
        node = next.id;
        nodes.push(node);
    }
    Ok(nodes)
}
