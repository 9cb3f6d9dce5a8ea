//! Marquee: messaging: the NATS-compatible broker and the event bus over NATS or Kafka.
