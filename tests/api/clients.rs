//! Slow clients, clients that send before they read, and TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::app::{App, ENGINE, OPEN};
use crate::process::Process;
use likeness::http::HttpOptions;

/// Starts a service with a client timeout of 200 ms.
async fn impatient() -> App {
    let options = HttpOptions { client_timeout: Duration::from_millis(200), ..OPEN };
    App::spawn_with(&ENGINE, options).await
}

/// Sends bytes, then nothing, and reads until the service closes the connection.
async fn until_hung_up(app: &App, sent: &str) -> String {
    let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn unfinished_request_head_times_out() {
    let app = impatient().await;
    assert_eq!(until_hung_up(&app, "").await, "");
    let begun = until_hung_up(&app, "POST /identify HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    assert!(!begun.contains("200"), "{begun}");
    // An idle keep-alive connection is closed too.
    let kept = until_hung_up(&app, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
}

#[tokio::test]
async fn idle_request_body_gets_408_and_is_closed() {
    let app = impatient().await;
    for (kind, begun) in [
        ("application/json", "{\"photo\": \"AA"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\nAA",
        ),
    ] {
        let sent = format!(
            "POST /identify HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: {kind}\r\n\
             Content-Length: 1000\r\n\r\n{begun}",
            app.header
        );
        let answer = until_hung_up(&app, &sent).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("timed_out"), "{answer}");
    }
}

/// Writes a new certificate and its key; returns the root that a client must trust.
fn certify(folder: &Path) -> TlsConnector {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // The key comes first: a pair that does not match is ignored.
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Requests `/livez` by TLS; fails if the service's certificate is not trusted.
async fn ask(service: &Process, trust: &TlsConnector) -> std::io::Result<String> {
    let address = service.url.trim_start_matches("https://");
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = trust.connect(name, stream).await?;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Node's fetch and other clients stop at a failed write, and never read the response.
#[tokio::test]
async fn early_response_reaches_client_that_is_still_sending() {
    let app = App::spawn().await;
    let refused = [
        ("POST /identify", "Authorization: Bearer wrong", 1 << 16, "401"),
        ("POST /identify", "Authorization: Bearer wrong", 8 << 20, "401"),
        ("PUT /identify", &app.header, 1 << 20, "405"),
        ("POST /nowhere", "", 1 << 20, "404"),
        ("POST /identify", "Origin: https://example.org", 1 << 20, "403"),
        // Drained, although it is larger than a photo may be.
        ("POST /identify", &app.header, 30 << 20, "413"),
    ];
    for (call, header, length, status) in refused {
        let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "{call} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let head = head.replace("localhost\r\n\r\n", "localhost\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..length / 4096 {
            let sent = stream.write_all(&[b' '; 4096]).await;
            sent.unwrap_or_else(|error| panic!("{call} {header}: {error}"));
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{call} {header}: {answer}");
    }
}

#[tokio::test]
async fn tls_port_refuses_plain_http_and_reloads_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = certify(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let service = Process::start_with(folder.path(), &["--tls-cert", &cert, "--tls-key", &key]);
    assert!(ask(&service, &first).await.unwrap().starts_with("HTTP/1.1 200"));
    let mut plain = TcpStream::connect(service.url.trim_start_matches("https://")).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Reset or closed with a TLS alert: no HTTP in either case.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));

    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    let log = folder.path().join("log");
    until(async || {
        std::fs::read_to_string(&log).unwrap().contains("the previous one stays in use")
    })
    .await;
    assert!(ask(&service, &first).await.is_ok());
    let second = certify(folder.path());
    until(async || ask(&service, &second).await.is_ok()).await;
    assert!(ask(&service, &first).await.is_err());
    service.kill();
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("twenty seconds later it still doesn't hold");
}
