//! Parse the configuration, start the logs, run the subcommand.

fn main() {}
