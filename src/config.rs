//! What the person who starts the service may say, as flags or environment; `--help` is the reference.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::access::{KeyName, Role};
use crate::audit::Head;
use crate::employee::EmployeeId;
use crate::engine::{CalibrationSource, EngineOptions, ModelSource};
use crate::http::HttpOptions;
use crate::photo::PhotoLimits;
use crate::recognizer::Policy;

/// Knows a colleague by their face: enrol from one photo, verify and identify by another.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the service.
    #[command(flatten)]
    pub config: Config,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the audit trail, or print it.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write database and data keys as two archives; the service may go on.
    Backup(ArchiveArgs),
    /// Look at configuration, models, keys, data and audit trail, and say what to do about each fault.
    Doctor,
    /// Measure error rates on photos of your own, recommend a threshold, and calibrate.
    Evaluate(EvaluateArgs),
    /// Print all that is held on one employee, as JSON.
    Export(ExportArgs),
    /// Make, list and take back the keys that callers present.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List the pairs of employees whom the encoder finds hardest to tell apart.
    Lookalikes(LookalikesArgs),
    /// Look at an encoder before it serves, or go from one to another.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Put two archives into an empty data folder; whoever was erased since they were made stays so.
    Restore(ArchiveArgs),
    /// Compare every photo of a list with every other, to calibrate or judge a model.
    Score(ScoreArgs),
    /// Run the HTTP service (the default).
    Serve,
}

/// What `backup` writes and `restore` reads.
#[derive(Args, Debug)]
pub struct ArchiveArgs {
    /// The archive of the employees and their sealed templates.
    #[arg(long = "data-archive", value_name = "FILE")]
    pub data: PathBuf,
    /// The archive of the data keys. Keep the newest alone.
    #[arg(long = "key-archive", value_name = "FILE")]
    pub keys: PathBuf,
}

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether any event was changed, moved or taken out since it was written.
    Verify(AuditVerifyArgs),
    /// Print every event, as JSON lines.
    Export,
}

/// What `audit verify` takes.
#[derive(Args, Debug)]
pub struct AuditVerifyArgs {
    /// A head of the trail that was kept elsewhere, as in a receipt: shows too whether the tail was cut off.
    #[arg(long, value_name = "COUNT:CODE")]
    pub head: Option<Head>,
}

/// What `export` takes.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Whose data.
    #[arg(value_parser = EmployeeId::parse)]
    pub employee: EmployeeId,
}

/// The subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once.
    Add(KeysAddArgs),
    /// List the keys by name, role and age.
    List,
    /// Replace the master key: wrap every data key by a new one. The service must not run; after a kill
    /// the same command goes on.
    RotateMaster,
    /// Take a key back; whoever presents it is refused from now on.
    Revoke {
        /// The key's name.
        #[arg(value_parser = KeyName::parse)]
        name: KeyName,
    },
}

/// What `keys add` takes.
#[derive(Args, Debug)]
pub struct KeysAddArgs {
    /// What to call it: a terminal, a program, a person. [default with --first: admin]
    #[arg(value_parser = KeyName::parse, required_unless_present = "first")]
    pub name: Option<KeyName>,
    /// What its holder may do: terminal (verify, identify), enroller (also enrol, compare, look up,
    /// erase), admin (everything), metrics (/metrics alone).
    #[arg(long, value_parser = role, required_unless_present = "first", conflicts_with = "first")]
    pub role: Option<Role>,
    /// Make the first key, an admin's; refused where there is any.
    #[arg(long)]
    pub first: bool,
}

/// The subcommands of `model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show what an ONNX encoder is and whether it can serve; draft its manifest where it has none.
    Check(ModelCheckArgs),
    /// List who must be enrolled again before the former encoder can go.
    Switch,
}

/// What `model check` takes.
#[derive(Args, Debug)]
pub struct ModelCheckArgs {
    /// The ONNX file; its manifest lies beside it, with the ending .toml.
    pub file: PathBuf,
    /// Measure calibration and error rates on labelled photos, DIR/PERSON/*.jpg, and write them into the
    /// manifest. Where how pixels become numbers is still a guess, the usual ways are tried.
    #[arg(long, value_name = "DIR")]
    pub calibrate: Option<PathBuf>,
}

/// What `evaluate` takes.
#[derive(Args, Debug)]
pub struct EvaluateArgs {
    /// Folder of one folder for each person, with their photos: DIR/PERSON/*.jpg, jpeg, png, webp.
    pub dir: PathBuf,
    /// The false match rate that a threshold is wanted for.
    #[arg(long, default_value = "1e-4", value_parser = rate)]
    pub target_fmr: f64,
    /// Where to write the report, one HTML page.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Where to write the calibration that the photos ask for, for --calibration.
    #[arg(long)]
    pub calibration_out: Option<PathBuf>,
}

/// What `lookalikes` takes.
#[derive(Args, Debug)]
pub struct LookalikesArgs {
    /// How many pairs to list.
    #[arg(long, default_value = "10")]
    pub top: usize,
}

/// What `score` takes.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// A file with the path of a photo on each line.
    #[arg(long)]
    pub photos: PathBuf,
    /// Where to write the matrix: N x N little-endian 32-bit floats, row by row; NaN in the rows
    /// and columns of photos that are refused.
    #[arg(long)]
    pub out: PathBuf,
    /// Where to write what was measured of each photo, as CSV: its path, the code that it is refused
    /// with or nothing, each measure, and the reasons that speak against it as a reference.
    #[arg(long)]
    pub quality: Option<PathBuf>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Settings of the service.
#[derive(Args, Debug)]
pub struct Config {
    /// Address and port to listen on. Any address but loopback needs keys (`likeness keys add`).
    #[arg(long, env = "LIKENESS_LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub listen: SocketAddr,

    /// Folder of the database; made where it is missing.
    #[arg(long, env = "LIKENESS_DATA_DIR", default_value = "likeness-data", global = true)]
    pub data_dir: PathBuf,

    /// File of the 32-byte key that seals every template; made at the first start. Keep a copy
    /// apart: without it nothing that is stored can be read. [default: master.key in the data folder]
    #[arg(long, env = "LIKENESS_MASTER_KEY_FILE", global = true)]
    master_key_file: Option<PathBuf>,

    /// Encoder to use in place of the embedded one: an ONNX file with its manifest beside it.
    #[arg(long, env = "LIKENESS_ENCODER", global = true)]
    encoder: Option<PathBuf>,

    /// The encoder before --encoder, which goes on serving those who are not yet enrolled anew; the
    /// word "embedded" means the one of this binary. `likeness model switch` lists them.
    #[arg(long, env = "LIKENESS_FORMER_ENCODER", global = true)]
    former_encoder: Option<PathBuf>,

    /// Detector to use in place of the embedded one: an ONNX file with its manifest beside it.
    #[arg(long, env = "LIKENESS_DETECTOR", global = true)]
    detector: Option<PathBuf>,

    /// Calibration to use in place of the encoder's own: the file that `likeness evaluate` writes.
    #[arg(long, env = "LIKENESS_CALIBRATION", global = true)]
    calibration: Option<PathBuf>,

    /// False match rate that verification is decided at.
    #[arg(long, env = "LIKENESS_VERIFY_FMR", default_value = "1e-4", value_parser = rate, global = true)]
    verify_fmr: f64,

    /// False positive identification rate that identification is decided at.
    #[arg(long, env = "LIKENESS_IDENTIFY_FPIR", default_value = "1e-2", value_parser = rate, global = true)]
    identify_fpir: f64,

    /// Photos worked on at once. [default: the number of cores]
    #[arg(long, env = "LIKENESS_WORKERS", value_parser = 1..=1024_i64, global = true)]
    workers: Option<i64>,

    /// Photos that may wait for a worker; more are answered 503 at once.
    #[arg(long, env = "LIKENESS_QUEUE", default_value = "64", value_parser = 0..=65_536_i64, global = true)]
    queue: i64,

    /// Calls a second that each key may make; more are answered 429.
    #[arg(long, env = "LIKENESS_RATE_LIMIT", default_value = "100", global = true)]
    rate_limit: NonZeroU32,

    /// Days after which an event of the audit trail is dropped.
    #[arg(long, env = "LIKENESS_AUDIT_DAYS", default_value = "365", value_parser = 1..=36_500_i64, global = true)]
    audit_days: i64,

    /// Days after which every enrolment ends at the latest, whatever `expires_at` says; also those that
    /// are there already. [default: none ends by itself]
    #[arg(long, env = "LIKENESS_ENROLMENT_DAYS", value_parser = 1..=36_500_i64, global = true)]
    enrolment_days: Option<i64>,

    /// Seconds from the start of a request to its answer.
    #[arg(long, env = "LIKENESS_REQUEST_TIMEOUT", default_value = "30", value_parser = 1..=3600_i64, global = true)]
    request_timeout: i64,

    /// Seconds that a client may take for its handshake or the head of a request, and say nothing within
    /// a body.
    #[arg(long, env = "LIKENESS_CLIENT_TIMEOUT", default_value = "10", value_parser = 1..=3600_i64, global = true)]
    client_timeout: i64,

    /// Certificate chain (PEM): serves TLS, and nothing else. The file and its key are followed when they change.
    #[arg(long, env = "LIKENESS_TLS_CERT", requires = "tls_key", global = true)]
    tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert (PEM).
    #[arg(long, env = "LIKENESS_TLS_KEY", requires = "tls_cert", global = true)]
    tls_key: Option<PathBuf>,

    /// How logs are written, to standard error.
    #[arg(long, env = "LIKENESS_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// What is logged, in tracing's filter syntax.
    #[arg(long, env = "LIKENESS_LOG", default_value = "info,tract=warn,sqlx=warn", global = true)]
    pub log: String,
}

impl Config {
    /// The engine to load; reads the model files that are named.
    ///
    /// # Errors
    /// Where a named file cannot be read.
    pub fn engine_options(&self) -> anyhow::Result<EngineOptions> {
        let model = |named: &Option<PathBuf>, embedded: fn() -> ModelSource| match named {
            Some(path) => ModelSource::read(path),
            None => Ok(embedded()),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(EngineOptions {
            encoder: model(&self.encoder, ModelSource::embedded_encoder)?,
            former_encoder: match &self.former_encoder {
                Some(word) if word.as_os_str() == "embedded" => {
                    Some(ModelSource::embedded_encoder())
                }
                Some(path) => Some(ModelSource::read(path)?),
                None => None,
            },
            detector: model(&self.detector, ModelSource::embedded_detector)?,
            calibration: self.calibration.as_deref().map(CalibrationSource::read).transpose()?,
            workers: self.workers.map_or(cores, |workers| workers as usize),
            queue: self.queue as usize,
            limits: PhotoLimits::default(),
        })
    }

    /// The HTTP side.
    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            local_without_keys: self.listen.ip().is_loopback(),
            calls_a_second: self.rate_limit,
            request_timeout: Duration::from_secs(self.request_timeout.unsigned_abs()),
            client_timeout: Duration::from_secs(self.client_timeout.unsigned_abs()),
        }
    }

    /// The files of certificate chain and key, if TLS is to be served.
    pub fn tls(&self) -> Option<[PathBuf; 2]> {
        Some([self.tls_cert.clone()?, self.tls_key.clone()?])
    }

    /// What is decided at, and how long an enrolment holds.
    pub fn policy(&self) -> Policy {
        Policy {
            verify_fmr: self.verify_fmr,
            identify_fpir: self.identify_fpir,
            longest_enrolment: self.enrolment_days.map(days),
        }
    }

    /// How long the events of the audit trail are kept.
    pub fn events_kept(&self) -> SignedDuration {
        days(self.audit_days)
    }

    /// Makes the data folder and says where database and master key lie.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn files(&self) -> anyhow::Result<Files> {
        std::fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("the data folder {}", self.data_dir.display()))?;
        let default_key = || self.data_dir.join("master.key");
        let named = self.master_key_file.clone();
        Ok(Files {
            database: self.data_dir.join("likeness.db"),
            lock: self.data_dir.join("lock"),
            key_beside_data: named.is_none(),
            master_key: named.unwrap_or_else(default_key),
        })
    }
}

/// Where the service keeps what it keeps.
#[derive(Debug)]
pub struct Files {
    /// The SQLite file.
    pub database: PathBuf,
    /// Held by the one process that writes.
    pub lock: PathBuf,
    /// The master key file.
    pub master_key: PathBuf,
    /// Whether whoever takes the folder takes the key along.
    pub key_beside_data: bool,
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn role(word: &str) -> Result<Role, String> {
    let words = || Role::ALL.map(Role::as_str).join(", ");
    Role::parse(word).ok_or_else(|| format!("a role is one of {}", words()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if rate > 0.0 && rate < 1.0 { Ok(rate) } else { Err("a rate lies between 0 and 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        Cli::parse_from([&["likeness"], arguments].concat()).config
    }

    #[test]
    fn an_address_that_others_reach_is_never_open() {
        let open = |arguments: &[&str]| config(arguments).http_options().local_without_keys;
        assert!(open(&[]));
        assert!(open(&["--listen", "[::1]:80"]));
        assert!(!open(&["--listen", "0.0.0.0:8080"]));
        assert!(!open(&["--listen", "192.0.2.7:8080"]));
    }

    #[test]
    fn serve_is_the_default_and_takes_the_same_flags() {
        let cli = Cli::parse_from(["likeness", "serve", "--listen", "127.0.0.1:1"]);
        assert!(matches!(cli.command, Some(Command::Serve)));
        assert_eq!(cli.config.listen.port(), 1);
    }
}
