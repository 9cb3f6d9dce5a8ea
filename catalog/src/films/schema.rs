//! The tables of the movies database, as both dialects of `migrations/movies` make them. Only the
//! columns that queries name are here in the types that both dialects share.
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
        /// The genre text of which `movie_genres` has the entries.
        listed_genre -> Nullable<Text>,
    }
}

diesel::table! {
    /// One row for each genre of a film, folded.
    movie_genres (movie_id, genre) {
        movie_id -> Text,
        genre -> Text,
        created_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    /// One row for each film version that was not delivered to recommendations yet.
    movie_outbox (seq) {
        seq -> BigInt,
        movie_id -> Text,
        version -> BigInt,
        deleted -> Bool,
        parked_reason -> Nullable<Text>,
        /// The request that wrote the version, and its place in the trace of it.
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    /// Films that were deleted a short while ago, as they were.
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
        /// JSON.
        external_ids -> Nullable<Text>,
    }
}

diesel::table! {
    /// One row for each write of a film.
    film_changes (number) {
        number -> BigInt,
        film_id -> Text,
        title -> Text,
        kind -> Text,
        user_id -> Integer,
        changed_at -> Timestamp,
        version -> BigInt,
        request_id -> Nullable<Text>,
        /// JSON, as the history writes it.
        state_before -> Nullable<Text>,
        state_after -> Nullable<Text>,
        undoes -> Nullable<BigInt>,
    }
}

diesel::table! {
    /// One row for each id that a film has elsewhere.
    film_external_ids (film_id, source) {
        film_id -> Text,
        source -> Text,
        value -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(movies, movie_genres);
