//! What the person who starts the service may say, as flags or environment; `--help` is the reference.

mod commands;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, ValueEnum};
use jiff::SignedDuration;

pub use self::commands::{
    ArchiveArgs, AuditCommand, AuditVerifyArgs, Command, EvaluateArgs, ExportArgs, ImportArgs,
    KeysAddArgs, KeysCommand, LookalikesArgs, MigrateStoreArgs, ModelCheckArgs, ModelCommand,
    ScoreArgs, SyncArgs,
};
use crate::engine::{CalibrationSource, EngineOptions, ModelSource};
use crate::http::HttpOptions;
use crate::photo::PhotoLimits;
use crate::recognizer::Policy;
use crate::store::{DatabaseUrl, Location};

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

    /// Folder of the database. `serve`, `import`, `restore` and `keys add --first` create it where it is missing.
    #[arg(long, env = "LIKENESS_DATA_DIR", default_value = "likeness-data", global = true)]
    pub data_dir: PathBuf,

    /// PostgreSQL in place of SQLite files, for several replicas: `postgres://USER:PASSWORD@HOST/DATABASE`. Its
    /// tables are in the schema `likeness`. Give all replicas the same master key and settings.
    #[arg(long, env = "LIKENESS_DATABASE", hide_env_values = true, global = true)]
    database: Option<DatabaseUrl>,

    /// Another database for the data keys, outside the backups of --database. [default: the schema
    /// `likeness_keys` of --database]
    #[arg(long, env = "LIKENESS_KEY_DATABASE", hide_env_values = true, global = true)]
    key_database: Option<DatabaseUrl>,

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

    /// Network to use in place of the embedded one that looks closer at each face that the detector finds: an ONNX file with
    /// its manifest beside it; the word "none" lets the detector be believed.
    #[arg(long, env = "LIKENESS_LANDMARKS", global = true)]
    landmarks: Option<PathBuf>,

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

    /// Photos under way beside those worked on, waiting for a worker or for what was decided to be written down;
    /// more are answered 503 at once. [default: one for every two workers, so that an answer comes soon or not at all]
    #[arg(long, env = "LIKENESS_QUEUE", value_parser = 0..=65_536_i64, global = true)]
    queue: Option<i64>,

    /// Calls a second that each API key may make; more are answered 429.
    #[arg(long, env = "LIKENESS_RATE_LIMIT", default_value = "100", global = true)]
    rate_limit: NonZeroU32,

    /// Requests a second from each address, before a key is looked at; more are answered 429. Behind a proxy all
    /// clients share one address.
    #[arg(long, env = "LIKENESS_ADDRESS_RATE_LIMIT", default_value = "1000", global = true)]
    address_rate_limit: NonZeroU32,

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

    /// Address of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`: each
    /// request becomes a trace there. [default: nobody is told]
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,
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
        let workers = self.workers.map_or(cores, |workers| workers as usize);
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
            landmarks: match &self.landmarks {
                Some(word) if word.as_os_str() == "none" => None,
                named => Some(model(named, ModelSource::embedded_landmarks)?),
            },
            calibration: self.calibration.as_deref().map(CalibrationSource::read).transpose()?,
            workers,
            queue: self.queue.map_or(workers.div_ceil(2), |queue| queue as usize),
            limits: PhotoLimits::default(),
        })
    }

    /// The HTTP side.
    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            calls_a_second: self.rate_limit,
            requests_a_second: self.address_rate_limit,
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

    /// Returns where store and master key lie; creates nothing.
    ///
    /// # Errors
    /// Where the settings contradict each other.
    pub fn files(&self) -> anyhow::Result<Files> {
        let files = self.files_at(&self.data_dir.join("likeness.db"))?;
        let location = match (&self.database, &self.key_database) {
            (None, None) => return Ok(files),
            (None, Some(_)) => bail!("--key-database goes with --database"),
            (Some(data), keys) => {
                let keys = keys.as_ref().unwrap_or(data).clone();
                Location::Server { data: data.clone(), keys }
            }
        };
        Ok(Files { location, key_beside_data: false, ..files })
    }

    /// The same for a SQLite file, wherever it lies.
    ///
    /// # Errors
    /// Where the path has no folder.
    pub fn files_at(&self, database: &Path) -> anyhow::Result<Files> {
        let folder = database.parent().context("a database lies in a folder")?;
        let named = self.master_key_file.clone();
        Ok(Files {
            location: Location::File(database.to_owned()),
            lock: folder.join("lock"),
            key_beside_data: named.is_none(),
            master_key: named.unwrap_or_else(|| folder.join("master.key")),
        })
    }

    /// Another database for the data keys.
    pub fn key_database(&self) -> Option<&DatabaseUrl> {
        self.key_database.as_ref()
    }
}

/// Where the service keeps what it keeps.
#[derive(Debug)]
pub struct Files {
    /// The store.
    pub location: Location,
    /// Held by the one process that writes to SQLite files.
    pub lock: PathBuf,
    /// The master key file.
    pub master_key: PathBuf,
    /// Whether whoever takes the folder takes the key along.
    pub key_beside_data: bool,
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if rate > 0.0 && rate < 1.0 { Ok(rate) } else { Err("a rate lies between 0 and 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_is_the_default_and_takes_the_same_flags() {
        let cli = Cli::parse_from(["likeness", "serve", "--listen", "127.0.0.1:1"]);
        assert!(matches!(cli.command, Some(Command::Serve)));
        assert_eq!(cli.config.listen.port(), 1);
    }
}
