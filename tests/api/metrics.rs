//! The metrics.

use reqwest::Method;

use crate::app::{App, OPEN, engine, photo};

async fn page(app: &App) -> String {
    let page = app.client.get(app.at("/metrics")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    page.text().await.unwrap()
}

#[tokio::test]
async fn metrics_count_calls_stages_and_scores_without_employees() {
    // An engine of its own: others' photos would count as at work.
    let app = App::spawn_with(&engine(2, 64), OPEN).await;
    let name = "somebody.quite.unmistakable";
    app.enroll(name, photo("people/p01-a.jpg")).await;
    app.verify(name, photo("people/p01-b.jpg")).await;
    app.verify(name, photo("people/p02-b.jpg")).await;
    app.identify(photo("people/p02-b.jpg")).await;
    app.verify("nobody", photo("people/p02-b.jpg")).await;
    app.get(&format!("/employees/{name}")).await;
    app.get("/nowhere").await;
    app.client
        .request(Method::from_bytes(b"BREW").unwrap(), app.at("/nowhere"))
        .send()
        .await
        .unwrap();
    let page = page(&app).await;
    for line in [
        r#"likeness_requests_total{route="/enroll",method="POST",code="ok"} 1"#,
        r#"likeness_requests_total{route="/verify",method="POST",code="ok"} 2"#,
        r#"likeness_requests_total{route="/verify",method="POST",code="not_enrolled"} 1"#,
        r#"likeness_requests_total{route="/employees/{employee_id}",method="GET",code="ok"} 1"#,
        r#"likeness_requests_total{route="(none)",method="GET",code="no_such_route"} 1"#,
        r#"likeness_requests_total{route="(none)",method="other",code="no_such_route"} 1"#,
        r#"likeness_stage_seconds_count{stage="decode"} 4"#,
        r#"likeness_stage_seconds_count{stage="queue"} 4"#,
        r#"likeness_score_count{operation="verify",outcome="match"} 1"#,
        r#"likeness_score_count{operation="verify",outcome="non_match"} 1"#,
        r#"likeness_score_count{operation="identify",outcome="non_match"} 1"#,
        "likeness_gallery_size 1",
        "likeness_photos_at_work 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains(name));
}
