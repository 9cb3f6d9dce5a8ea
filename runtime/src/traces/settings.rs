//! Where traces are sent, which ones, and that they are sent before the process ends. The settings have the names that OpenTelemetry has
//! given them.

use std::{sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{Sampler, SdkTracerProvider, SpanExporter as _},
};

use super::{
    TRACER,
    export::{Counted, Ending, Limited, SpanCounts, reason},
};
use crate::{Fault, Process, Shutdown, settings};

/// How long sending what is left may take at a stop, at least and at most.
const FLUSH: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(1));
/// How long the collector may take for what it is sent at once.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// The settings of traces.
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceSettings {
    /// Where traces are sent, by OTLP over gRPC, as http://collector:4317 [default: nowhere, and none are made]
    #[arg(long, env, value_name = "URL", help_heading = "Traces")]
    pub(crate) otel_exporter_otlp_endpoint: Option<String>,

    /// What the spans of this program say that they are of [default: its name]
    #[arg(long, env, value_name = "NAME", help_heading = "Traces")]
    pub(crate) otel_service_name: Option<String>,

    /// How to decide which traces are sent: parentbased_traceidratio, parentbased_always_on, parentbased_always_off, traceidratio,
    /// always_on or always_off
    #[arg(
        long,
        env,
        default_value = "parentbased_traceidratio",
        value_parser = sampler_name,
        value_name = "SAMPLER",
        help_heading = "Traces"
    )]
    pub(crate) otel_traces_sampler: SamplerName,

    /// Which share of the traces is sent, from 0 to 1, if the sampler is one of shares
    #[arg(
        long,
        env,
        value_name = "SHARE",
        default_value_t = 1.0,
        value_parser = share,
        help_heading = "Traces"
    )]
    pub(crate) otel_traces_sampler_arg: f64,
}

/// The samplers that the specification of OpenTelemetry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SamplerName {
    /// A share of the traces; of those that began elsewhere, those that are sent there.
    #[default]
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
    /// All; of those that began elsewhere, those that are sent there.
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// Only those that began elsewhere and are sent there.
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// A share of the traces, wherever they began.
    #[value(name = "traceidratio")]
    TraceIdRatio,
    /// All.
    #[value(name = "always_on")]
    AlwaysOn,
    /// None.
    #[value(name = "always_off")]
    AlwaysOff,
}

impl SamplerName {
    fn sampler(self, share: f64) -> Sampler {
        let of_parent = |root| Sampler::ParentBased(Box::new(root));
        match self {
            Self::ParentBasedTraceIdRatio => of_parent(Sampler::TraceIdRatioBased(share)),
            Self::ParentBasedAlwaysOn => of_parent(Sampler::AlwaysOn),
            Self::ParentBasedAlwaysOff => of_parent(Sampler::AlwaysOff),
            Self::TraceIdRatio => Sampler::TraceIdRatioBased(share),
            Self::AlwaysOn => Sampler::AlwaysOn,
            Self::AlwaysOff => Sampler::AlwaysOff,
        }
    }
}

/// A variable that is empty counts as one that is not there, as the specification wants it.
fn sampler_name(text: &str) -> Result<SamplerName, String> {
    match text.trim() {
        "" => Ok(SamplerName::default()),
        name => SamplerName::from_str(name, true).map_err(|_| {
            let samplers = SamplerName::value_variants().iter();
            let samplers = samplers.filter_map(SamplerName::to_possible_value);
            let names: Vec<_> = samplers.map(|name| name.get_name().to_owned()).collect();
            format!("one of {} is needed", names.join(", "))
        }),
    }
}

/// As [`sampler_name`].
fn share(text: &str) -> Result<f64, String> {
    if text.trim().is_empty() {
        return Ok(1.0);
    }
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is needed".to_owned())
}

impl TraceSettings {
    /// The collector, if one is named.
    ///
    /// # Errors
    ///
    /// If that is no address of one.
    pub(crate) fn collector(&self) -> Result<Option<String>, Fault> {
        let Some(endpoint) = self.otel_exporter_otlp_endpoint.as_deref().map(str::trim) else {
            return Ok(None);
        };
        if endpoint.is_empty() {
            return Ok(None);
        }
        let uri: Option<tonic::codegen::http::Uri> = endpoint.parse().ok();
        let is_collector = uri.is_some_and(|uri| {
            let authority = uri.authority().map(|authority| authority.as_str());
            let is_address = authority.is_some_and(|address| !address.contains('@'));
            // A path is that of OTLP over HTTP.
            let is_alone = matches!(uri.path(), "" | "/") && uri.query().is_none();
            uri.scheme_str() == Some("http") && is_address && is_alone
        });
        match is_collector {
            true => Ok(Some(endpoint.to_owned())),
            false => {
                // Not one with a password.
                let given = Some(endpoint).filter(|endpoint| !endpoint.contains('@'));
                let given = given.map_or(String::new(), |endpoint| {
                    format!(", and `{endpoint}` is not")
                });
                let reason = format!(
                    "must be the address of a collector that takes OTLP over gRPC without TLS, as http://127.0.0.1:4317{given}"
                );
                let setting = settings::name("otel-exporter-otlp-endpoint");
                Err(Fault::bad_setting(setting, reason))
            }
        }
    }

    /// Sends `collector` a request without spans. Returns its address and what came of it.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub(crate) async fn try_collector(
        &self,
        collector: String,
        within: Duration,
    ) -> Result<(String, Result<(), String>), Fault> {
        let exporter = exporter(collector.clone(), within)?;
        let taken = tokio::time::timeout(within, exporter.export(vec![])).await;
        let taken = match taken {
            Ok(taken) => taken.map_err(|error| reason(&error)),
            Err(_) => Err(format!("no answer within {within:?}")),
        };
        Ok((collector, taken))
    }

    /// Begins to send spans to `collector`, within a tokio runtime that lasts as long as the process. `program` is its name.
    ///
    /// # Errors
    ///
    /// If the settings of the exporter that the library reads from the environment cannot be used.
    pub(crate) fn start(
        &self,
        collector: Option<String>,
        program: &'static str,
        process: &Process,
    ) -> Result<Exporting, Fault> {
        let Some(collector) = collector else {
            return Ok(Exporting(None));
        };
        let exporter = exporter(collector, EXPORT_DEADLINE)?;
        let counts = SpanCounts::new(process.registry.metrics());
        let dependency = process.dependency("the collector of traces");
        let ending = Ending::default();
        let exporter = Counted::new(exporter, counts.clone(), dependency, ending.clone());
        let name = self.otel_service_name.as_deref().map(str::trim);
        let name = name.filter(|name| !name.is_empty()).unwrap_or(program);
        let resource = Resource::builder_empty()
            .with_attributes(of_this_process())
            .with_detector(Box::new(TelemetryResourceDetector))
            // What `OTEL_RESOURCE_ATTRIBUTES` says is preferred to the above.
            .with_detector(Box::new(EnvResourceDetector::new()))
            .with_service_name(name.to_owned())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(
                self.otel_traces_sampler
                    .sampler(self.otel_traces_sampler_arg),
            )
            .with_resource(resource)
            .with_span_processor(Limited::new(exporter, counts))
            .build();
        let tracer = provider.tracer("marquee");
        if TRACER.set(tracer).is_err() {
            return Err(Fault::Failed("traces are sent already".into()));
        }
        Ok(Exporting(Some((Arc::new(provider), ending))))
    }
}

/// What sends spans to `collector`.
fn exporter(collector: String, deadline: Duration) -> Result<SpanExporter, Fault> {
    SpanExporter::builder()
        .with_tonic()
        .with_endpoint(collector)
        .with_timeout(deadline)
        // The queue sends again itself, for as long as the collector is unavailable, and says so.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| Fault::bad_setting("OTEL_EXPORTER_OTLP_…", error))
}

/// What tells the spans of this process from those of another replica. A collector compares the clocks of different hosts, and
/// needs the name of the host for it.
fn of_this_process() -> [KeyValue; 3] {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    [
        KeyValue::new("service.version", crate::VERSION),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        KeyValue::new("host.name", host),
    ]
}

/// The spans that are on their way to the collector, if any are sent.
#[must_use]
pub(crate) struct Exporting(Option<(Arc<SdkTracerProvider>, Ending)>);

impl Exporting {
    /// Sends what is left. What a collector does not take in time is lost.
    pub(crate) async fn finish(self, stop: &Shutdown) {
        let Some((provider, ending)) = self.0 else {
            return;
        };
        ending.begin();
        let (least, most) = FLUSH;
        let deadline = stop.time_left().clamp(least, most);
        // It waits for the exporter, which needs this thread.
        let finished =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(deadline));
        match tokio::time::timeout(deadline, finished).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::debug!("the last spans were not sent in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        traces: TraceSettings,
    }

    fn settings(arguments: &[&str]) -> Result<TraceSettings, clap::Error> {
        let arguments = ["test"].iter().chain(arguments);
        Ok(Cli::try_parse_from(arguments)?.traces)
    }

    #[test]
    fn nothing_is_sent_unless_a_collector_is_named() {
        let empty = [
            "--otel-exporter-otlp-endpoint=",
            "--otel-traces-sampler=",
            "--otel-traces-sampler-arg=",
            "--otel-service-name=",
        ];
        for none in [&[][..], &empty] {
            let settings = settings(none).unwrap();
            assert_eq!(settings.otel_traces_sampler_arg, 1.0);
            assert_eq!(settings.collector().unwrap(), None);
            let sampler = SamplerName::ParentBasedTraceIdRatio;
            assert_eq!(settings.otel_traces_sampler, sampler);
        }
        let named = settings(&["--otel-exporter-otlp-endpoint=http://collector:4317"]).unwrap();
        let collector = named.collector().unwrap();
        assert_eq!(collector.as_deref(), Some("http://collector:4317"));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for address in [
            "collector:4317",
            "https://collector",
            "http://",
            "http://a:b@c",
            "http://collector:4318/v1/traces",
            "a b",
        ] {
            let argument = format!("--otel-exporter-otlp-endpoint={address}");
            let refused = settings(&[&argument]).unwrap().collector().unwrap_err();
            let words = refused.to_string();
            assert!(
                words.contains("(OTEL_EXPORTER_OTLP_ENDPOINT): must be"),
                "{words}"
            );
        }
        for share in ["-0.1", "1.1", "NaN", "all"] {
            let argument = format!("--otel-traces-sampler-arg={share}");
            assert!(settings(&[&argument]).is_err(), "{share}");
        }
        assert!(settings(&["--otel-traces-sampler=sometimes"]).is_err());
    }
}
