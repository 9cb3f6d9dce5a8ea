//! What the parser takes, what it refuses, and where it says that the mistake is.

use super::*;

fn parsed(text: &str) -> Map {
    parse_text(text, "test.conf").unwrap()
}

fn refused(text: &str) -> String {
    parse_text(text, "test.conf").unwrap_err().to_string()
}

fn string(text: &str) -> Option<Value> {
    Some(Value::String(text.into()))
}

#[test]
fn keys_are_parted_from_values_in_each_way() {
    for text in [
        "port = 4222",
        "port: 4222",
        "port 4222",
        "port=4222;",
        "  port:4222,",
        "port\n4222",
        "'port': 4222",
        "{\"port\": 4222}",
        "{\n  port 4222\n}\n",
        "# a comment\nport = 4222 # another\n// a third",
        "port: 4222 // behind it",
    ] {
        assert_eq!(
            parsed(text).get("port"),
            Some(&Value::Integer(4222)),
            "{text}"
        );
    }
}

#[test]
fn maps_and_arrays_nest() {
    let map = parsed(
        "authorization {\n users = [ {user: a, password: 'b'}\n {user: c, password: \"d\"} ]\n}\nlist: [1, two\n three]",
    );
    let Some(Value::Map(authorization)) = map.get("authorization") else {
        panic!("{map:?}")
    };
    let Some(Value::Array(users)) = authorization.get("users") else {
        panic!("{authorization:?}")
    };
    let second = users[1].map().unwrap();
    assert_eq!(second.get("user"), string("c").as_ref());
    assert_eq!(second.get("password"), string("d").as_ref());
    let Some(Value::Array(list)) = map.get("list") else {
        panic!("{map:?}")
    };
    assert_eq!(list.len(), 3);
}

#[test]
fn strings_are_raw_or_escaped_or_of_several_lines() {
    for (text, value) in [
        (r#"a: "x\ty\"\x41\\""#, "x\ty\"A\\"),
        (r"a: 'x\t'", r"x\t"),
        (r"a: x\ty", "x\ty"),
        ("a: nats://h:1", "nats://h:1"),
        ("a: _INBOX.>", "_INBOX.>"),
        ("a: $2a$11$abc/def", "$2a$11$abc/def"),
        ("a (\nfirst\n  (second)\n)\n", "\nfirst\n  (second)\n"),
        ("a: 127.0.0.1:4222", "127.0.0.1:4222"),
    ] {
        assert_eq!(parsed(text).get("a"), string(value).as_ref(), "{text}");
    }
}

#[test]
fn a_variable_is_a_setting_of_an_outer_map_or_of_the_environment() {
    let map = parsed("pass: s3cr3t\na { b { password: $pass } }\nhome: $CARGO_PKG_NAME");
    let Some(Value::Map(a)) = map.get("a") else {
        panic!("{map:?}")
    };
    let Some(Value::Map(b)) = a.get("b") else {
        panic!("{a:?}")
    };
    assert_eq!(b.get("password"), string("s3cr3t").as_ref());
    assert_eq!(map.get("home"), string("bridge").as_ref());
    let used: Vec<_> = map.iter().map(|(key, _, used)| (key, used)).collect();
    assert_eq!(used, [("pass", true), ("a", false), ("home", false)]);
    let error = refused("a: $NOT_SET_ANYWHERE");
    assert!(error.contains("`NOT_SET_ANYWHERE`"), "{error}");
}

#[test]
fn the_last_of_two_values_counts() {
    assert_eq!(parsed("a: 1\na: 2").get("a"), Some(&Value::Integer(2)));
}

#[test]
fn files_are_included_from_the_folder_of_the_one_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    write(
        "main.conf",
        "port: 1\ninclude ./inner/users.conf\na { include 'inner/more.conf' }",
    );
    write("inner/users.conf", "user: x\ninclude \"more.conf\"");
    write("inner/more.conf", "more: true");
    write("circle.conf", "include circle.conf");
    write("missing.conf", "\n include nothing.conf");
    write("wrong.conf", "port: 1\n include inner/wrong.conf");
    write("inner/wrong.conf", "a: [1,");
    let map = parse_file(&folder.path().join("main.conf")).unwrap();
    assert_eq!(map.get("user"), string("x").as_ref());
    assert_eq!(map.get("more"), Some(&Value::Bool(true)));
    let Some(Value::Map(a)) = map.get("a") else {
        panic!("{map:?}")
    };
    assert_eq!(a.get("more"), Some(&Value::Bool(true)));
    for (name, reason) in [
        (
            "circle.conf",
            "circle.conf:1:1: files include each other too deep",
        ),
        (
            "missing.conf",
            "missing.conf:2:2: the included file `nothing.conf`: cannot read it",
        ),
        (
            "wrong.conf",
            "inner/wrong.conf:1:4: the array that starts here has no end",
        ),
        ("none.conf", "none.conf: cannot read it: No such file"),
    ] {
        let error = parse_file(&folder.path().join(name)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_files_and_variables_refer_to_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: usize| folder.path().join(format!("{name}.conf"));
    std::fs::write(path(10), "a: 1").unwrap();
    for name in 0..10 {
        let text = format!("include {}.conf\n", name + 1).repeat(10);
        std::fs::write(path(name), text).unwrap();
    }
    let error = parse_file(&path(0)).unwrap_err().to_string();
    assert!(error.contains("together are too large"), "{error}");
    parse_file(&path(8)).unwrap();

    let mut text = "v0: [a]\n".to_owned();
    for number in 1..30 {
        let before = number - 1;
        text.push_str(&format!("v{number}: [$v{before}, $v{before}]\n"));
    }
    let error = refused(&text);
    assert!(error.contains("together are too large"), "{error}");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (text, error) in [
        ("a: {", "test.conf:1:4: the map that starts here has no end"),
        (
            "{\n  \"port\": : \"x\"\n}",
            "test.conf:2:11: expected a value, but found `:`",
        ),
        ("\n\n  port:\n", "test.conf:3:3: the setting has no value"),
        ("port", "test.conf:1:1: the setting has no value"),
        (
            "a: 1 b: 2",
            "test.conf:1:6: expected the end of the setting",
        ),
        (
            "a: \"b",
            "test.conf:1:4: the string that starts here has no end",
        ),
        ("a: \"\\q\"", "test.conf:1:6: behind a backslash"),
        ("a: [1,,2]", "test.conf:1:7: expected a value or `]`"),
        ("}", "test.conf:1:1: expected the name of a setting"),
        (
            "a: 99999999999999999999",
            "test.conf:1:4: the number is too large",
        ),
        ("{a: 1} b: 2", "test.conf:1:8: expected the end of the file"),
        (
            "a (\nb",
            "test.conf:1:3: the block that starts here has no end",
        ),
        ("include", "test.conf:1:1: the setting has no value"),
        (
            "include ",
            "test.conf:1:1: `include` needs the name of a file",
        ),
    ] {
        let refused = refused(text);
        assert!(refused.starts_with(error), "{text:?}: {refused}");
    }
    let deep = format!("a: {}", "[".repeat(100_000));
    assert!(refused(&deep).contains("nested too deep"));
}

proptest::proptest! {
    /// More of it: `PROPTEST_CASES=1000000 cargo test --workspace --lib any_text_is_read_or_refused`.
    #[test]
    fn any_text_is_read_or_refused(text in r#"([a-c{}\[\]:=,;#/$"'\\(). \n\t-]|include |[0-9]|é|\x00|kb|a: \{|\}\n){0,60}"#) {
        // What it says does not matter: it must come to an end, and not panic.
        let _ = parse_text(&text, "test.conf");
    }
}
