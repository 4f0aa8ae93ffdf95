//! The schema takes what the reader takes.

use std::fs;

use serde_json::Value;

use super::*;
use crate::config::{self, tests::EXAMPLE};

/// What is wrong with `value`, by as much of JSON Schema as the document uses.
fn faults(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    if let Some(any) = schema["anyOf"].as_array() {
        let tried: Vec<_> = any.iter().map(|schema| faults(value, schema, path)).collect();
        return if tried.iter().any(Vec::is_empty) { Vec::new() } else { tried.concat() };
    }
    let mut found = Vec::new();
    let mut fault = |what: &str| found.push(format!("{path} = {value}: {what}"));
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        fault("none of these");
    }
    match (schema["type"].as_str().expect("a type"), value) {
        ("string", Value::String(text)) => {
            let pattern = schema["pattern"].as_str().map(|pattern| regex_lite::Regex::new(pattern).unwrap());
            if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
                fault("no match");
            }
        }
        ("integer", Value::Number(number)) => {
            let (least, most) = (schema["minimum"].as_u64(), schema["maximum"].as_u64());
            let number = number.as_u64();
            if number.is_none()
                || least.is_some_and(|n| number < Some(n))
                || most.is_some_and(|n| number > Some(n))
            {
                fault("out of bounds");
            }
        }
        ("boolean", Value::Bool(_)) => {}
        ("array", Value::Array(items)) => {
            let items = items.iter().enumerate();
            found.extend(items.flat_map(|(i, item)| faults(item, &schema["items"], &format!("{path}[{i}]"))));
        }
        ("object", Value::Object(table)) => {
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !table.contains_key(key) {
                    fault(&format!("{key} is missing"));
                }
            }
            for (key, value) in table {
                match schema["properties"].get(key) {
                    Some(schema) => found.extend(faults(value, schema, &format!("{path}.{key}"))),
                    None => found.push(format!("{path}.{key} is unknown")),
                }
            }
        }
        (wanted, _) => fault(&format!("no {wanted}")),
    }
    found
}

fn faults_of(text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    faults(&value, &document(), "")
}

/// TOML in the sources of tests and in the docs.
fn fixtures() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let manual = read("../docs/config.md");
    let head = "schema = 1\n[[interface]]\nname = \"eth0\"\n";
    let blocks = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let blocks = blocks.map(|(block, _)| match block {
        whole if whole.contains("schema = 1") => whole.to_owned(),
        rules if rules.contains("[[rule]]") => format!("{head}{rules}"),
        preset => format!("{head}[[service]]\nname = \"x\"\n{preset}"),
    });
    blocks.chain([EXAMPLE.to_owned(), read("src/bench/usual.toml")]).collect()
}

#[test]
fn what_the_reader_takes_is_fine() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 8, "{}", fixtures.len());
    for text in fixtures {
        let source = config::Source { path: "f.toml".to_owned(), text: text.clone() };
        // A preset without ports of its own.
        if let Err(error) = config::parse(source) {
            assert!(error.to_string().contains("has no ports"), "{error}");
        }
        assert_eq!(faults_of(&text), [""; 0], "{text}");
    }
}

#[test]
fn defaults_and_odd_but_accepted_values_are_fine() {
    let odd = r#"
schema = 1
[daemon]
log = "info,filter_user=debug"
[[interface]]
name = "eth0.100@x"
[[service]]
name = "A-b_9"
ports = ["tcp/1", "udp/1000-2000"]
dst = "2620:4f:8000::/48"
rate = { per_source = "  1000/s   burst 2000 ", per_source_bytes = "1GB/s burst 2GiB" }
[[rule]]
name = "r"
action = "count"
proto = ["tcp"]
flags = "syn, !ack"
[host]
total_bytes = "100kbit/s burst 64KiB"
[metrics]
listen = "[::1]:9980"
[protocols]
allow = ["ospf", "253"]
"#;
    let source = config::Source { path: "f.toml".to_owned(), text: odd.to_owned() };
    assert!(config::parse(source).is_ok_and(|loaded| loaded.report.diagnostics.is_empty()));
    assert_eq!(faults_of(odd), [""; 0]);
    let effective = config::Effective::of(&[config::Source { path: String::new(), text: odd.to_owned() }]);
    let without_nulls: Value = toml::from_str(&effective.to_toml()).unwrap();
    assert_eq!(faults(&without_nulls, &document(), ""), [""; 0]);
}

#[test]
fn what_is_wrong_is_found() {
    let cases = [
        ("[daemon]\nmod = \"observe\"", ".daemon.mod is unknown"),
        ("[cookie]\nperiod = \"64\"", "no match"),
        ("[stray]\non = 5", "out of bounds"),
        ("[limits]\nflows = 5000", "none of these"),
        ("[[rule]]\nname = \"x\"", "action is missing"),
        ("[[rule]]\nname = \"x\"\naction = \"accept\"", "none of these"),
        ("[[service]]\nname = \"x\"\nobserve = \"yes\"", "no boolean"),
        ("[metrics]\nlisten = 9980", "no string"),
    ];
    for (lines, wanted) in cases {
        let found = faults_of(&format!("schema = 1\n{lines}\n"));
        assert!(found.len() == 1 && found[0].contains(wanted), "{lines}: {found:?}");
    }
}

/// Headings and keys of `docs/config.md`.
#[test]
fn every_knob_of_the_manual_is_in_it() {
    let manual =
        fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md"));
    let (mut place, mut seen) = (Vec::new(), 0);
    let document = document();
    for line in manual.unwrap().lines() {
        if let Some(heading) = line.strip_prefix("## `[") {
            let heading = heading.trim_matches(['[', ']', '`']);
            place = heading.split('.').map(str::to_owned).collect();
        }
        let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) else {
            continue;
        };
        let mut level = &document;
        for table in &place {
            level = &level["properties"][table];
            level = level.get("items").unwrap_or(level);
        }
        let property = &level["properties"][key];
        assert!(property["description"].is_string(), "{place:?} {key}");
        assert!(property["type"].is_string() || property["anyOf"].is_array(), "{place:?} {key}");
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}
