//! Parses the configuration, starts logging and runs the subcommand.

use std::process::ExitCode;

use likeness::cli::{
    NoData, audit, backup, doctor, evaluate, export, health, import, keys, lookalikes,
    migrate_store, model, restore, score, serve, sync,
};
use likeness::config::{Cli, Command};
use likeness::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    // Boxed: the future holds the configuration and the state of the largest subcommand.
    match Box::pin(run(Cli::read())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("likeness: {error:#}");
            if error.is::<NoData>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    telemetry::start(cli.config.log_format, &cli.config.log)?;
    match cli.command {
        Some(Command::Audit(command)) => audit::run(&cli.config, &command).await,
        Some(Command::Backup(archives)) => backup::run(&cli.config, &archives).await,
        Some(Command::Doctor) => doctor::run(&cli.config).await,
        Some(Command::Evaluate(args)) => evaluate::run(&cli.config, &args).await,
        Some(Command::Export(args)) => export::run(&cli.config, &args).await,
        Some(Command::Health) => health::run(&cli.config),
        Some(Command::Import(args)) => import::run(cli.config, &args).await,
        Some(Command::Keys(command)) => keys::run(&cli.config, &command).await,
        Some(Command::Lookalikes(args)) => lookalikes::run(cli.config, &args).await,
        Some(Command::MigrateStore(args)) => migrate_store::run(&cli.config, &args).await,
        Some(Command::Model(command)) => model::run(cli.config, &command).await,
        Some(Command::Restore(archives)) => restore::run(&cli.config, &archives).await,
        Some(Command::Score(args)) => score::run(&cli.config, &args).await,
        Some(Command::Sync(args)) => sync::run(cli.config, &args).await,
        Some(Command::Serve) | None => serve::run(cli.config).await,
    }
}
