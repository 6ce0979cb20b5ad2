//! The real binary, run as a process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use likeness::access::LocalCredential;
use reqwest::Client;

use crate::app::local_access;

/// A running service, killed at the end of the test at the latest.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    /// Sends the local credential, if there is one.
    pub(crate) client: Client,
    /// The line of the local credential's file; empty if there is none.
    pub(crate) header: String,
}

impl Process {
    /// Starts the service and waits for the line that reports readiness.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts the service with further arguments.
    pub(crate) fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_likeness")), data, arguments)
    }

    /// Starts the service on its own file system, in memory and of this size, which is visible only
    /// through [`Process::inside`]; `None` if this process may not mount one.
    pub(crate) fn start_confined(data: &Path, bytes: usize) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={bytes} none {} && exec", data.display());
        let confined = |then: &str| {
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", &format!("{mount} {then} \"$@\""), "sh"]);
            command
        };
        if !confined("true").status().is_ok_and(|status| status.success()) {
            eprintln!("nobody may mount a file system here: this test did not run");
            return None;
        }
        let binary = env!("CARGO_BIN_EXE_likeness");
        Some(Self::spawn(confined(binary), data, &[]))
    }

    /// Returns the path at which this process can reach a path of the confined process.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    fn spawn(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(["--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(data.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.split(' ').find(|word| word.starts_with("http")).unwrap();
        let url = url.trim().trim_end_matches('.').to_owned();
        // A confined process has another folder at the same path.
        let data = PathBuf::from(format!("/proc/{}/root", child.id()))
            .join(std::path::absolute(data).unwrap().strip_prefix("/").unwrap());
        let (header, client) = local_access(&LocalCredential::file(&data));
        Self { child, url, client, header }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL: nothing is flushed or closed.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").arg(self.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process to exit; returns whether it succeeded.
    pub(crate) fn ended_well(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// Returns the peak memory of the process, in kilobytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Returns the memory of the process, in kilobytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
