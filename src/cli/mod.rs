//! The subcommands, one file each.

pub mod score;
pub mod serve;
