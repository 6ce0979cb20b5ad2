//! Command-line flags and environment variables; `--help` is the reference.

mod commands;
mod help;
mod pad;

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
    ScoreArgs, ServerArgs, SyncArgs,
};
pub use self::pad::PadArgs;
use crate::engine::{CalibrationSource, EngineOptions, ModelSource, PadOptions, Precision};
use crate::http::HttpOptions;
use crate::photo::PhotoLimits;
use crate::recognizer::{GalleryThresholds, Policy};
use crate::store::{DatabaseUrl, Location};

/// Self-hosted face verification and identification for organizations.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// Command to run [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the service.
    #[command(flatten)]
    pub config: Config,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
    Text,
}

/// Settings of the service. The help of each command shows those that it uses, by the table in `config/help.rs`.
#[derive(Args, Debug)]
pub struct Config {
    /// Address and port to listen on. An address other than loopback requires an API key (`likeness
    /// keys add --first`).
    #[arg(
        long,
        env = "LIKENESS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT"
    )]
    #[arg(global = true, help_heading = "Server")]
    pub listen: SocketAddr,

    /// TLS certificate chain (PEM). The service then accepts TLS only; the files are reloaded when
    /// they change.
    #[arg(long, env = "LIKENESS_TLS_CERT", requires = "tls_key", value_name = "FILE")]
    #[arg(global = true, help_heading = "Server")]
    tls_cert: Option<PathBuf>,

    /// Private key for --tls-cert (PEM).
    #[arg(long, env = "LIKENESS_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
    #[arg(global = true, help_heading = "Server")]
    tls_key: Option<PathBuf>,

    /// Data directory. `serve`, `import`, `restore` and `keys add --first` create it if it does not
    /// exist.
    #[arg(long, env = "LIKENESS_DATA_DIR", default_value = "likeness-data", value_name = "DIR")]
    #[arg(global = true, help_heading = "Storage")]
    pub data_dir: PathBuf,

    /// PostgreSQL database to use instead of SQLite files, for several replicas:
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. Tables are created in the schema `likeness`. All
    /// replicas need the same master key and settings.
    #[arg(long, env = "LIKENESS_DATABASE", hide_env_values = true, value_name = "URL")]
    #[arg(global = true, help_heading = "Storage")]
    database: Option<DatabaseUrl>,

    /// Separate PostgreSQL database for the data keys, to keep them out of the backups of
    /// --database. [default: the schema `likeness_keys` of --database]
    #[arg(long, env = "LIKENESS_KEY_DATABASE", hide_env_values = true, value_name = "URL")]
    #[arg(global = true, help_heading = "Storage")]
    key_database: Option<DatabaseUrl>,

    /// File of the 32-byte master key, which encrypts every template. It is created at the first
    /// start. Keep a separate copy: without the key, stored data cannot be decrypted. [default:
    /// master.key in the data directory]
    #[arg(long, env = "LIKENESS_MASTER_KEY_FILE", value_name = "FILE")]
    #[arg(global = true, help_heading = "Storage")]
    master_key_file: Option<PathBuf>,

    /// Face encoder to use instead of the embedded one: an ONNX file with its manifest (.toml) in
    /// the same directory.
    #[arg(long, env = "LIKENESS_ENCODER", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    encoder: Option<PathBuf>,

    /// Previous encoder, kept in use for employees not yet re-enrolled with --encoder; `embedded`
    /// selects the embedded one. `likeness model switch` lists these employees.
    #[arg(long, env = "LIKENESS_FORMER_ENCODER", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    former_encoder: Option<PathBuf>,

    /// Arithmetic of --encoder: `bytes` runs a float network in 8 bits by the ranges in its
    /// manifest, `float` does not. Templates of one are not compared with those of the other.
    /// [default: `bytes` if the manifest has ranges, else `float`]
    #[arg(long, env = "LIKENESS_PRECISION", value_name = "PRECISION", value_parser = precision)]
    #[arg(global = true, help_heading = "Models")]
    precision: Option<Precision>,

    /// Arithmetic of --former-encoder, as --precision.
    #[arg(long, env = "LIKENESS_FORMER_PRECISION", value_name = "PRECISION")]
    #[arg(value_parser = precision, global = true, help_heading = "Models")]
    former_precision: Option<Precision>,

    /// Face detector to use instead of the embedded one: an ONNX file with its manifest (.toml) in
    /// the same directory.
    #[arg(long, env = "LIKENESS_DETECTOR", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    detector: Option<PathBuf>,

    /// Landmark refiner to use instead of the embedded one: an ONNX file with its manifest (.toml)
    /// in the same directory; `none` uses the detector's landmarks.
    #[arg(long, env = "LIKENESS_LANDMARKS", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    landmarks: Option<PathBuf>,

    /// Score calibration to use instead of the encoder's own: a file written by `likeness evaluate
    /// --calibration-out`.
    #[arg(long, env = "LIKENESS_CALIBRATION", value_name = "FILE")]
    #[arg(global = true, help_heading = "Models")]
    calibration: Option<PathBuf>,

    /// Presentation attack detection.
    #[command(flatten)]
    pub pad: PadArgs,

    /// Target false match rate (FMR) of verification.
    #[arg(long, env = "LIKENESS_VERIFY_FMR", default_value = "1e-4", value_parser = rate)]
    #[arg(value_name = "RATE", global = true, help_heading = "Decision")]
    verify_fmr: f64,

    /// Target false positive identification rate (FPIR) of identification.
    #[arg(long, env = "LIKENESS_IDENTIFY_FPIR", default_value = "1e-2", value_parser = rate)]
    #[arg(value_name = "RATE", global = true, help_heading = "Decision")]
    identify_fpir: f64,

    /// Whether thresholds are fitted to the people enrolled, once there are 50: `stricter` if these are harder to tell
    /// apart than the people of the encoder's error rates, `always` also if they are easier, or `off`.
    #[arg(
        long,
        env = "LIKENESS_GALLERY_THRESHOLDS",
        default_value = "stricter",
        value_name = "WHEN"
    )]
    #[arg(value_parser = gallery_thresholds, global = true, help_heading = "Decision")]
    gallery_thresholds: GalleryThresholds,

    /// Accept presentation sessions (experimental): a client asks a person to turn the head, and the service judges the
    /// frames before it compares one of them.
    #[arg(long, env = "LIKENESS_PRESENTATION_SESSIONS", global = true, help_heading = "Decision")]
    presentation_sessions: bool,

    /// Number of photos processed in parallel. [default: number of CPU cores]
    #[arg(long, env = "LIKENESS_WORKERS", value_parser = 1..=1024_i64, value_name = "N")]
    #[arg(global = true, help_heading = "Limits")]
    workers: Option<i64>,

    /// Number of further photos admitted to wait for a worker or for the audit event to be
    /// committed; requests beyond that receive 503. [default: half the number of workers]
    #[arg(long, env = "LIKENESS_QUEUE", value_parser = 0..=65_536_i64, value_name = "N")]
    #[arg(global = true, help_heading = "Limits")]
    queue: Option<i64>,

    /// Requests per second allowed for each API key; requests beyond that receive 429.
    #[arg(long, env = "LIKENESS_RATE_LIMIT", default_value = "100", value_name = "N")]
    #[arg(global = true, help_heading = "Limits")]
    rate_limit: NonZeroU32,

    /// Requests per second allowed for each client address, before authentication; requests beyond
    /// that receive 429. Behind a proxy, all clients share one address.
    #[arg(long, env = "LIKENESS_ADDRESS_RATE_LIMIT", default_value = "1000", value_name = "N")]
    #[arg(global = true, help_heading = "Limits")]
    address_rate_limit: NonZeroU32,

    /// Time limit for a request, from its start to the response, in seconds.
    #[arg(long, env = "LIKENESS_REQUEST_TIMEOUT", default_value = "30", value_name = "SECONDS")]
    #[arg(value_parser = 1..=3600_i64, global = true, help_heading = "Limits")]
    request_timeout: i64,

    /// Time limit for the TLS handshake and the request head, and idle timeout while reading a
    /// request body, in seconds.
    #[arg(long, env = "LIKENESS_CLIENT_TIMEOUT", default_value = "10", value_name = "SECONDS")]
    #[arg(value_parser = 1..=3600_i64, global = true, help_heading = "Limits")]
    client_timeout: i64,

    /// Retention period of audit events, in days.
    #[arg(long, env = "LIKENESS_AUDIT_DAYS", default_value = "365", value_name = "DAYS")]
    #[arg(value_parser = 1..=36_500_i64, global = true, help_heading = "Retention")]
    audit_days: i64,

    /// Maximum lifetime of an enrollment, in days, regardless of `expires_at`. It also applies to
    /// existing enrollments. [default: unlimited]
    #[arg(long, env = "LIKENESS_ENROLLMENT_DAYS", value_name = "DAYS")]
    #[arg(value_parser = 1..=36_500_i64, global = true, help_heading = "Retention")]
    enrollment_days: Option<i64>,

    /// The former name of --enrollment-days.
    #[arg(long, env = "LIKENESS_ENROLMENT_DAYS", value_parser = 1..=36_500_i64)]
    #[arg(global = true, hide = true)]
    enrolment_days: Option<i64>,

    /// Log filter, in the syntax of tracing's `EnvFilter`.
    #[arg(long, env = "LIKENESS_LOG", default_value = "info,tract=warn,sqlx=warn")]
    #[arg(value_name = "FILTER", global = true, help_heading = "Logging")]
    pub log: String,

    /// Format of the log, which is written to standard error.
    #[arg(long, env = "LIKENESS_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    #[arg(global = true, help_heading = "Logging")]
    pub log_format: LogFormat,

    /// OpenTelemetry collector that receives a trace of each request by OTLP over HTTP, such as
    /// `http://127.0.0.1:4318`. [default: no traces]
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    #[arg(global = true, help_heading = "Logging")]
    pub otlp_endpoint: Option<String>,
}

impl Config {
    /// Returns the engine's options without presentation attack detection; reads the configured model files.
    ///
    /// # Errors
    /// If a model file cannot be read.
    pub fn engine_options(&self) -> anyhow::Result<EngineOptions> {
        let model = |named: &Option<PathBuf>, embedded: fn() -> ModelSource| match named {
            Some(path) => ModelSource::read(path),
            None => Ok(embedded()),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.map_or(cores, |workers| workers as usize);
        Ok(EngineOptions {
            encoder: model(&self.encoder, ModelSource::embedded_encoder)?
                .in_precision(self.precision),
            former_encoder: match &self.former_encoder {
                Some(word) if word.as_os_str() == "embedded" => {
                    Some(ModelSource::embedded_encoder().in_precision(self.former_precision))
                }
                Some(path) => Some(ModelSource::read(path)?.in_precision(self.former_precision)),
                None => None,
            },
            detector: model(&self.detector, ModelSource::embedded_detector)?,
            landmarks: match &self.landmarks {
                Some(word) if word.as_os_str() == "none" => None,
                named => Some(model(named, ModelSource::embedded_landmarks)?),
            },
            calibration: self.calibration.as_deref().map(CalibrationSource::read).transpose()?,
            pad: None,
            workers,
            queue: self.queue.map_or(workers.div_ceil(2), |queue| queue as usize),
            limits: PhotoLimits::default(),
        })
    }

    /// Returns the options of presentation attack detection, unless it is off; reads its files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn pad_options(&self) -> anyhow::Result<Option<PadOptions>> {
        self.pad.options(&self.data_dir)
    }

    /// Returns the precision of the encoder, if it was chosen.
    pub fn precision(&self) -> Option<Precision> {
        self.precision
    }

    /// Returns the options of the HTTP server.
    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            calls_a_second: self.rate_limit,
            requests_a_second: self.address_rate_limit,
            request_timeout: Duration::from_secs(self.request_timeout.unsigned_abs()),
            client_timeout: Duration::from_secs(self.client_timeout.unsigned_abs()),
        }
    }

    /// Returns the paths of certificate chain and key, if TLS is configured.
    pub fn tls(&self) -> Option<[PathBuf; 2]> {
        Some([self.tls_cert.clone()?, self.tls_key.clone()?])
    }

    /// Returns the error rates of decisions, and the lifetime of enrollments.
    pub fn policy(&self) -> Policy {
        Policy {
            verify_fmr: self.verify_fmr,
            identify_fpir: self.identify_fpir,
            gallery_thresholds: self.gallery_thresholds,
            presentation: self.pad.pad_mode,
            presentation_sessions: self.presentation_sessions,
            longest_enrollment: self.enrollment_days.or(self.enrolment_days).map(days),
        }
    }

    /// Returns the retention period of audit events.
    pub fn events_kept(&self) -> SignedDuration {
        days(self.audit_days)
    }

    /// Returns the locations of store and master key; creates nothing.
    ///
    /// # Errors
    /// If the settings contradict each other.
    pub fn files(&self) -> anyhow::Result<Files> {
        let files = self.files_at(&self.data_dir.join("likeness.db"))?;
        let location = match (&self.database, &self.key_database) {
            (None, None) => return Ok(files),
            (None, Some(_)) => bail!("--key-database requires --database"),
            (Some(data), keys) => {
                let keys = keys.as_ref().unwrap_or(data).clone();
                Location::Server { data: data.clone(), keys }
            }
        };
        Ok(Files { location, key_beside_data: false, ..files })
    }

    /// Returns the same for the SQLite file `database`.
    ///
    /// # Errors
    /// If it has no parent directory.
    pub fn files_at(&self, database: &Path) -> anyhow::Result<Files> {
        let folder = database.parent().context("the path of the database has no directory")?;
        let named = self.master_key_file.clone();
        Ok(Files {
            location: Location::File(database.to_owned()),
            lock: folder.join("lock"),
            key_beside_data: named.is_none(),
            master_key: named.unwrap_or_else(|| folder.join("master.key")),
        })
    }

    /// Returns the separate database of the data keys.
    pub fn key_database(&self) -> Option<&DatabaseUrl> {
        self.key_database.as_ref()
    }
}

/// The locations of the service's data.
#[derive(Debug)]
pub struct Files {
    /// The store.
    pub location: Location,
    /// The lock file of the process that writes to SQLite files.
    pub lock: PathBuf,
    /// The master key file.
    pub master_key: PathBuf,
    /// Whether the master key is in the data directory.
    pub key_beside_data: bool,
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn gallery_thresholds(text: &str) -> Result<GalleryThresholds, String> {
    match text {
        "always" => Ok(GalleryThresholds::Always),
        "off" => Ok(GalleryThresholds::Off),
        "stricter" => Ok(GalleryThresholds::Stricter),
        _ => Err("expected stricter, always or off".to_owned()),
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "float" => Ok(Precision::Float),
        "bytes" => Ok(Precision::Bytes),
        _ => Err("expected float or bytes".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if rate > 0.0 && rate < 1.0 {
        Ok(rate)
    } else {
        Err("a rate must be between 0 and 1, exclusive".to_owned())
    }
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

    #[test]
    fn the_former_name_of_a_flag_is_accepted() {
        for flag in ["--enrollment-days", "--enrolment-days"] {
            let cli = Cli::parse_from(["likeness", flag, "400"]);
            assert_eq!(cli.config.policy().longest_enrollment, Some(days(400)), "{flag}");
        }
    }
}
