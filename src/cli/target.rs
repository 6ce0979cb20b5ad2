//! Where `import` and `sync` enroll: in the files of the data directory, or in a running service.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::InUse;
use super::announcement::Announcement;
use super::client::{Client, Slot, Window};
use super::staff::{Enrollee, Joiner, Tried};
use crate::access::LocalCredential;
use crate::audit::Actor;
use crate::config::{Config, ServerArgs};
use crate::employee::EmployeeId;
use crate::recognizer::{Call, Code, EnrollmentOptions, Error, Recognizer, bounded_expiry};
use crate::store::Store;

/// Employees in one page.
const PAGE: u32 = 1000;

/// The place of the enrollments.
pub(super) enum Target {
    /// The data directory or PostgreSQL, opened by this process.
    Files(Box<Opened>),
    /// A running service.
    Service(Box<Running>),
}

/// The opened store and models.
pub(super) struct Opened {
    pub(super) recognizer: Recognizer,
    store: Store,
    window: Window,
    _lock: Option<File>,
}

/// A running service, and who was enrolled when the command started.
pub(super) struct Running {
    client: Client,
    enrolled: Vec<Enrollee>,
    ids: HashSet<EmployeeId>,
    longest_enrollment: Option<SignedDuration>,
}

/// What to do if the location of the data contains none.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoDataYet {
    Create,
    Refuse,
}

impl Target {
    /// Connects to the named service or, without one, to the service that holds the lock of the data
    /// directory. If there is none, opens the data.
    ///
    /// # Errors
    /// If neither is possible.
    pub(super) async fn open(
        config: Config,
        server: &ServerArgs,
        no_data_yet: NoDataYet,
    ) -> anyhow::Result<Self> {
        if let (Some(url), Some(key_file)) = (&server.server, &server.key_file) {
            let client = Client::connect(url, key_file, server.server_ca.as_deref()).await?;
            return Self::running(client, &config).await;
        }
        let files = match no_data_yet {
            NoDataYet::Create => super::create_data_directory(&config)?,
            NoDataYet::Refuse => super::existing_data(&config).await?,
        };
        let lock = match super::lock(&files) {
            Err(error) if error.is::<InUse>() => {
                let client = holder(&config.data_dir).await?.ok_or(error)?;
                let folder = config.data_dir.display();
                eprintln!("using the service at {}, which serves {folder}", client.url());
                return Self::running(client, &config).await;
            }
            lock => lock?,
        };
        Self::opened(config, lock).await
    }

    async fn opened(config: Config, lock: Option<File>) -> anyhow::Result<Self> {
        let (store, recognizer) = super::open(config, None).await?;
        let window = Window::fixed(recognizer.at_once());
        Ok(Self::Files(Box::new(Opened { recognizer, store, window, _lock: lock })))
    }

    async fn running(client: Client, config: &Config) -> anyhow::Result<Self> {
        let mut enrolled = client.everybody().await?;
        // The service erases them within seconds, and at the latest when they are enrolled anew.
        let now = super::wall_clock();
        enrolled.retain(|enrolled| enrolled.expires_at.is_none_or(|end| end > now));
        let ids = enrolled.iter().map(|enrolled| enrolled.employee.clone()).collect();
        let longest_enrollment = config.policy().longest_enrollment;
        Ok(Self::Service(Box::new(Running { client, enrolled, ids, longest_enrollment })))
    }

    /// Returns the window of photos in flight.
    pub(super) fn window(&self) -> &Window {
        match self {
            Self::Files(files) => &files.window,
            Self::Service(service) => service.client.window(),
        }
    }

    /// Enrolls an employee; in a dry run, returns what would happen.
    ///
    /// # Errors
    /// If the service fails.
    pub(super) async fn enroll(
        &self,
        joiner: &Joiner,
        photo: Vec<u8>,
        dry_run: bool,
        slot: &Slot,
    ) -> anyhow::Result<Tried> {
        match self {
            Self::Files(files) => files.enroll(joiner, photo.into(), dry_run).await,
            // Saves the upload; the service decides.
            Self::Service(service) if service.ids.contains(&joiner.employee) => Ok(Tried::Already),
            Self::Service(service) if dry_run => service.client.check(&photo, slot).await,
            Self::Service(service) => service.client.enroll(joiner, &photo, slot).await,
        }
    }

    /// Returns all enrolled employees; from files, those whose enrollment has expired may be among
    /// them.
    ///
    /// # Errors
    /// If the service fails.
    pub(super) async fn everybody(&self) -> anyhow::Result<Vec<Enrollee>> {
        match self {
            Self::Files(files) => files.everybody().await,
            Self::Service(service) => Ok(service.enrolled.clone()),
        }
    }

    /// Returns the expiry that an enrollment gets if the table asks for `asked`.
    pub(super) fn expiry_of(
        &self,
        enrolled: &Enrollee,
        asked: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let longest = match self {
            Self::Files(files) => files.recognizer.longest_enrollment(),
            Self::Service(service) => service.longest_enrollment,
        };
        bounded_expiry(enrolled.enrolled_at, asked, longest)
    }

    /// Erases expired enrollments; a running service does so by itself.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn erase_expired(&self, now: Timestamp) -> anyhow::Result<()> {
        if let Self::Files(files) = self {
            files.recognizer.erase_expired(now).await?;
        }
        Ok(())
    }

    /// Changes or removes the expiry of an enrollment.
    ///
    /// # Errors
    /// If the store fails; a service can't change it.
    pub(super) async fn change_expiry(
        &self,
        employee: &EmployeeId,
        expires_at: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Files(files) => {
                Ok(files.recognizer.change_expiry(employee, expires_at, &call()).await?)
            }
            Self::Service(_) => bail!("a service can't change it"),
        }
    }

    /// Erases an employee.
    ///
    /// # Errors
    /// If the service fails.
    pub(super) async fn erase(&self, employee: EmployeeId) -> anyhow::Result<()> {
        match self {
            Self::Files(files) => {
                files.recognizer.erase(employee, &call()).await?;
                Ok(())
            }
            Self::Service(service) => service.client.erase(&employee).await,
        }
    }

    /// Writes what waits to be written.
    pub(super) async fn close(&self) {
        if let Self::Files(files) = self {
            files.recognizer.end().await;
            files.store.close().await;
        }
    }
}

impl Opened {
    async fn enroll(&self, joiner: &Joiner, photo: Bytes, dry_run: bool) -> anyhow::Result<Tried> {
        let expires_at = joiner.expires_at;
        let options =
            EnrollmentOptions { rehearsal: dry_run, expires_at, ..EnrollmentOptions::default() };
        match self.recognizer.enroll(joiner.employee.clone(), photo, options, &call()).await {
            Ok(_) => Ok(Tried::Enrolled),
            Err(Error::AlreadyEnrolled) => Ok(Tried::Already),
            Err(error) if error.code() == Code::Internal => Err(error.into()),
            Err(error) => Ok(Tried::Refused(error.code(), error.to_string())),
        }
    }

    async fn everybody(&self) -> anyhow::Result<Vec<Enrollee>> {
        let mut everybody: Vec<Enrollee> = Vec::new();
        loop {
            let last = everybody.last().map(|enrolled| &enrolled.employee);
            let page = self.recognizer.list(last, PAGE).await?;
            if page.is_empty() {
                return Ok(everybody);
            }
            everybody.extend(page.into_iter().map(Enrollee::from));
        }
    }
}

/// Returns a client of the service that holds the lock of a data directory; none if another command
/// holds it.
///
/// # Errors
/// If the service accepts API keys only, or does not respond.
async fn holder(folder: &Path) -> anyhow::Result<Option<Client>> {
    let Some(url) = Announcement::read(folder).context("reading the address of the service")?
    else {
        return Ok(None);
    };
    let key_file = LocalCredential::file(folder);
    if url.starts_with("https:") || !key_file.exists() {
        bail!(
            "the service at {url} is using {}; enroll through it with --server URL and --key-file FILE, an API key with the role enroller",
            folder.display()
        );
    }
    Client::connect(&url, &key_file, None).await.map(Some)
}

fn call() -> Call {
    Call { actor: Actor::Operator, at: super::wall_clock() }
}
