//! A metric whose figures are read when Prometheus asks, from what a part of the program knows anyhow.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use prometheus::{
    core::{Collector, Desc},
    proto::{self, LabelPair, MetricFamily, MetricType},
};

/// What a metric is called and means.
#[derive(Debug, Clone, Copy, Default)]
pub struct Description<'a> {
    /// Its name, which ends in its unit, or in `_total` if it is a counter.
    pub name: &'a str,
    /// What it says, in a sentence.
    pub help: &'a str,
    /// Labels that have the same value for all its figures, such as the database that they are of.
    pub constant: &'a [(&'a str, &'a str)],
    /// The names of the other labels, whose values must be few.
    pub labels: &'a [&'a str],
}

/// What a metric that is read does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows, and begins again when the process does.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Is a distribution, known by its quantiles.
    Summary,
}

/// A distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Quantiles of what was measured lately, from 0 to 1, and their values.
    pub quantiles: Vec<(f64, Duration)>,
    /// All that was measured, added up.
    pub sum: Duration,
    /// How often it was measured.
    pub count: u64,
}

/// The figures of a metric, while they are read.
pub struct Samples<'a> {
    desc: &'a Desc,
    kind: Kind,
    metrics: Vec<proto::Metric>,
}

impl Samples<'_> {
    /// Adds the figure of these labels, whose values are in the order of their names.
    pub fn add(&mut self, labels: &[&str], value: f64) {
        let mut metric = self.labelled(labels);
        match self.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Summary => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }

    /// Adds the distribution of these labels.
    pub fn add_distribution(&mut self, labels: &[&str], distribution: &Distribution) {
        let quantiles = distribution.quantiles.iter().map(|(quantile, value)| {
            let mut known = proto::Quantile::default();
            known.set_quantile(*quantile);
            known.set_value(value.as_secs_f64());
            known
        });
        let mut summary = proto::Summary::default();
        summary.set_quantile(quantiles.collect());
        summary.set_sample_sum(distribution.sum.as_secs_f64());
        summary.set_sample_count(distribution.count);
        let mut metric = self.labelled(labels);
        metric.set_summary(summary);
        self.metrics.push(metric);
    }

    fn labelled(&self, values: &[&str]) -> proto::Metric {
        let names = &self.desc.variable_labels;
        debug_assert_eq!(names.len(), values.len(), "{}", self.desc.fq_name);
        let own = names.iter().zip(values).map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.clone());
            label.set_value((*value).to_owned());
            label
        });
        let labels = self.desc.const_label_pairs.iter().cloned().chain(own);
        proto::Metric::from_label(labels.collect())
    }
}

/// The collector of a metric that is read.
#[derive(Clone)]
pub(super) struct Reading {
    desc: Desc,
    kind: Kind,
    read: Arc<dyn Fn(&mut Samples<'_>) + Send + Sync>,
}

impl Reading {
    pub(super) fn new(
        kind: Kind,
        description: &Description<'_>,
        read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let constant = description.constant.iter();
        let constant: HashMap<String, String> = constant
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let labels = description.labels.iter().map(|name| (*name).to_owned());
        let (name, help) = (description.name.to_owned(), description.help.to_owned());
        Ok(Self {
            desc: Desc::new(name, help, labels.collect(), constant)?,
            kind,
            read: Arc::new(read),
        })
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reading({})", self.desc.fq_name)
    }
}

impl Collector for Reading {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples {
            desc: &self.desc,
            kind: self.kind,
            metrics: Vec::new(),
        };
        (self.read)(&mut samples);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Summary => MetricType::SUMMARY,
        });
        family.set_metric(samples.metrics);
        vec![family]
    }
}
