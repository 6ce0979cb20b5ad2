//! The console as it is served: public, and limited to this service.

use reqwest::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};

use crate::app::App;
use crate::keys::keys;

/// Returns the quoted names after a word: `src="…"`, `from "…"`.
fn named<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.split(word).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn console_assets_exist_and_are_same_origin() {
    let app = App::spawn().await;
    let page = app.client.get(app.at("/")).send().await.unwrap().text().await.unwrap();
    let mut loaded: Vec<String> = [named(&page, "href=\"console/"), named(&page, "src=\"console/")]
        .concat()
        .into_iter()
        .map(|name| format!("console/{name}"))
        .collect();
    // With a path prefix at a proxy, "/" would be another service.
    assert!(!page.contains("=\"/"), "{page}");
    let mut seen = 0;
    while let Some(path) = loaded.pop() {
        let answer = app.client.get(app.at(&format!("/{path}"))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let expected = match path.rsplit_once('.').unwrap().1 {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            ending => panic!("a page has no {ending}"),
        };
        assert_eq!(kind, expected, "{path}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("https://"), "{path} names a foreign host");
        let imported = named(&text, "from \"./");
        loaded.extend(imported.into_iter().map(|name| format!("console/{name}")));
        seen += 1;
    }
    assert!(seen > 10, "the search finds what is loaded");
}

#[tokio::test]
async fn content_security_policy_allows_only_same_origin() {
    let app = App::spawn().await;
    for path in ["/", "/console/main.js", "/console/console.css"] {
        let answer = app.client.get(app.at(path)).send().await.unwrap();
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        let rules: Vec<_> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'none'",
        ] {
            assert!(rules.contains(&rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    }
}

#[tokio::test]
async fn unchanged_asset_gets_304() {
    let app = App::spawn().await;
    let ask = |held: &str| app.client.get(app.at("/")).header(IF_NONE_MATCH, held).send();
    let page = ask("\"another\"").await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
    let version = page.headers()[ETAG].to_str().unwrap().to_owned();
    // As received, in a list, and weakened by a proxy that compresses.
    for held in [version.clone(), format!("\"another\", {version}"), format!("W/{version}")] {
        let again = ask(&held).await.unwrap();
        assert_eq!((again.status().as_u16(), &again.headers()[ETAG]), (304, &page.headers()[ETAG]));
        assert!(again.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn console_page_needs_no_key_but_api_does() {
    let app = App::spawn().await;
    keys(&app, &["add", "--first"]).await;
    for (path, status) in [
        ("/", 200),
        ("/console/main.js", 200),
        ("/console/nothing.js", 404),
        ("/console/..%2Fconsole.rs", 404),
        ("/employees", 401),
        ("/metrics", 401),
    ] {
        let answer = app.client.get(app.at(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let posted = app.client.post(app.at("/")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
}
