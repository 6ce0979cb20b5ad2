//! `likeness health`: checks readiness, for the health check of a container without other programs.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(3);

/// Checks that the service at the configured address is ready; with TLS, only that it accepts
/// connections.
///
/// # Errors
/// If it is not.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let address = reachable(config.listen);
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let mut stream = stream.with_context(|| format!("no response from {address}"))?;
    if config.tls().is_some() {
        return Ok(());
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    let question = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no response from {address}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, _)) if head.starts_with("HTTP/1.1 200 ") => Ok(()),
        Some((_, body)) => bail!("{address} is not ready: {body}"),
        None => bail!("{address} is not an HTTP service"),
    }
}

/// Returns an address at which this machine reaches a service: the loopback address of one that
/// listens on all addresses.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
