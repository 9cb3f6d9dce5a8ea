//! The settings that every program has beside its own: of the log, of traces, of a stop, of TLS between the services and of Consul.

use std::time::Duration;

use clap::Args;

use crate::{
    Fault, Process,
    consul::ConsulSettings,
    grpc::ServiceKey,
    process::StopSettings,
    telemetry::{self, LogSettings},
    tls::{CertificateFile, GrpcTlsSettings},
    traces::TraceSettings,
};

/// The settings of every program.
#[derive(Debug, Args)]
pub struct CommonSettings {
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten)]
    pub(crate) traces: TraceSettings,
    #[command(flatten)]
    pub(crate) stopping: StopSettings,
    #[command(flatten)]
    pub(crate) grpc_tls: GrpcTlsSettings,
    /// What the services of one site sign their calls with, at least 16 bytes: a service that has it takes no call without a token, and
    /// people act through it as far as they may
    #[arg(long, env, value_name = "TEXT", hide_env_values = true)]
    pub(crate) service_key: Option<ServiceKey>,
    #[command(flatten)]
    pub(crate) consul: ConsulSettings,
}

impl CommonSettings {
    /// All that is wrong with them for a program that serves so many gRPC services, as far as that can be known without starting anything.
    pub fn faults(&self, grpc_servers: usize) -> Vec<Fault> {
        let checks = [
            telemetry::check(&self.log),
            self.traces.collector().map(drop),
            self.grpc_tls.read().map(drop),
            self.consul.read(grpc_servers).map(drop),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    /// The files of certificates that they name.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        let mut files = self.grpc_tls.certificate_files();
        files.extend(self.consul.certificate_file());
        files
    }

    /// A process that calls others as a program with these settings does.
    ///
    /// # Errors
    ///
    /// If one of the files of TLS, or a setting of Consul, cannot be used.
    pub fn process(&self, grpc_servers: usize) -> Result<Process, Fault> {
        let mut process = Process::new();
        process.grpc_tls = self.grpc_tls.read()?;
        process.service_key = self.service_key.clone();
        process.consul = self.consul.read(grpc_servers)?;
        Ok(process)
    }

    /// Sends the collector of traces an empty request, if one is named. Returns its address and what came of it.
    ///
    /// # Errors
    ///
    /// If the settings name no collector that could be asked.
    pub async fn try_collector(
        &self,
        within: Duration,
    ) -> Result<Option<(String, Result<(), String>)>, Fault> {
        match self.traces.collector()? {
            Some(collector) => self.traces.try_collector(collector, within).await.map(Some),
            None => Ok(None),
        }
    }
}
