//! Exports traces to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! An unavailable or slow collector delays no request: spans wait in a bounded queue for a separate
//! thread, and are dropped if it is full.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use opentelemetry::global;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

/// Timeout of a batch: OTLP's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the last spans at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The exporter of the process's spans; exports until it is dropped.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the export on the current tokio runtime.
    ///
    /// # Errors
    /// If `endpoint` is not an `http://` address.
    pub fn start(endpoint: &str) -> anyhow::Result<Self> {
        ensure!(
            endpoint.starts_with("http://"),
            "--otlp-endpoint must be http://HOST:PORT; if the connection needs TLS, forward through a local collector"
        );
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_http_client(OnRuntime {
                runtime: Handle::current(),
                client: HyperClient::with_default_connector(TIMEOUT, None),
            })
            .build()
            .context("--otlp-endpoint")?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("likeness").build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(provider.clone());
        Ok(Self(provider))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::warn!(%error, "the last traces could not be exported to the collector");
        }
    }
}

/// An HTTP client on the service's runtime, since the exporter's thread has none.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    client: HyperClient,
}

/// The future of a response, as the trait `HttpClient` declares it by way of async-trait.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}
