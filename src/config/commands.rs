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
    /// Ask the running service at `--listen` whether it is ready; over TLS only whether it is there.
    Health,
    /// Enrol everyone of a folder or table of photos; the service must not run. Given again it goes on.
    Import(ImportArgs),
    /// Make, list and take back the keys that callers present.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List the pairs of employees whom the encoder finds hardest to tell apart.
    Lookalikes(LookalikesArgs),
    /// Copy the SQLite files of a service that is stopped into PostgreSQL. Given again it goes on.
    MigrateStore(MigrateStoreArgs),
    /// Look at an encoder before it serves, or go from one to another.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Put two archives into an empty data folder; whoever was erased since they were made stays so.
    Restore(ArchiveArgs),
    /// Compare every photo of a list with every other, to calibrate or judge a model.
    Score(ScoreArgs),
    /// Run the HTTP service (the default).
    Serve,
    /// Make the enrolled those of a table: enrol joiners, erase leavers. The service must not run.
    Sync(SyncArgs),
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

/// What `import` takes.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A folder of photos, each named by its employee (e-17.jpg), or a CSV file with the columns `employee_id`,
    /// photo and, where wanted, `expires_at`.
    pub from: PathBuf,
    /// Look at everything and store nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What `sync` takes.
#[derive(Args, Debug)]
pub struct SyncArgs {
    /// A CSV file of all staff: `employee_id` and, for joiners, photo and `expires_at`.
    pub staff: PathBuf,
    /// Show the plan and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Agree to the plan beforehand.
    #[arg(long)]
    pub yes: bool,
    /// Erase up to so many, where they are more than ten or one in twenty.
    #[arg(long, value_name = "N", default_value = "0")]
    pub allow_erase: usize,
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

/// What `migrate-store` takes.
#[derive(Args, Debug)]
pub struct MigrateStoreArgs {
    /// The SQLite file, `sqlite://PATH/likeness.db`; its data keys lie beside it.
    #[arg(value_parser = sqlite_file)]
    pub from: PathBuf,
    /// An empty database, `postgres://USER:PASSWORD@HOST/DATABASE`; the data keys go to --key-database, where that
    /// is given.
    pub to: DatabaseUrl,
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

fn sqlite_file(url: &str) -> Result<PathBuf, &'static str> {
    let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or("files are named as sqlite://PATH/likeness.db")
}

fn role(word: &str) -> Result<Role, String> {
    let words = || Role::ALL.map(Role::as_str).join(", ");
    Role::parse(word).ok_or_else(|| format!("a role is one of {}", words()))
}
