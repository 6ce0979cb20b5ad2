//! The help of each command: which of the global flags it shows, and how wide its lines are.

use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::Cli;

const TLS: &[&str] = &["tls_cert", "tls_key"];
const STORAGE: &[&str] = &["data_dir", "database", "key_database", "master_key_file"];
const ENCODER: &[&str] = &["encoder", "precision", "calibration"];
const FORMER: &[&str] = &["former_encoder", "former_precision"];
const FINDERS: &[&str] = &["detector", "landmarks"];
const DECISION: &[&str] = &["verify_fmr", "identify_fpir", "gallery_thresholds"];
const PAD: &[&str] = &["pad", "pad_mode", "pad_bpcer", "pad_calibration"];
const LOGGING: &[&str] = &["log", "log_format"];

/// Longest line of the text about a flag or command, in bytes.
const WIDTH: usize = 80;

/// Returns the global flags that a command uses, named by their ids; `None` for all of them.
///
/// Every command also accepts the other flags, so that one environment serves for all.
fn used_by(command: &str) -> Option<Vec<&'static str>> {
    let used: &[&[&str]] = match command {
        "likeness" | "serve" => return None,
        "audit verify" | "audit export" | "backup" | "export" | "keys add" | "keys list"
        | "keys revoke" | "keys rotate-master" | "restore" => &[STORAGE],
        "doctor" => &[&["listen"], TLS, STORAGE, ENCODER, FORMER, FINDERS, DECISION, PAD],
        "evaluate" => &[ENCODER, FORMER, FINDERS, &["pad", "verify_fmr", "workers"]],
        "health" => &[&["listen"], TLS],
        "import" | "sync" => {
            &[STORAGE, ENCODER, FORMER, FINDERS, DECISION, &["workers", "enrollment_days"]]
        }
        "lookalikes" | "model switch" => {
            &[STORAGE, ENCODER, FORMER, FINDERS, DECISION, &["enrollment_days"]]
        }
        "migrate-store" => &[&["key_database", "master_key_file"]],
        "model check" => &[FINDERS, &["precision", "verify_fmr", "workers"]],
        "score" => &[ENCODER, FINDERS, &["workers"]],
        // Commands that only group others.
        _ => &[],
    };
    Some(used.iter().chain([&LOGGING]).flat_map(|flags| flags.iter().copied()).collect())
}

impl Cli {
    /// Parses the command line and the environment; prints help or errors and exits where asked to.
    pub fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The command line, with the unused global flags of each command hidden from its help.
fn command() -> Command {
    let command = Cli::command().mut_args(wrapped);
    let is_global = |flag: &&Arg| flag.is_global_set();
    let flags: Vec<_> = command.get_arguments().filter(is_global).cloned().collect();
    with_own_flags(command, "", &flags)
}

/// Gives every subcommand its own copy of each global flag, which takes the place of the one that
/// clap would copy; the value is shared.
fn with_own_flags(command: Command, path: &str, flags: &[Arg]) -> Command {
    command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
        let used = used_by(&path);
        let own = flags.iter().map(|flag| {
            let is_used = used.as_ref().is_none_or(|used| used.contains(&flag.get_id().as_str()));
            let flag = flag.clone().hide(flag.is_hide_set() || !is_used);
            // There, --pad says what kind of network is meant.
            let is_renamed =
                ["evaluate", "model check"].contains(&&*path) && flag.get_id() == "pad";
            if is_renamed { flag.long("pad-networks") } else { flag }
        });
        let about = sub.get_about().map(|about| broken(&about.to_string())).unwrap_or_default();
        with_own_flags(sub.about(about).mut_args(wrapped).args(own), &path, flags)
    })
}

fn wrapped(flag: Arg) -> Arg {
    match flag.get_help().map(|help| broken(&help.to_string())) {
        Some(help) => flag.help(help),
        None => flag,
    }
}

/// Breaks a text into lines, since clap does so only with a further crate.
fn broken(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < WIDTH => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of every command that does something, by its path.
    fn helps() -> Vec<(String, String)> {
        fn collect(command: &mut Command, path: &str, helps: &mut Vec<(String, String)>) {
            if !command.has_subcommands() {
                helps.push((path.to_owned(), command.render_long_help().to_string()));
            }
            for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
                collect(sub, &path, helps);
            }
        }
        let mut command = command();
        command.build();
        let mut helps = Vec::new();
        collect(&mut command, "", &mut helps);
        helps
    }

    #[test]
    fn help_shows_only_the_flags_that_a_command_uses() {
        let helps = helps();
        let help = |path: &str| &helps.iter().find(|(of, _)| of == path).unwrap().1;
        for flag in ["--listen", "--data-dir", "--rate-limit", "--verify-fmr"] {
            assert!(!help("score").contains(flag), "{flag}: {}", help("score"));
            assert!(help("serve").contains(flag), "{flag}");
        }
        assert!(help("score").contains("--encoder") && help("score").contains("--photos"));
        assert!(help("keys add").contains("--data-dir") && !help("keys add").contains("--queue"));
        assert!(help("health").contains("--listen") && !help("health").contains("--data-dir"));
        let text = helps.iter().flat_map(|(_, help)| help.lines());
        assert!(text.filter(|line| !line.starts_with("Usage")).all(|line| line.len() <= 100));
    }

    #[test]
    fn every_command_has_a_row_and_every_flag_in_it_exists() {
        let root = Cli::command();
        let ids: Vec<_> = root.get_arguments().map(|flag| flag.get_id().as_str()).collect();
        let helps = helps();
        assert!(helps.len() > 15, "the search finds the commands");
        for (path, _) in &helps {
            let Some(used) = used_by(path) else { continue };
            let only_logs = used.len() == LOGGING.len();
            assert!(!only_logs, "{path} is missing in the table");
            assert!(used.iter().all(|flag| ids.contains(flag)), "{path}: {used:?}");
        }
    }

    #[test]
    fn every_flag_has_a_heading_and_is_shown() {
        let (root, helps) = (Cli::command(), helps());
        let global = root.get_arguments().filter(|flag| flag.is_global_set());
        for flag in global.filter(|flag| !flag.is_hide_set()) {
            let long = format!("--{}", flag.get_long().unwrap());
            assert!(flag.get_help_heading().is_some(), "{long}");
            let is_shown = |help: &str| help.split_whitespace().any(|word| word == long);
            assert!(helps.iter().any(|(_, help)| is_shown(help)), "{long}");
        }
    }

    #[test]
    fn flags_are_accepted_before_and_after_a_command_whether_shown_or_not() {
        for arguments in [
            ["likeness", "--data-dir", "X", "keys", "list"],
            ["likeness", "keys", "--data-dir", "X", "list"],
            ["likeness", "keys", "list", "--data-dir", "X"],
            ["likeness", "health", "--data-dir", "X", "--log=info"],
        ] {
            let matches = command().try_get_matches_from(arguments).unwrap();
            let cli = Cli::from_arg_matches(&matches).unwrap();
            assert_eq!(cli.config.data_dir.to_str(), Some("X"), "{arguments:?}");
        }
    }
}
