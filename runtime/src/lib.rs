//! Marquee: what makes a process: supervision, shutdown, configuration, telemetry, health.
