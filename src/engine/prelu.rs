//! Rewrites PRelu(x, slope) as Relu(x) + slope * (x - Relu(x)) before tract sees it.
//!
//! The numbers are the same, and tract runs the four simple operators several times faster than
//! the one.

use tract_onnx::pb::{ModelProto, NodeProto};

/// Splits every PRelu node of the graph.
pub(super) fn split(model: &mut ModelProto) {
    let Some(graph) = &mut model.graph else { return };
    graph.node = std::mem::take(&mut graph.node)
        .into_iter()
        .flat_map(|node| match (node.op_type.as_str(), node.input.as_slice()) {
            ("PRelu", [_, _]) => four_for_one(&node),
            _ => vec![node],
        })
        .collect();
}

fn four_for_one(prelu: &NodeProto) -> Vec<NodeProto> {
    let (x, slope, y) = (&prelu.input[0], &prelu.input[1], &prelu.output[0]);
    let part = |name: &str| format!("{y}/{name}");
    let node = |op: &str, inputs: [&str; 2], output: String| NodeProto {
        name: output.clone(),
        op_type: op.to_owned(),
        input: inputs.iter().filter(|name| !name.is_empty()).map(|&name| name.to_owned()).collect(),
        output: vec![output],
        ..NodeProto::default()
    };
    let (positive, negative, scaled) = (part("positive"), part("negative"), part("scaled"));
    vec![
        node("Relu", [x, ""], positive.clone()),
        node("Sub", [x, &positive], negative.clone()),
        node("Mul", [&negative, slope], scaled.clone()),
        node("Add", [&positive, &scaled], y.clone()),
    ]
}
