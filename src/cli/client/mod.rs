//! A client of a running service, for `import` and `sync`.

mod connection;
mod exchange;
mod form;
mod key;
mod window;

use std::path::Path;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use self::connection::Endpoint;
use self::exchange::{Call, Exchange, PATIENCE};
use self::form::Form;
use self::key::ApiKeyFile;
pub(super) use self::window::{Slot, Window};
use super::staff::{Enrollee, Joiner, Tried};
use crate::employee::EmployeeId;
use crate::http::MOST_PHOTO_BYTES;
use crate::quality::Reason;
use crate::recognizer::Code;

/// Employees in one page.
const PAGE: usize = 1000;

/// A client of a running service.
pub(super) struct Client {
    exchange: Exchange,
    key: ApiKeyFile,
}

impl Client {
    /// Connects to a service, waits until it is ready, and reads the key.
    ///
    /// # Errors
    /// If the URL or the key file is invalid, or no service responds there.
    pub(super) async fn connect(
        url: &str,
        key_file: &Path,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let endpoint = Endpoint::parse(url, ca)?;
        if endpoint.is_exposed() {
            tracing::warn!("{url} is not encrypted: others on the network can read photos and key");
        }
        let exchange = Exchange::new(endpoint, PATIENCE);
        exchange.ready().await?;
        // A starting service issues a new local credential.
        Ok(Self { exchange, key: ApiKeyFile::read(key_file)? })
    }

    /// Returns the window of photos in flight.
    pub(super) fn window(&self) -> &Window {
        self.exchange.window()
    }

    /// Returns the URL of the service.
    pub(super) fn url(&self) -> &str {
        self.exchange.url()
    }

    /// Enrolls an employee.
    ///
    /// # Errors
    /// If the service fails, does not respond, or does not accept the key.
    pub(super) async fn enroll(
        &self,
        joiner: &Joiner,
        photo: &[u8],
        slot: &Slot,
    ) -> anyhow::Result<Tried> {
        if let Some(refused) = too_large(photo) {
            return Ok(refused);
        }
        let expires_at = joiner.expires_at.map(|time| time.to_string());
        let mut fields = vec![("employee_id", joiner.employee.as_str())];
        fields.extend(expires_at.as_deref().map(|time| ("expires_at", time)));
        let form = Some(Form::new(&fields, photo));
        let call = self.call(Method::POST, "/enroll".to_owned(), form);
        let answer = self.exchange.call(&call, slot).await?;
        match self.refusal(&call, &answer)? {
            None => Ok(Tried::Enrolled),
            Some((Code::AlreadyEnrolled, _)) => Ok(Tried::Already),
            Some((code, reason)) => Ok(Tried::Refused(code, reason)),
        }
    }

    /// Checks the face and the quality of a photo.
    ///
    /// # Errors
    /// Those of [`Client::enroll`].
    pub(super) async fn check(&self, photo: &[u8], slot: &Slot) -> anyhow::Result<Tried> {
        #[derive(Deserialize)]
        struct Assessment {
            quality: u8,
            reasons: Vec<String>,
        }
        if let Some(refused) = too_large(photo) {
            return Ok(refused);
        }
        let form = Some(Form::new(&[], photo));
        let call = self.call(Method::POST, "/check".to_owned(), form);
        let answer = self.exchange.call(&call, slot).await?;
        if let Some((code, reason)) = self.refusal(&call, &answer)? {
            return Ok(Tried::Refused(code, reason));
        }
        let Assessment { quality, reasons } = self.exchange.parsed(&call, &answer)?;
        if reasons.is_empty() {
            return Ok(Tried::Enrolled);
        }
        let advice: Vec<_> = reasons.iter().map(|reason| advice(reason)).collect();
        let advice = advice.join("; ");
        let reason = format!(
            "this photo is not suitable as a reference: {advice} (quality {quality} of 100)"
        );
        Ok(Tried::Refused(Code::PoorPhoto, reason))
    }

    /// Returns all enrolled employees.
    ///
    /// # Errors
    /// Those of [`Client::enroll`].
    pub(super) async fn everybody(&self) -> anyhow::Result<Vec<Enrollee>> {
        #[derive(Deserialize)]
        struct Listed {
            employee_id: String,
            enrolled_at: Timestamp,
            expires_at: Option<Timestamp>,
        }
        #[derive(Deserialize)]
        struct Page {
            employees: Vec<Listed>,
            next: Option<String>,
        }
        let mut everybody = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/employees?limit={PAGE}{after}");
            let call = self.call(Method::GET, path, None);
            let answer = self.exchange.call(&call, &self.window().slot().await).await?;
            if let Some((_, reason)) = self.refusal(&call, &answer)? {
                bail!("listing the employees: {reason}");
            }
            let page: Page = self.exchange.parsed(&call, &answer)?;
            for Listed { employee_id, enrolled_at, expires_at } in page.employees {
                let employee = EmployeeId::parse(&employee_id)?;
                everybody.push(Enrollee { employee, enrolled_at, expires_at });
            }
            match page.next {
                Some(last) => after = format!("&after={last}"),
                None => return Ok(everybody),
            }
        }
    }

    /// Erases an employee. It is no error if they are not enrolled.
    ///
    /// # Errors
    /// Those of [`Client::enroll`].
    pub(super) async fn erase(&self, employee: &EmployeeId) -> anyhow::Result<()> {
        let path = format!("/employees/{}", employee.as_str());
        let call = self.call(Method::DELETE, path, None);
        let answer = self.exchange.call(&call, &self.window().slot().await).await?;
        match self.refusal(&call, &answer)? {
            // An earlier request may have erased them, and its response got lost.
            None | Some((Code::NotEnrolled, _)) => Ok(()),
            Some((_, reason)) => bail!("{reason}"),
        }
    }

    fn call(&self, method: Method, path: String, form: Option<Form>) -> Call {
        Call { method, path, authorization: Some(self.key.authorization.clone()), form }
    }

    /// Returns code and reason of a refusal, and none of a success.
    ///
    /// # Errors
    /// If the key is not accepted, the service failed, or the response is not the service's.
    fn refusal(
        &self,
        call: &Call,
        answer: &Response<Bytes>,
    ) -> anyhow::Result<Option<(Code, String)>> {
        #[derive(Deserialize)]
        struct Problem {
            code: String,
            detail: String,
            request_id: String,
        }
        let status = answer.status();
        if status.is_success() {
            return Ok(None);
        }
        let key = self.key.path.display();
        if status == StatusCode::UNAUTHORIZED {
            bail!("{} does not accept the API key in {key}", self.url());
        }
        let problem = serde_json::from_slice::<Problem>(answer.body()).ok();
        if status == StatusCode::FORBIDDEN {
            let detail = problem.map_or(status.to_string(), |problem| problem.detail);
            bail!("{} refuses the API key in {key}: {detail}", self.url());
        }
        let Some(Problem { code, detail, request_id }) = problem else {
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                let reason = "a proxy in front of the service refuses so many bytes";
                return Ok(Some((Code::BodyTooLarge, reason.to_owned())));
            }
            return Err(self.exchange.unexpected(call, status));
        };
        match Code::parse(&code) {
            Some(Code::Internal) => bail!("{detail} (request_id {request_id})"),
            Some(code) => Ok(Some((code, detail))),
            None => Err(anyhow!(detail).context(self.exchange.unexpected(call, status))),
        }
    }
}

/// Refuses a photo that the service would refuse, without sending it.
fn too_large(photo: &[u8]) -> Option<Tried> {
    let reason = || format!("a photo must be at most {} MiB", MOST_PHOTO_BYTES / 1024 / 1024);
    (photo.len() > MOST_PHOTO_BYTES).then(|| Tried::Refused(Code::BodyTooLarge, reason()))
}

/// Returns the advice for a quality defect; its code, if this version doesn't know it.
fn advice(code: &str) -> &str {
    let reason = Reason::ALL.into_iter().find(|reason| reason.code() == code);
    reason.map_or(code, |reason| reason.advice())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::exchange::Patience;
    use super::*;

    /// Serves one connection for each response; an empty one closes the connection.
    async fn served(responses: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for response in responses {
                let (mut stream, _) = listener.accept().await.unwrap();
                if response.is_empty() {
                    continue;
                }
                let mut request = Vec::new();
                while !request.ends_with(b"--\r\n") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                let close = "Connection: close\r\nContent-Length";
                let response = response.replace("Content-Length", close);
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        url
    }

    async fn enrolled(url: &str, unreachable: Duration) -> anyhow::Result<Tried> {
        let authorization = "Bearer likeness_test".parse().unwrap();
        let key = ApiKeyFile { path: "key".into(), authorization };
        let patience = Patience { unreachable, ..PATIENCE };
        let exchange = Exchange::new(Endpoint::parse(url, None).unwrap(), patience);
        let client = Client { exchange, key };
        let employee = EmployeeId::parse("e-1").unwrap();
        let joiner = Joiner { employee, photo: "e-1.jpg".into(), expires_at: None };
        client.enroll(&joiner, b"photo", &client.window().slot().await).await
    }

    #[tokio::test]
    async fn request_is_repeated_until_it_is_answered_for_good() {
        let url = served(&[
            "",
            "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
            "",
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ])
        .await;
        assert_eq!(enrolled(&url, PATIENCE.unreachable).await.unwrap(), Tried::Enrolled);
    }

    #[tokio::test]
    async fn service_that_stays_away_is_named() {
        let url = served(&[""]).await;
        let error = format!("{:#}", enrolled(&url, Duration::ZERO).await.unwrap_err());
        assert!(error.starts_with(&format!("no response from {url} for 0 s: ")), "{error}");
    }

    #[tokio::test]
    async fn foreign_and_failed_responses_end_the_command() {
        for (response, reason) in [
            ("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "unexpected response to POST"),
            ("HTTP/1.1 308 Go\r\nContent-Length: 0\r\n\r\n", "308 Permanent Redirect"),
            ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "does not accept the API key in key"),
            (
                "HTTP/1.1 500 E\r\nContent-Length: 56\r\n\r\n{\"code\":\"internal\",\"detail\":\"failed\",\"request_id\":\"r-7\"}",
                "failed (request_id r-7)",
            ),
        ] {
            let url = served(Vec::leak(vec![response])).await;
            let error = format!("{:#}", enrolled(&url, Duration::ZERO).await.unwrap_err());
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
