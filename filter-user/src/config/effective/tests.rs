//! What is shown is what is meant.

use super::*;
use crate::config::{self, tests::EXAMPLE};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

const MAIN: &str = r#"schema = 1
[management]
allow = ["192.31.196.1"]
[[interface]]
name = "eth0"
[[service]]
name = "web"
profile = "web"
syn = { on = 9000 }
dst = "192.31.196.0/24"
[cookie]
key_file = "/etc/floodwall/master key"
"#;

fn shown() -> Effective {
    let more = "[[rule]]\nname = \"r\"\naction = \"drop\"\nproto = \"gre\"\n[management]\nallow = [\"192.31.196.2\"]\n";
    let sources = vec![source("f.toml", MAIN), source("conf.d/a.toml", more)];
    Effective::of(config::of_sources(sources).unwrap().sources())
}

#[test]
fn each_value_has_an_origin() {
    let shown = shown();
    let origin = |path: &str| shown.origins.get(path).map_or("", String::as_str);
    assert_eq!(origin("schema"), "f.toml:1");
    assert_eq!(origin("daemon.mode"), "default");
    assert_eq!(origin("management.allow[0]"), "f.toml:3");
    assert_eq!(origin("management.allow[1]"), "conf.d/a.toml:6");
    assert_eq!(origin("lists.block"), "default");
    assert_eq!(origin("service[0].syn.on"), "f.toml:9");
    assert_eq!(origin("service[0].syn.off"), "profile web");
    assert_eq!(origin("service[0].ports[2]"), "profile web");
    assert_eq!(origin("service[0].syn.hold"), "default");
    assert_eq!(origin("rule[0].proto[0]"), "conf.d/a.toml:4");
    assert_eq!(shown.files, ["f.toml", "conf.d/a.toml"]);
    let config = &shown.config;
    assert_eq!((&config["cookie"]["period"], &config["rule"][0]["src"]), (&"64s".into(), &Value::Null));
    assert_eq!(config["service"][0]["dst"], serde_json::json!(["192.31.196.0/24"]));
}

#[test]
fn the_text_has_origins_as_remarks() {
    let text = shown().to_toml();
    for wanted in [
        "schema = 1                       # f.toml:1\n",
        "\n[daemon]\nmode = \"observe\"                 # default\n",
        "\n[management]\nallow = [\n    \"192.31.196.1\",              # f.toml:3\n    \"192.31.196.2\",              # conf.d/a.toml:6\n]\n",
        "\n[[service]]\nname = \"web\"                     # f.toml:7\n",
        "\n[service.syn]\nmode = \"auto\"                    # profile web\non = 9000                        # f.toml:9\n",
        "# src: any                       # default\n",
        "key_file = \"/etc/floodwall/master key\" # f.toml:12\n",
        "\n[cookie.syn_ack]\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn the_text_says_the_same_when_it_is_read() {
    let quoted = "schema = 1\n[[interface]]\nname = '\"\\'\n";
    for text in [EXAMPLE, MAIN, quoted] {
        let first = Effective::of(config::parse(source("f.toml", text)).unwrap().sources());
        let again = Effective { origins: BTreeMap::new(), ..first.clone() }.to_toml();
        let loaded = config::parse(source("f.toml", &again)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Effective::of(loaded.sources()).config, first.config);
        assert!(again.lines().all(|line| line.len() <= 80), "{again}");
    }
}

#[test]
fn many_entries_are_placed_quickly() {
    let entries = (0..40_000).fold(String::new(), |text, number| {
        text + &format!("\"192.31.{}.{}\",\n", number >> 8, number & 255)
    });
    let text = format!("{MAIN}[lists]\nblock = [\n{entries}]\n");
    let shown = Effective::of(&[source("f.toml", &text)]);
    assert_eq!(shown.origins["lists.block[39999]"], "f.toml:40014");
}
