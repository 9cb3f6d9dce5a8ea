//! The tables of the movies database, as both dialects of `migrations/movies` make them.
#![expect(
    missing_docs,
    reason = "the macro's modules and types follow the tables"
)]

diesel::table! {
    movies (id) {
        id -> Text,
        title -> Text,
        description -> Nullable<Text>,
        genre -> Nullable<Text>,
        rating -> Nullable<Float>,
        release_year -> Nullable<Text>,
        created_at -> Nullable<Timestamp>,
        updated_at -> Nullable<Timestamp>,
        is_recommended -> Bool,
        version -> BigInt,
        recommended_version -> Nullable<BigInt>,
    }
}

diesel::table! {
    /// One row for each movie version that recommendations must still be told of.
    movie_outbox (seq) {
        seq -> BigInt,
        movie_id -> Text,
        version -> BigInt,
        deleted -> Bool,
        parked_reason -> Nullable<Text>,
    }
}

diesel::table! {
    /// Movies that were deleted a short while ago, as they were.
    deleted_movies (id) {
        id -> Text,
        title -> Text,
        description -> Nullable<Text>,
        genre -> Nullable<Text>,
        rating -> Nullable<Float>,
        release_year -> Nullable<Text>,
        created_at -> Nullable<Timestamp>,
        updated_at -> Nullable<Timestamp>,
        version -> BigInt,
        deleted_at -> Timestamp,
    }
}
