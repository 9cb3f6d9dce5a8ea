//! Marquee: the Recommendations gRPC service: preferences, the matcher, the stored recommendations.

pub mod matching;

pub mod store;
