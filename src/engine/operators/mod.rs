//! Operators of ours, where tract's own are slow or there are none.

mod constants;
#[cfg(target_arch = "x86_64")]
mod floats;
mod prelu;
mod quantised;

use tract_onnx::Onnx;
use tract_onnx::prelude::*;

/// tract's reader of ONNX files, which knows our operators too.
pub(super) fn reader() -> Onnx {
    let mut reader = onnx();
    prelu::register(&mut reader);
    quantised::register(&mut reader);
    reader
}

/// Puts our operators in the place of tract's.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<()> {
    model.prop_consts()?;
    quantised::replace(model)?;
    #[cfg(target_arch = "x86_64")]
    floats::replace(model)?;
    Ok(())
}
