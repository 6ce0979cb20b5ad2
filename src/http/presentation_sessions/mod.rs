//! `/presentation/sessions`: sessions in which a person is asked to turn the head; one file for each route.

pub(super) mod frames;
pub(super) mod open;
