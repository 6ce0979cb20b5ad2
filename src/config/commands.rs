//! The subcommands and what each of them takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::rate;
use crate::access::{KeyName, Role};
use crate::audit::Head;
use crate::employee::EmployeeId;
use crate::store::DatabaseUrl;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify or export the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Back up the database and the data keys to two archives. The service may be running.
    Backup(ArchiveArgs),
    /// Check the configuration, models, keys, data and audit trail, and suggest fixes.
    Doctor,
    /// Measure error rates on your own photos, recommend a threshold and calibrate scores.
    Evaluate(EvaluateArgs),
    /// Print all data stored about one employee, as JSON.
    Export(ExportArgs),
    /// Check that the service at --listen is ready; with TLS, only that it accepts connections.
    Health,
    /// Enroll a folder or CSV of photos, through the service if it runs. Safe to rerun: resumes where
    /// it stopped.
    Import(ImportArgs),
    /// Create, list and revoke API keys, and rotate the master key.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List the pairs of employees with the highest similarity to each other.
    Lookalikes(LookalikesArgs),
    /// Copy SQLite files to PostgreSQL. Safe to rerun: resumes where it stopped. Stop the service
    /// first.
    MigrateStore(MigrateStoreArgs),
    /// Check an encoder before using it, or follow the move to a new encoder.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Restore two archives into an empty data directory. Employees erased after the backup stay
    /// erased.
    Restore(ArchiveArgs),
    /// Compare all photos of a list with each other, to calibrate or evaluate a model.
    Score(ScoreArgs),
    /// Run the HTTP service (default).
    Serve,
    /// Synchronize enrollments with a CSV staff list, through the service if it runs: enroll joiners,
    /// erase leavers.
    Sync(SyncArgs),
}

/// Arguments of `backup` and `restore`.
#[derive(Args, Debug)]
pub struct ArchiveArgs {
    /// Archive of the database: employees and their encrypted templates.
    #[arg(long = "data-archive", value_name = "FILE")]
    pub data: PathBuf,
    /// Archive of the data keys. Keep only the newest one.
    #[arg(long = "key-archive", value_name = "FILE")]
    pub keys: PathBuf,
}

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify that no event was changed, reordered or removed.
    Verify(AuditVerifyArgs),
    /// Print all events as JSON lines.
    Export,
}

/// Arguments of `audit verify`.
#[derive(Args, Debug)]
pub struct AuditVerifyArgs {
    /// Earlier head of the trail, kept elsewhere or taken from a receipt: also verifies that no
    /// events were cut off the end.
    #[arg(long, value_name = "COUNT:MAC")]
    pub head: Option<Head>,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Employee whose data to print.
    #[arg(value_parser = EmployeeId::parse)]
    pub employee: EmployeeId,
}

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Folder of photos named by employee ID (e-17.jpg), or a CSV file with the columns
    /// `employee_id`, `photo` and optionally `expires_at`.
    pub from: PathBuf,
    /// Check all photos without storing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// The service to enroll in.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Arguments of `sync`.
#[derive(Args, Debug)]
pub struct SyncArgs {
    /// CSV file of all staff with the column `employee_id` and, for joiners, `photo` and
    /// optionally `expires_at`.
    pub staff: PathBuf,
    /// Print the plan without applying it.
    #[arg(long)]
    pub dry_run: bool,
    /// Apply the plan without asking for confirmation.
    #[arg(long)]
    pub yes: bool,
    /// Maximum number of employees to erase if the plan would erase more than ten or more than 5 %
    /// of all.
    #[arg(long, value_name = "N", default_value = "0")]
    pub allow_erase: usize,
    /// The service to synchronize.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The service that `import` and `sync` use.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// URL of a running service to use. [default: the service that uses --data-dir; if none runs, the
    /// files in --data-dir]
    #[arg(long, value_name = "URL", requires = "key_file")]
    pub server: Option<String>,
    /// File with an API key of the role enroller or admin for --server: the key alone, or the line
    /// `Authorization: Bearer KEY`.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust instead of the system's, for a --server with a certificate of
    /// your own.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub server_ca: Option<PathBuf>,
}

/// The subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create an API key and print it; it cannot be shown again.
    Add(KeysAddArgs),
    /// List the API keys with name, role and creation time.
    List,
    /// Replace the master key and rewrap all data keys. Safe to rerun: resumes where it stopped.
    /// Stop the service first.
    RotateMaster,
    /// Revoke an API key.
    Revoke {
        /// Name of the key.
        #[arg(value_parser = KeyName::parse)]
        name: KeyName,
    },
}

/// Arguments of `keys add`.
#[derive(Args, Debug)]
pub struct KeysAddArgs {
    /// Name of the key, such as the terminal, program or person that uses it. [default with
    /// --first: admin]
    #[arg(value_parser = KeyName::parse, required_unless_present = "first")]
    pub name: Option<KeyName>,
    /// Role of the key: terminal (verify, identify), enroller (also enroll, compare, look up,
    /// erase), admin (everything) or metrics (/metrics only).
    #[arg(long, value_parser = role, required_unless_present = "first", conflicts_with = "first")]
    pub role: Option<Role>,
    /// Create the first key, with the role admin. Fails if there is a key.
    #[arg(long)]
    pub first: bool,
}

/// Arguments of `migrate-store`.
#[derive(Args, Debug)]
pub struct MigrateStoreArgs {
    /// SQLite database to copy, `sqlite://PATH/likeness.db`, with data-keys.db in the same
    /// directory.
    #[arg(value_parser = sqlite_file)]
    pub from: PathBuf,
    /// Empty PostgreSQL database, `postgres://USER:PASSWORD@HOST/DATABASE`. The data keys are
    /// copied to --key-database if it is set.
    pub to: DatabaseUrl,
}

/// The subcommands of `model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Inspect an ONNX encoder, or a network for presentation attack detection, and check that it
    /// can be used; write a draft manifest if it has none.
    Check(ModelCheckArgs),
    /// List the employees to re-enroll before the former encoder can be removed.
    Switch,
}

/// Arguments of `model check`.
#[derive(Args, Debug)]
pub struct ModelCheckArgs {
    /// ONNX file. Its manifest has the same name with the extension .toml.
    pub file: PathBuf,
    /// The network is one for presentation attack detection.
    #[arg(id = "presentations", long = "pad")]
    pub presentations: bool,
    /// Measure calibration and error rates on labeled photos, DIR/PERSON/*.jpg, and write them to
    /// the manifest. If the manifest is a draft, the usual input normalizations are tried. With --pad:
    /// measure the ranges of the network's maps on photos laid out as for `evaluate --pad`, so that
    /// it runs in 8 bits.
    #[arg(long, value_name = "DIR")]
    pub calibrate: Option<PathBuf>,
}

/// Arguments of `evaluate`.
#[derive(Args, Debug)]
pub struct EvaluateArgs {
    /// Directory with one subdirectory of photos per person: DIR/PERSON/*.jpg, jpeg, png, webp. With
    /// --pad: DIR/live/*.jpg and, if there are any, DIR/attack/INSTRUMENT/*.jpg.
    pub dir: PathBuf,
    /// Measure presentation attack detection instead of the encoder: fit a threshold to the photos
    /// of live people, and count which attacks pass it.
    #[arg(id = "presentations", long = "pad")]
    #[arg(conflicts_with_all = ["report", "groups", "det"])]
    pub presentations: bool,
    /// With --pad: write the score of each photo to this CSV file.
    #[arg(long, requires = "presentations", value_name = "FILE")]
    pub pad_scores: Option<PathBuf>,
    /// Target false match rate of the recommended threshold.
    #[arg(long, default_value = "1e-4", value_parser = rate, value_name = "RATE")]
    pub target_fmr: f64,
    /// Write a report to this file, as one HTML page.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the calibration measured on these photos to this file, for use with --calibration or,
    /// with --pad, with --pad-calibration.
    #[arg(long, value_name = "FILE")]
    pub calibration_out: Option<PathBuf>,
    /// Measure error rates by group of people: CSV file with the column `person` (a subdirectory
    /// of DIR) and a column for each grouping, such as sex or site.
    #[arg(long, value_name = "FILE")]
    pub groups: Option<PathBuf>,
    /// Write the points of the DET curve to this CSV file: threshold, FMR and FNMR, also by group.
    #[arg(long, value_name = "FILE")]
    pub det: Option<PathBuf>,
}

/// Arguments of `lookalikes`.
#[derive(Args, Debug)]
pub struct LookalikesArgs {
    /// Number of pairs to list.
    #[arg(long, default_value = "10", value_name = "N")]
    pub top: usize,
}

/// Arguments of `score`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// File with one path of a photo per line.
    #[arg(long, value_name = "FILE")]
    pub photos: PathBuf,
    /// Output file of the score matrix: N x N little-endian 32-bit floats, row by row (references)
    /// with NaN in the rows and columns of refused photos.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Output CSV file of photo quality: path, error code if the photo is refused, quality
    /// measures, and reasons why it is unsuitable as a reference.
    #[arg(long, value_name = "FILE")]
    pub quality: Option<PathBuf>,
}

fn sqlite_file(url: &str) -> Result<PathBuf, &'static str> {
    let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or("expected sqlite://PATH/likeness.db")
}

fn role(word: &str) -> Result<Role, String> {
    let words = || Role::ALL.map(Role::as_str).join(", ");
    Role::parse(word).ok_or_else(|| format!("expected one of {}", words()))
}
