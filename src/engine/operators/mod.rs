//! Operators that replace tract's where those are slow or missing.

mod constants;
#[cfg(target_arch = "x86_64")]
mod floats;
mod fusion;
mod lowering;
mod prelu;
mod quantized;
mod steps;

pub(super) use self::lowering::{Map, is_exact, lower, maps};
use tract_onnx::Onnx;
use tract_onnx::prelude::*;

/// Returns tract's ONNX reader with the operators of this module.
pub(super) fn reader() -> Onnx {
    let mut reader = onnx();
    prelu::register(&mut reader);
    quantized::register(&mut reader);
    reader
}

/// Replaces tract's operators in a model whose constants are propagated.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    quantized::replace(model)?;
    #[cfg(target_arch = "x86_64")]
    floats::replace(model)?;
    Ok(())
}
