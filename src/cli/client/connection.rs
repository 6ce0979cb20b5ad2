//! Connections to a service: its URL, TLS, and the connections that are open and idle.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Time limit of a connection, with TLS.
const CONNECTING: Duration = Duration::from_secs(10);

/// Time limit of a response; longer than the service takes for one.
const ANSWERING: Duration = Duration::from_mins(2);

/// Maximum size of a response: a page of 1,000 employees has less than 1 MiB.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The address of a service.
pub(super) struct Endpoint {
    /// `http://HOST:PORT` and the prefix of its paths, without a slash at the end.
    pub(super) url: String,
    prefix: String,
    host: String,
    port: u16,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Endpoint {
    /// Parses the URL of a service. With TLS, its certificate must be issued by `ca` or, by default,
    /// by an authority that this system trusts.
    ///
    /// # Errors
    /// If it is no URL of a service, or there are no trusted certificates.
    pub(super) fn parse(url: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let invalid = || format!("{url} is not the URL of a service: https://HOST[:PORT][/PREFIX]");
        let uri: Uri = url.parse().with_context(invalid)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!(invalid());
        };
        if !["http", "https"].contains(&scheme) || uri.query().is_some() {
            bail!(invalid());
        }
        if authority.as_str().contains('@') {
            bail!("a URL with a user name is not supported; pass the key by --key-file");
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if scheme == "https" {
            let name = ServerName::try_from(host.clone()).with_context(invalid)?;
            Some((connector(ca)?, name))
        } else {
            None
        };
        let port = if tls.is_some() { 443 } else { 80 };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            url: format!("{scheme}://{authority}{prefix}"),
            prefix,
            port: authority.port_u16().unwrap_or(port),
            authority: HeaderValue::from_str(authority.as_str()).with_context(invalid)?,
            host,
            tls,
            idle: Mutex::default(),
        })
    }

    /// Returns whether requests leave this machine unencrypted.
    pub(super) fn is_exposed(&self) -> bool {
        self.tls.is_none() && !["localhost", "127.0.0.1", "::1"].contains(&&*self.host)
    }

    /// Sends a request for a path below the service's URL, and returns the whole response.
    ///
    /// # Errors
    /// If there is no response within the time limits.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Bytes>> {
        let path = format!("{}{}", self.prefix, request.uri());
        *request.uri_mut() = path.parse()?;
        request.headers_mut().insert(HOST, self.authority.clone());
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => {
                timeout(CONNECTING, self.connect()).await.context("connecting took too long")??
            }
        };
        let exchange = async {
            connection.ready().await?;
            let (head, body) = connection.send_request(request).await?.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            anyhow::Ok(Response::from_parts(head, body))
        };
        let response =
            timeout(ANSWERING, exchange).await.context("the response took too long")??;
        self.idle().push(connection);
        Ok(response)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => speak(stream).await,
            Some((tls, name)) => speak(tls.connect(name.clone(), stream).await?).await,
        }
    }
}

/// Starts HTTP on a stream.
async fn speak<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its errors are those of the requests.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

fn connector(ca: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let found = match ca {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let source = ca.map_or("this system".to_owned(), |file| file.display().to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.into_iter().next().map(io::Error::other);
        let cause = cause.unwrap_or_else(|| io::Error::other("there is none"));
        return Err(cause).context(format!("reading the trusted certificates of {source}"));
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_service_has_scheme_host_and_perhaps_port_and_prefix() {
        for (url, kept, prefix, port) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "", 8080),
            ("http://localhost/", "http://localhost", "", 80),
            ("http://[::1]:81/faces/", "http://[::1]:81/faces", "/faces", 81),
        ] {
            let endpoint = Endpoint::parse(url, None).unwrap();
            assert_eq!((&*endpoint.url, &*endpoint.prefix, endpoint.port), (kept, prefix, port));
            assert!(!endpoint.is_exposed(), "{url}");
        }
        assert!(Endpoint::parse("http://faces.example.org", None).unwrap().is_exposed());
        for url in [
            "",
            "localhost",
            "localhost:8080",
            "ftp://localhost",
            "/enroll",
            "http://localhost/?a=b",
            "http://ada:secret@localhost",
        ] {
            assert!(Endpoint::parse(url, None).is_err(), "{url}");
        }
    }
}
