//! The tables of the recommendations database, the same in SQLite and MySQL.

diesel::table! {
    sequences (name) {
        name -> Text,
        value -> BigInt,
    }
}

diesel::table! {
    changes (seq) {
        seq -> BigInt,
        kind -> Text,
        user_id -> Nullable<Integer>,
        keyword -> Nullable<Text>,
        film_id -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    films (film_id) {
        film_id -> Text,
        title -> Text,
        description -> Text,
        genre -> Text,
        rating -> Float,
        release_year -> Text,
        keywords -> Text,
        version -> Nullable<BigInt>,
        deleted -> Bool,
        recommended_count -> BigInt,
        stated -> Nullable<Bool>,
        is_rated -> Bool,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    prefs (id) {
        id -> Integer,
        user_id -> Integer,
        keyword -> Text,
        normal -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    recommendations (id) {
        id -> BigInt,
        user_id -> Integer,
        film_id -> Text,
        title -> Nullable<Text>,
        description -> Nullable<Text>,
        genre -> Nullable<Text>,
        rating -> Nullable<Float>,
        release_year -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    backlog (id) {
        id -> BigInt,
        film_id -> Nullable<Text>,
        user_id -> Nullable<Integer>,
        keyword -> Nullable<Text>,
        position -> Text,
        refresh -> Bool,
        created_at -> Timestamp,
    }
}

diesel::table! {
    shards (id) {
        id -> Text,
        film_id -> Text,
        first_user -> Integer,
        last_user -> Integer,
        owner -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    outbox (seq) {
        seq -> BigInt,
        topic -> Text,
        event_key -> Text,
        payload -> Text,
        created_at -> Timestamp,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    secrets (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    looks (user_id) {
        user_id -> Integer,
        looked_at -> Timestamp,
    }
}

diesel::table! {
    leases (name) {
        name -> Text,
        holder -> Text,
        beat -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(recommendations, films);
