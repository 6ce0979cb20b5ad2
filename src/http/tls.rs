//! The service's certificate, which is read anew whenever its files change.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A certificate with its key, and the files that they came from.
#[derive(Debug)]
pub struct Certificate {
    files: [PathBuf; 2],
    /// What was read last.
    read: [Vec<u8>; 2],
    config: RustlsConfig,
}

impl Certificate {
    /// Reads the certificate chain and its private key, both PEM.
    ///
    /// # Errors
    /// Where a file cannot be read, or they do not belong together.
    pub async fn read(chain: PathBuf, key: PathBuf) -> io::Result<Self> {
        let files = [chain, key];
        let read = read(&files)?;
        let [chain, key] = read.clone();
        let config = RustlsConfig::from_pem(chain, key).await?;
        Ok(Self { files, read, config })
    }

    /// What the connections use. Changed files are followed for as long as the process runs; those that cannot be
    /// used are logged, and the former certificate stays.
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

    /// Whether there was something new to follow.
    async fn follow(&mut self) -> io::Result<bool> {
        let now = read(&self.files)?;
        if now == self.read {
            return Ok(false);
        }
        let [chain, key] = now.clone();
        // A half-written pair is not tried twice.
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
