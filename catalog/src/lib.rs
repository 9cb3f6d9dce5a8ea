//! Marquee: the film catalog: pages, gRPC service, the movies database.
