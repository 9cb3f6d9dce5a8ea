//! Templates read what they wrote, and refuse what could be read in two ways.

use super::*;

fn subject(text: &str) -> Template {
    Template::parse(Kind::Subject, text).unwrap()
}

fn topic(text: &str) -> Template {
    Template::parse(Kind::Topic, text).unwrap()
}

#[test]
fn a_template_reads_what_it_wrote() {
    for (subjects, topics, subject_text, topic_text) in [
        (
            "films.{id}.updated",
            "films-{id}",
            "films.7.updated",
            "films-7",
        ),
        (
            "films.{rest...}",
            "films-{rest...}",
            "films.a.b_c",
            "films-a.b_c",
        ),
        ("a.{x}.{y}", "{y}.b-{x}-c", "a.1%.é", "_c3_a9.b-1_25-c"),
        (
            "film_updates",
            "film_updates",
            "film_updates",
            "film_updates",
        ),
        (
            "{all...}",
            "{all...}",
            "movieverse.events",
            "movieverse.events",
        ),
    ] {
        let (subjects, topics) = (subject(subjects), topic(topics));
        let captures = subjects.captures(subject_text).unwrap();
        assert_eq!(topics.fill(&captures).unwrap(), topic_text);
        let captures = topics.captures(topic_text).unwrap();
        assert_eq!(subjects.fill(&captures).unwrap(), subject_text);
    }
}

#[test]
fn a_text_that_does_not_match_captures_nothing() {
    for (pattern, texts) in [
        (
            "films.{id}.updated",
            &[
                "films.7",
                "films.7.updated.x",
                "films..updated",
                "x.7.updated",
            ][..],
        ),
        ("films.>", &["films", "films.", "film.x"]),
        ("films", &["films.x", "film", ""]),
    ] {
        for text in texts {
            assert_eq!(subject(pattern).captures(text), None, "{pattern} {text}");
        }
    }
    for text in ["films-", "film-7", "films-7.x", "7"] {
        assert_eq!(topic("films-{id}").captures(text), None, "{text}");
    }
}

#[test]
fn brokers_are_asked_for_what_may_match() {
    assert_eq!(subject("a.{x}.*.{rest...}").subject_filter(), "a.*.*.>");
    assert_eq!(topic("a.b_c-d").topic_subscription(), "a.b_c-d");
    assert_eq!(
        topic("a.f-{x}-g.{rest...}").topic_subscription(),
        "^a[.]f-[A-Za-z0-9_-]+-g[.][A-Za-z0-9._-]+$"
    );
}

#[test]
fn a_template_that_could_be_read_in_two_ways_is_refused() {
    for (kind, text) in [
        (Kind::Topic, "{a}-{b}"),
        (Kind::Topic, "{a...}-x"),
        (Kind::Topic, "{a...}.x"),
        (Kind::Topic, "{a}.{a}"),
        (Kind::Topic, "a b"),
        (Kind::Topic, "a..b"),
        (Kind::Topic, "{}"),
        (Kind::Topic, "{a"),
        (Kind::Topic, "a}"),
        (Kind::Topic, ""),
        (Kind::Subject, "films-{id}"),
        (Kind::Subject, "a.{A}"),
        (Kind::Subject, "a.>.b"),
        (Kind::Subject, "a*b"),
        (Kind::Subject, "a "),
        (Kind::Subject, ".a"),
    ] {
        assert!(Template::parse(kind, text).is_err(), "{text}");
    }
}

#[test]
fn what_no_broker_takes_is_refused() {
    let one = |text: &str| {
        let mut captures = Captures::default();
        captures.set("x", text.to_owned());
        captures
    };
    for text in ["a..b", "a.", "*", "a.>", "$JS.API.STREAM.DELETE.x", "a\tb"] {
        assert!(subject("{x...}").fill(&one(text)).is_err(), "{text}");
    }
    for text in [
        "..",
        "__consumer_offsets",
        &"x".repeat(250),
        &"%".repeat(90),
    ] {
        assert!(topic("{x...}").fill(&one(text)).is_err(), "{text}");
    }
}
