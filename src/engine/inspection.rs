//! Reads the description in an ONNX file: inputs, outputs and operators. Needs no manifest.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};
use tract_onnx::prelude::*;

use super::operators;
use crate::embedding::ModelId;

/// The description of an ONNX file.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// SHA-256 of the file.
    pub digest: ModelId,
    /// The inputs, without weights.
    pub inputs: Vec<Port>,
    /// The outputs.
    pub outputs: Vec<Port>,
    /// The number of nodes of each operator.
    pub operators: BTreeMap<String, usize>,
    /// The operators that tract does not support.
    pub lacking: Vec<String>,
}

/// An input or output of a network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Port {
    /// The name.
    pub name: String,
    /// The element type, as ONNX names it.
    pub element: String,
    /// The shape; `None` for a dimension of any length.
    pub shape: Vec<Option<usize>>,
}

impl Port {
    /// Returns whether a tensor of this shape is accepted.
    pub(super) fn takes(&self, shape: &[usize]) -> bool {
        let fits = |(own, length): (&Option<usize>, &usize)| own.is_none_or(|own| own == *length);
        let same_rank = self.shape.len() == shape.len();
        self.shape.is_empty() || same_rank && self.shape.iter().zip(shape).all(fits)
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = |side: &Option<usize>| side.map_or("any".to_owned(), |n| n.to_string());
        let shape: Vec<_> = self.shape.iter().map(length).collect();
        write!(f, "{}: {} {}", self.name, self.element, shape.join(" x "))
    }
}

/// The error for bytes that are not an ONNX file.
#[derive(Debug, thiserror::Error)]
#[error("this is not an ONNX file: {0}")]
pub struct NotOnnx(String);

impl Inspection {
    /// Reads the bytes of an ONNX file, without running it.
    ///
    /// # Errors
    /// [`NotOnnx`].
    pub fn of(onnx: &[u8]) -> Result<Self, NotOnnx> {
        let reader = operators::reader();
        let proto = reader.proto_model_for_read(&mut &*onnx);
        let proto = proto.map_err(|e| NotOnnx(format!("{e:#}")))?;
        let graph = proto.graph.as_ref().ok_or_else(|| NotOnnx("it has no graph".to_owned()))?;
        let mut operators = BTreeMap::new();
        count(graph, &mut operators);
        let known = reader.op_register.0;
        let lacking = operators.keys().filter(|name| !known.contains_key(*name)).cloned().collect();
        Ok(Self {
            digest: ModelId::from_digest(Sha256::digest(onnx).into()),
            inputs: network_inputs(&proto).map(Port::from).collect(),
            outputs: graph.output.iter().map(Port::from).collect(),
            operators,
            lacking,
        })
    }
}

/// Returns the inputs that are not weights: older exporters list both.
pub(super) fn network_inputs(proto: &ModelProto) -> impl Iterator<Item = &ValueInfoProto> {
    proto.graph.iter().flat_map(|graph| {
        let is_weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        graph.input.iter().filter(move |input| !is_weight(&input.name))
    })
}

/// Counts the operators of a graph and of the graphs in its nodes.
fn count(graph: &GraphProto, operators: &mut BTreeMap<String, usize>) {
    for node in &graph.node {
        *operators.entry(node.op_type.clone()).or_default() += 1;
        inner_graphs(node).for_each(|inner| count(inner, operators));
    }
}

fn inner_graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

impl From<&ValueInfoProto> for Port {
    fn from(value: &ValueInfoProto) -> Self {
        let tensor = value.r#type.as_ref().and_then(|t| t.value.as_ref());
        let Some(type_proto::Value::TensorType(tensor)) = tensor else {
            return Self { name: value.name.clone(), element: "?".to_owned(), shape: Vec::new() };
        };
        let dimensions = tensor.shape.iter().flat_map(|shape| &shape.dim);
        let length = |dimension: &Option<dimension::Value>| match dimension {
            Some(dimension::Value::DimValue(n)) => usize::try_from(*n).ok().filter(|n| *n > 0),
            _ => None,
        };
        Self {
            name: value.name.clone(),
            element: DataType::try_from(tensor.elem_type)
                .map_or("?".to_owned(), |element| format!("{element:?}").to_lowercase()),
            shape: dimensions.map(|dimension| length(&dimension.value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_encoder_is_described() {
        let found = Inspection::of(include_bytes!("../../models/encoder.onnx")).unwrap();
        let shape = [1, 3, 112, 112].map(Some);
        assert_eq!(found.inputs.len(), 1);
        assert_eq!(found.inputs[0].shape[1..], shape[1..]);
        assert_eq!(found.inputs[0].element, "float");
        assert_eq!(found.lacking, Vec::<String>::new());
        assert!(found.operators["QLinearConv"] > 5);
    }

    #[test]
    fn bytes_that_are_not_onnx_are_refused() {
        assert!(Inspection::of(b"").unwrap_err().to_string().contains("no graph"));
        assert!(Inspection::of(b"\xff\xff\xff").is_err());
    }
}
