//! Keeps `docs/config.md` what the schema says. `FLOODWALL_BLESS=1 cargo test` writes it anew.

use std::fmt::Write as _;

use super::{
    rule::{Knob, Section as _},
    schema::Settings,
    tests::EXAMPLE,
};

const INTRO: &str = "\
# Configuration

One TOML file, `/etc/floodwall/floodwall.toml` unless `--config` says otherwise. It is read at start and on
SIGHUP (`systemctl reload floodwall`). A file with an error changes nothing: the error names line and column,
the filter goes on with what it had. `floodwall config check` tells beforehand.

This page is generated from the schema (`FLOODWALL_BLESS=1 cargo test -p filter-user docs`).

";

fn heading(path: &str, accepts: &str) -> String {
    if accepts.starts_with("array") { format!("[[{path}]]") } else { format!("[{path}]") }
}

fn table(text: &mut String, knobs: &[Knob], path: &str) {
    let _ = writeln!(text, "| key | accepts | default | meaning |\n|---|---|---|---|");
    for knob in knobs.iter().filter(|knob| knob.children.is_empty()) {
        let Knob { name, help, accepts, default, .. } = knob;
        let _ = writeln!(text, "| `{name}` | {accepts} | {default} | {help} |");
    }
    for knob in knobs.iter().filter(|knob| !knob.children.is_empty()) {
        let inner = if path.is_empty() { knob.name.to_owned() } else { format!("{path}.{}", knob.name) };
        let _ = writeln!(text, "\n## `{}`\n\n{}\n", heading(&inner, &knob.accepts), knob.help);
        table(text, &knob.children, &inner);
    }
}

#[test]
fn config_md_is_current() {
    let mut text = format!("{INTRO}## Example\n\n```toml\n{EXAMPLE}```\n\n## Top level\n\n");
    table(&mut text, &Settings::knobs(), "");
    crate::testing::is_current("config.md", &text);
}
