//! The log: contents, and what it must not contain.

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{file, photo, send};
use crate::process::Process;

#[tokio::test]
async fn request_log_line_has_the_route_but_no_employee() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    let client = &service.client;
    let form = Form::new().text("employee_id", "ada.lovelace");
    let form = form.part("photo", file(photo("people/p01-a.jpg")));
    let enroll = send(client.post(format!("{}/enroll", service.url)).multipart(form)).await;
    let employee = format!("{}/employees/ada.lovelace", service.url);
    let erase = send(client.delete(&employee)).await;
    let again = send(client.delete(&employee)).await;
    service.kill();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (answer, route, code) in [
        (enroll, "/enroll", Value::Null),
        (erase, "/employees/{employee_id}", Value::Null),
        (again, "/employees/{employee_id}", json!("not_enrolled")),
    ] {
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let own: Vec<_> = lines.iter().filter(|line| line["request_id"] == id).collect();
        let [line] = own.as_slice() else { panic!("{} lines for {route}", own.len()) };
        assert_eq!((&line["route"], &line["status"]), (&json!(route), &json!(answer.status)));
        assert_eq!(line.get("code").unwrap_or(&Value::Null), &code);
    }
    assert!(!log.contains("lovelace"), "{log}");
}
