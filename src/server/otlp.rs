//! Spans on their way to an OpenTelemetry collector. Nothing leaves unless it is told where to.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use super::config::{Collector, Otlp};

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(3);
/// The path of spans below an endpoint, as the protocol has it.
const TRACES: &str = "v1/traces";

/// Sends what was collected, in the background.
#[derive(Debug)]
pub(super) struct Spans(SdkTracerProvider);

impl Spans {
    /// Sends to where the configuration says; `None` if that is nowhere. The headers, the time-out and the sampling are
    /// those of the usual `OTEL_` variables.
    ///
    /// # Errors
    /// When nothing can be sent at all.
    pub(super) fn to(settings: &Otlp) -> Result<Option<Spans>, String> {
        let Some(collector) = &settings.collector else { return Ok(None) };
        let mut exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        if let Collector::At(endpoint) = collector {
            exporter = exporter.with_endpoint(format!("{}/{TRACES}", endpoint.trim_end_matches('/')));
        }
        let exporter = exporter.build().map_err(|error| format!("spans cannot be sent: {error}"))?;
        let mut resource = Resource::builder();
        // Else OTEL_SERVICE_NAME counts.
        if let Some(name) = &settings.service_name {
            resource = resource.with_service_name(name.clone());
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Ok(Some(Spans(provider)))
    }

    /// Makes spans of those of the program.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, Tracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("copilotkit-runtime")).with_location(false)
    }

    /// Sends the last ones, unless that takes too long.
    pub(super) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}
