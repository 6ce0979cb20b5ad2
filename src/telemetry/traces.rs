//! Traces for an OpenTelemetry collector, by OTLP over HTTP.
//!
//! A collector that is away or slow costs no request anything: spans wait in a bounded queue for a thread of their own,
//! and what finds it full is dropped.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use opentelemetry::global;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

/// How long the collector may take for a batch: OTLP's default.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the end of the process waits for the last spans.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Takes the spans of the whole process to a collector, for as long as it lives.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins, within the runtime that is to send them.
    ///
    /// # Errors
    /// Where `endpoint` is not the `http://` address of a collector.
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
                client: HyperClient::with_default_connector(PATIENCE, None),
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
        if let Err(error) = self.0.shutdown_with_timeout(LAST_PATIENCE) {
            tracing::warn!(%error, "the last traces could not be exported to the collector");
        }
    }
}

/// Sends from the service's runtime, for the exporter's thread has none.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    client: HyperClient,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
