//! The tables of the accounts database, the same in SQLite and MySQL.

diesel::table! {
    sequences (name) {
        name -> Text,
        value -> BigInt,
    }
}

diesel::table! {
    users (id) {
        id -> Integer,
        username -> Text,
        username_key -> Text,
        email -> Text,
        email_key -> Text,
        is_email_confirmed -> Bool,
        pending_email -> Text,
        password_hash -> Nullable<Text>,
        role -> Integer,
        is_disabled -> Bool,
        about -> Text,
        favourite_genres -> Text,
        shows_profile -> Bool,
        shows_about -> Bool,
        shows_activity -> Bool,
        picture_version -> BigInt,
        second_factor -> Nullable<Text>,
        new_second_factor -> Nullable<Text>,
        second_factor_step -> BigInt,
        created_at -> Timestamp,
        last_used_at -> Nullable<Timestamp>,
        version -> BigInt,
    }
}

diesel::table! {
    pictures (user_id) {
        user_id -> Integer,
        image -> Binary,
        version -> BigInt,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Integer,
        secret -> Text,
        family -> Nullable<Text>,
        is_of_pages -> Bool,
        is_remembered -> Bool,
        created_at -> Timestamp,
        last_used_at -> Timestamp,
        expires_at -> Timestamp,
        address -> Text,
        agent -> Text,
    }
}

diesel::table! {
    personal_tokens (id) {
        id -> Text,
        user_id -> Integer,
        name -> Text,
        secret -> Text,
        prefix -> Text,
        scopes -> Integer,
        created_at -> Timestamp,
        last_used_at -> Nullable<Timestamp>,
        expires_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    codes (code) {
        code -> Text,
        user_id -> Integer,
        kind -> Text,
        email -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    recovery_codes (user_id, code) {
        user_id -> Integer,
        code -> Text,
    }
}

diesel::table! {
    invitations (id) {
        id -> Text,
        code -> Text,
        role -> Integer,
        email -> Text,
        invited_by -> Integer,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        used_by -> Nullable<Integer>,
    }
}

diesel::table! {
    identities (provider, subject) {
        provider -> Text,
        subject -> Text,
        user_id -> Integer,
        created_at -> Timestamp,
    }
}

diesel::table! {
    provider_sign_ins (state) {
        state -> Text,
        provider -> Text,
        nonce -> Text,
        verifier -> Text,
        return_to -> Text,
        link_to -> Nullable<Integer>,
        invitation -> Text,
        redirect_uri -> Text,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    unfinished_sign_ins (continuation) {
        continuation -> Text,
        user_id -> Integer,
        return_to -> Text,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    new_devices (user_id) {
        user_id -> Integer,
        told_at -> Timestamp,
    }
}

diesel::table! {
    mails (seq) {
        seq -> BigInt,
        recipient -> Text,
        subject -> Text,
        body -> Text,
        created_at -> Timestamp,
        attempts -> Integer,
        next_try -> Timestamp,
        request_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        secret -> Text,
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
    changes (seq) {
        seq -> BigInt,
        user_id -> Nullable<Integer>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    audit (number) {
        number -> BigInt,
        at -> Timestamp,
        actor_id -> Integer,
        actor -> Text,
        subject_id -> Integer,
        subject -> Text,
        action -> Text,
        details -> Text,
        address -> Text,
        request_id -> Nullable<Text>,
    }
}

diesel::table! {
    secrets (name) {
        name -> Text,
        value -> Text,
    }
}
