//! Schemas that several types share.

use utoipa::openapi::{ObjectBuilder, Type};

/// Returns the schema of a string that is one of `words`.
pub(super) fn one_of(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}
