//! `likeness model`: checks, calibrates and switches encoders.

mod calibrate;
mod check;
mod draft;
mod pad;
mod switch;

use crate::config::{Config, ModelCommand};

/// Runs the subcommand.
///
/// # Errors
/// The subcommand's.
pub async fn run(config: Config, command: &ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Check(args) if args.presentations => pad::run(&config, args).await,
        ModelCommand::Check(args) => check::run(&config, args).await,
        ModelCommand::Switch => switch::run(config).await,
    }
}
