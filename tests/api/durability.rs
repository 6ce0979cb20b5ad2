//! The real binary, killed without warning or asked to stop.

use reqwest::multipart::Form;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{file, photo, send};
use crate::process::Process;

#[tokio::test]
async fn answered_write_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    for person in 1..=3 {
        let service = Process::start(folder.path());
        let (name, picture) =
            (format!("p{person:02}"), photo(&format!("people/p{person:02}-a.jpg")));
        let form = Form::new().text("employee_id", name).part("photo", file(picture));
        let enrolled =
            send(service.client.post(format!("{}/enroll", service.url)).multipart(form)).await;
        assert_eq!(enrolled.status, 201);
        service.kill();
    }
    let service = Process::start(folder.path());
    let erased = send(service.client.delete(format!("{}/employees/p02", service.url))).await;
    assert_eq!(erased.status, 200);
    service.kill();
    let service = Process::start(folder.path());
    let ready = send(service.client.get(format!("{}/readyz", service.url))).await;
    assert_eq!(ready.body["gallery_size"], 2);
    for (person, expected) in [(1, "p01"), (3, "p03")] {
        let form = Form::new().part("photo", file(photo(&format!("people/p{person:02}-b.jpg"))));
        let found =
            send(service.client.post(format!("{}/identify", service.url)).multipart(form)).await;
        assert_eq!(found.body["match"]["employee_id"], expected, "{:?}", found.body);
    }
    let form = Form::new().part("photo", file(photo("people/p02-b.jpg")));
    let found =
        send(service.client.post(format!("{}/identify", service.url)).multipart(form)).await;
    assert_eq!(found.body["match"], Value::Null);
    service.kill();
}

#[tokio::test]
async fn in_flight_request_is_answered_before_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Process::start(folder.path());
    let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let body = "{\"photo\": \"AAAA\"}";
    let head = format!(
        "POST /identify HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        service.header,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // "100 Continue" shows that the handler has begun to read.
    let mut begun = [0; 25];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100 Continue\r\n\r\n");
    service.terminate();
    // The listener is closed when the signal has arrived.
    let address = service.url.trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    assert!(answer.contains("unsupported_format"), "{answer}");
    assert!(service.ended_well());
}
