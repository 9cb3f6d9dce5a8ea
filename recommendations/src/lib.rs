//! Marquee: the Recommendations gRPC service: preferences, the matcher, the stored recommendations.
