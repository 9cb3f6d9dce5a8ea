//! The figures of a process for Prometheus, in one registry: what it is asked, how it answers and how long that takes, what it
//! costs, and what its parts add to that ([`Metrics::read`], [`Metrics::gauge`], [`Metrics::histogram`]).
//!
//! Labels have few values, whatever clients send: routes and methods are those that the program has. Nothing waits when the
//! figures are read: what has to be asked for elsewhere is asked for beforehand, and is a [`Gauge`].

mod gauge;
mod reading;

pub use gauge::Gauge;
pub use prometheus::{Histogram, HistogramVec};
pub use reading::{Description, Distribution, Kind, Samples};

use std::time::{Duration, Instant};

use actix_web::http::Method;
use prometheus::{
    HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder, core::Collector,
    process_collector::ProcessCollector,
};
use tonic::{Code, codegen::http};

use reading::Reading;

/// The bounds of latencies, in seconds.
pub const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What has no route or method of the program.
const UNKNOWN: &str = "unknown";

/// The figures of a process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    ready: Gauge,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    grpc_served: GrpcFigures,
    grpc_made: GrpcFigures,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name, help, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels);
            show(&registry, described(made))
        };
        let histogram = |name, help, label| {
            let description = Description {
                name,
                help,
                labels: &[label],
                ..Description::default()
            };
            show(&registry, distribution(&description, &SECONDS))
        };
        let metrics = Self {
            http_requests: counter(
                "marquee_http_requests_total",
                "Requests that were answered.",
                &["method", "route", "code"],
            ),
            http_seconds: histogram(
                "marquee_http_request_seconds",
                "How long it took until the answer to a request began.",
                "route",
            ),
            grpc_served: GrpcFigures {
                calls: counter(
                    "marquee_grpc_calls_total",
                    "Calls that were answered, or given up by their callers (Cancelled).",
                    &["method", "code"],
                ),
                seconds: histogram(
                    "marquee_grpc_call_seconds",
                    "How long it took until the answer to a call began, or the call was given up.",
                    "method",
                ),
            },
            grpc_made: GrpcFigures {
                calls: counter(
                    "marquee_grpc_client_calls_total",
                    "Calls of other services that were answered, found no replica (Unavailable), or were given up (Cancelled).",
                    &["method", "code"],
                ),
                seconds: histogram(
                    "marquee_grpc_client_call_seconds",
                    "How long it took until the answer of another service began, or the call failed or was given up.",
                    "method",
                ),
            },
            ready: Gauge::default(),
            registry,
        };
        let ready = metrics.ready.clone();
        let description = Description {
            name: "marquee_ready",
            help: "1 while the program can serve and is not about to stop, as /readyz says.",
            ..Description::default()
        };
        metrics.show_gauge(&description, ready);
        let description = Description {
            name: "marquee_build_info",
            help: "1, with the version of the program.",
            constant: &[("version", crate::VERSION)],
            ..Description::default()
        };
        metrics.gauge(&description).set(1.0);
        let process = metrics
            .registry
            .register(Box::new(ProcessCollector::for_self()));
        process.expect("the names of the process's metrics are no others'");
        metrics
    }
}

/// A collector that was made by a description.
fn described<C>(made: prometheus::Result<C>) -> C {
    made.expect("names and labels of metrics are letters and underscores, and each has a help")
}

fn distribution(description: &Description<'_>, bounds: &[f64]) -> HistogramVec {
    let constant = description.constant.iter();
    let constant = constant.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = HistogramOpts::new(description.name, description.help)
        .const_labels(constant.collect())
        .buckets(bounds.to_vec());
    described(HistogramVec::new(options, description.labels))
}

/// Shows a collector from now on, in the place of an older one of the same metric: a part that is started again begins anew.
fn show<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    // There may be none.
    let _ = registry.unregister(Box::new(collector.clone()));
    let shown = registry.register(Box::new(collector.clone()));
    shown.expect("a metric has the same help and labels wherever it is described");
    collector
}

impl Metrics {
    /// Shows a metric whose figures `read` adds each time they are asked for. It must not wait.
    pub fn read(
        &self,
        kind: Kind,
        description: &Description<'_>,
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) {
        show(
            &self.registry,
            described(Reading::new(kind, description, read)),
        );
    }

    /// Shows a figure without further labels, which is unknown until it is set.
    pub fn gauge(&self, description: &Description<'_>) -> Gauge {
        let gauge = Gauge::default();
        self.show_gauge(description, gauge.clone());
        gauge
    }

    /// Shows how often what is measured was within each of the `bounds`, from the lowest to the highest.
    pub fn histogram(&self, description: &Description<'_>, bounds: &[f64]) -> HistogramVec {
        show(&self.registry, distribution(description, bounds))
    }

    fn show_gauge(&self, description: &Description<'_>, gauge: Gauge) {
        self.read(Kind::Gauge, description, move |samples| {
            if let Some(value) = gauge.value() {
                samples.add(&[], value);
            }
        });
    }

    /// Says whether the program is ready.
    pub(crate) fn ready(&self, is_ready: bool) {
        self.ready.set(f64::from(u8::from(is_ready)));
    }

    /// All figures as Prometheus text (exposition format 0.0.4).
    pub fn render(&self) -> String {
        // Only a metric without values cannot be written, and those are left out.
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.unwrap_or_default()
    }

    /// A request to a route, which is a pattern of the program's, was answered.
    pub(crate) fn http_answered(
        &self,
        method: &Method,
        route: Option<&str>,
        code: u16,
        took: Duration,
    ) {
        let method = known_method(method).unwrap_or(UNKNOWN);
        let route = route.unwrap_or(UNKNOWN);
        let labels = [method, route, &code.to_string()];
        self.http_requests.with_label_values(&labels).inc();
        let seconds = self.http_seconds.with_label_values(&[route]);
        seconds.observe(took.as_secs_f64());
    }

    /// The figures of the calls that are answered here.
    pub(crate) fn grpc_served(&self) -> &GrpcFigures {
        &self.grpc_served
    }

    /// The figures of the calls of other services.
    pub(crate) fn grpc_made(&self) -> &GrpcFigures {
        &self.grpc_made
    }
}

/// How many gRPC calls there were, and how long they took. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct GrpcFigures {
    calls: IntCounterVec,
    seconds: HistogramVec,
}

impl GrpcFigures {
    /// A call begins, which has a [`known_call`] or none.
    pub(crate) fn begin(&self, call: Option<&'static str>) -> CallCount {
        CallCount {
            figures: self.clone(),
            method: call.map_or(UNKNOWN, |path| path.trim_start_matches('/')),
            begun: Instant::now(),
            is_timed: false,
            code: None,
        }
    }
}

/// The method, unless a client has made it up.
pub(crate) fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = KNOWN.iter().find(|known| **known == method.as_str());
    known.copied()
}

/// The path of a gRPC call, unless a client has made it up.
pub(crate) fn known_call(path: &str) -> Option<&'static str> {
    proto::CALLS.iter().copied().find(|known| *known == path)
}

/// Counts a call when its answer is over, or when it is given up before.
#[derive(Debug)]
pub(crate) struct CallCount {
    figures: GrpcFigures,
    method: &'static str,
    begun: Instant,
    is_timed: bool,
    /// None as long as nothing says it.
    code: Option<Code>,
}

impl CallCount {
    /// The answer begins with these headers.
    pub(crate) fn answered(&mut self, headers: &http::HeaderMap) {
        self.code = code_in(headers);
        self.time();
    }

    /// There is no answer.
    pub(crate) fn failed(&mut self, code: Code) {
        self.code = Some(code);
        self.time();
    }

    /// The answer ends with these trailers.
    pub(crate) fn ended(&mut self, trailers: &http::HeaderMap) {
        self.code = self.code.or_else(|| code_in(trailers));
    }

    fn time(&mut self) {
        if !std::mem::replace(&mut self.is_timed, true) {
            let seconds = self.figures.seconds.with_label_values(&[self.method]);
            seconds.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

impl Drop for CallCount {
    fn drop(&mut self) {
        self.time();
        let code = format!("{:?}", self.code.unwrap_or(Code::Cancelled));
        let calls = &self.figures.calls;
        calls.with_label_values(&[self.method, &code]).inc();
    }
}

fn code_in(headers: &http::HeaderMap) -> Option<Code> {
    let status = headers.get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_make_up_is_one_value() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(3);
        for made_up in ["BREW", "STEEP"] {
            let method = Method::from_bytes(made_up.as_bytes()).unwrap();
            metrics.http_answered(&method, None, 404, took);
        }
        metrics.http_answered(&Method::GET, Some("/movie/{id}"), 200, took);
        let unimplemented = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("12"),
        )]);
        for path in ["/a.B/C", "/a.B/D"] {
            let mut call = metrics.grpc_served().begin(known_call(path));
            call.answered(&unimplemented);
        }
        let known = "/recommendations.Catalog/GetMovie";
        assert_eq!(known_call(known), Some(known));
        let text = metrics.render();
        for line in [
            r#"marquee_http_requests_total{code="404",method="unknown",route="unknown"} 2"#,
            r#"marquee_http_requests_total{code="200",method="GET",route="/movie/{id}"} 1"#,
            r#"marquee_http_request_seconds_bucket{route="/movie/{id}",le="0.005"} 1"#,
            r#"marquee_grpc_calls_total{code="Unimplemented",method="unknown"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn what_is_unknown_is_absent_and_what_is_started_again_is_shown_once() {
        let metrics = Metrics::default();
        let description = Description {
            name: "marquee_pump_strokes",
            help: "Strokes.",
            constant: &[("pump", "left")],
            labels: &[],
        };
        let gauge = metrics.gauge(&description);
        assert!(!metrics.render().contains("marquee_pump"));
        gauge.set(3.0);
        let right = Description {
            constant: &[("pump", "right \"two\"")],
            ..description
        };
        metrics.gauge(&right).set(4.5);
        metrics.gauge(&description).set(5.0);
        let text = metrics.render();
        let shown: Vec<_> = text.lines().filter(|l| l.contains("_pump_")).collect();
        assert_eq!(
            shown,
            [
                "# HELP marquee_pump_strokes Strokes.",
                "# TYPE marquee_pump_strokes gauge",
                r#"marquee_pump_strokes{pump="left"} 5"#,
                r#"marquee_pump_strokes{pump="right \"two\""} 4.5"#,
            ]
        );
    }

    #[test]
    fn the_version_is_a_label() {
        let text = Metrics::default().render();
        let line = format!("\nmarquee_build_info{{version=\"{}\"}} 1\n", crate::VERSION);
        assert!(text.contains(&line), "{text}");
    }

    #[test]
    fn whether_the_program_is_ready_is_a_figure() {
        let metrics = Metrics::default();
        for (is_ready, line) in [
            (true, "\nmarquee_ready 1\n"),
            (false, "\nmarquee_ready 0\n"),
        ] {
            metrics.ready(is_ready);
            let text = metrics.render();
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_call_is_counted_by_how_it_ends() {
        let metrics = Metrics::default();
        let begin = || metrics.grpc_made().begin(Some("/a.B/C"));
        let ok = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]);
        let mut answered = begin();
        answered.answered(&http::HeaderMap::new());
        answered.ended(&ok);
        drop(answered);
        begin().failed(Code::Unavailable);
        drop(begin());
        let text = metrics.render();
        for line in [
            r#"marquee_grpc_client_calls_total{code="Cancelled",method="a.B/C"} 1"#,
            r#"marquee_grpc_client_calls_total{code="Ok",method="a.B/C"} 1"#,
            r#"marquee_grpc_client_calls_total{code="Unavailable",method="a.B/C"} 1"#,
            r#"marquee_grpc_client_call_seconds_count{method="a.B/C"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
