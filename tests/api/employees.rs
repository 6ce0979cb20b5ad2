//! Enrollment, re-enrollment, listing and erasure.

use std::process::Command;

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{App, NOW, file, photo};

#[tokio::test]
async fn second_enrollment_requires_replace() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    assert_eq!(app.enroll("e-1", photo("people/p02-a.jpg")).await.status, 409);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.body["match"], true);
    let anew = Form::new().text("employee_id", "e-1").text("replace", "true");
    let anew = app.post("/enroll", anew.part("photo", file(photo("people/p02-a.jpg")))).await;
    assert_eq!(anew.status, 200);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.body["match"], false);
    assert_eq!(app.verify("e-1", photo("people/p02-b.jpg")).await.body["match"], true);
}

#[tokio::test]
async fn erased_employee_is_unknown_and_can_reenroll() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let receipt = app.delete("/employees/e-1").await;
    let body = &receipt.body;
    assert_eq!((receipt.status, &body["status"]), (200, &json!("erased")));
    assert_eq!((&body["employee_id"], &body["erased_at"]), (&json!("e-1"), &json!(NOW)));
    assert_eq!(body["destroy_key_archives_before"], NOW);
    assert_eq!(app.delete("/employees/e-1").await.status, 404);
    assert_eq!(app.get("/employees/e-1").await.status, 404);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.status, 404);
    let found = app.identify(photo("people/p01-b.jpg")).await;
    assert_eq!((&found.body["match"], &found.body["gallery_size"]), (&Value::Null, &json!(0)));
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
}

#[tokio::test]
async fn employees_are_listed_in_pages_without_embeddings() {
    let app = App::spawn().await;
    for (employee, person) in [("c", 1), ("a", 2), ("b", 3)] {
        let enrolled = app.enroll(employee, photo(&format!("people/p{person:02}-a.jpg"))).await;
        assert_eq!(enrolled.status, 201);
    }
    let first = app.get("/employees?limit=2").await.body;
    assert_eq!(first["next"], "b");
    let names: Vec<_> =
        first["employees"].as_array().unwrap().iter().map(|e| &e["employee_id"]).collect();
    assert_eq!(names, ["a", "b"]);
    let rest = app.get("/employees?limit=2&after=b").await.body;
    assert_eq!((&rest["next"], &rest["employees"][0]["employee_id"]), (&Value::Null, &json!("c")));
    assert_eq!(rest["employees"].as_array().unwrap().len(), 1);
    let one = app.get("/employees/c").await;
    assert_eq!((one.status, &one.body), (200, &rest["employees"][0]));
    assert_eq!(one.body["enrolled_at"], NOW);
    for query in ["limit=0", "limit=1001", "limit=x", "after=a%20b", "page=2"] {
        assert_eq!(app.get(&format!("/employees?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn invalid_employee_id_is_not_enrolled() {
    let app = App::spawn().await;
    for path in ["/employees/a%20b", "/employees/%FF", "/employees/a%2Fb"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not_enrolled")), "{path}");
    }
}

#[tokio::test]
async fn concurrent_enrollments_of_one_employee_leave_one() {
    let app = App::spawn().await;
    let (one, other) = tokio::join!(
        app.enroll("e-1", photo("people/p01-a.jpg")),
        app.enroll("e-1", photo("people/p02-a.jpg")),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let winner = if one.status == 201 { "people/p01-b.jpg" } else { "people/p02-b.jpg" };
    assert_eq!(app.verify("e-1", photo(winner)).await.body["match"], true);
}

#[tokio::test]
async fn lookalike_is_enrolled_only_if_confirmed() {
    let app = App::spawn().await;
    let photo_of = |name| file(photo(&format!("people/{name}.jpg")));
    let enroll = |employee: &'static str, name, wish: &'static str| {
        let form = Form::new().text("employee_id", employee).text(wish, "true");
        app.post("/enroll", form.part("photo", photo_of(name)))
    };
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let twin = app.enroll("e-2", photo("people/p01-b.jpg")).await;
    assert_eq!((twin.status, &twin.body["code"]), (409, &json!("looks_like_another")));
    assert!(twin.body["detail"].as_str().unwrap().contains("e-1"));
    assert_eq!(
        enroll("e-1", "p01-b", "replace").await.status,
        200,
        "one's own former photo is no other"
    );
    assert_eq!(enroll("e-2", "p01-b", "confirm_lookalike").await.status, 201);
    assert_eq!(enroll("e-2", "p01-c", "replace").await.status, 409);
}

#[tokio::test]
async fn export_prints_all_data_about_an_employee() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let export = |employee: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
        command.arg("--data-dir").arg(app.folder.path()).args(["export", employee]);
        command.output().unwrap()
    };
    let held: Value = serde_json::from_slice(&export("e-1").stdout).unwrap();
    let told = app.get("/employees/e-1").await.body;
    for member in ["employee_id", "enrolled_at", "expires_at", "model"] {
        assert_eq!(held[member], told[member], "{member}");
    }
    // 128 floats, a nonce and a tag; 32 bytes, a nonce and a tag; in base64.
    let length = |member: &str| held["template"][member].as_str().unwrap().len();
    assert_eq!((length("sealed"), length("data_key")), (720, 80));
    let nobody = export("e-2");
    assert!(!nobody.status.success());
    assert!(
        String::from_utf8(nobody.stderr)
            .unwrap()
            .contains("no employee is enrolled with the ID e-2")
    );
}

#[tokio::test]
async fn concurrent_enrollments_of_one_face_detect_the_lookalike() {
    let app = App::spawn().await;
    for round in 0..10 {
        let (first, second) = (format!("a-{round}"), format!("b-{round}"));
        let name = format!("people/p{:02}-a.jpg", round + 1);
        let (one, other) =
            tokio::join!(app.enroll(&first, photo(&name)), app.enroll(&second, photo(&name)));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{:?} {:?}", one.body, other.body);
        let refused = if one.status == 409 { one } else { other };
        assert_eq!(refused.body["code"], "looks_like_another");
    }
}
