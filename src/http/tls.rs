//! The TLS certificate, reloaded when its files change.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;

/// Interval between checks of the files.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A certificate with its private key, and their files.
#[derive(Debug)]
pub struct Certificate {
    files: [PathBuf; 2],
    /// The contents read last.
    read: [Vec<u8>; 2],
    config: RustlsConfig,
}

impl Certificate {
    /// Reads a certificate chain and its private key, both in PEM.
    ///
    /// # Errors
    /// If a file cannot be read, or the key does not match the certificate.
    pub async fn read(chain: PathBuf, key: PathBuf) -> io::Result<Self> {
        let files = [chain, key];
        let read = read(&files)?;
        let [chain, key] = read.clone();
        let config = RustlsConfig::from_pem(chain, key).await?;
        Ok(Self { files, read, config })
    }

    /// Returns the TLS configuration of connections, and reloads changed files for as long as the
    /// process runs. A certificate that cannot be used is logged, and the previous one stays.
    pub(super) fn followed(mut self) -> RustlsConfig {
        let config = self.config.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                match self.follow().await {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("TLS certificate reloaded"),
                    Err(error) => tracing::error!(
                        %error,
                        "the changed TLS certificate or key is invalid: the previous one stays in use"
                    ),
                }
            }
        });
        config
    }

    /// Reloads the files if they changed; returns whether it did.
    async fn follow(&mut self) -> io::Result<bool> {
        let now = read(&self.files)?;
        if now == self.read {
            return Ok(false);
        }
        let [chain, key] = now.clone();
        // Stored before parsing, so that an incomplete pair is not parsed twice.
        self.read = now;
        self.config.reload_from_pem(chain, key).await?;
        Ok(true)
    }
}

fn read([chain, key]: &[PathBuf; 2]) -> io::Result<[Vec<u8>; 2]> {
    let named = |file: &PathBuf| {
        fs::read(file).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))
    };
    Ok([named(chain)?, named(key)?])
}
