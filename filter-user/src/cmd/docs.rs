//! Keeps `docs/cli.md` what the command line says. `FLOODWALL_BLESS=1 cargo test` writes it anew.

use std::fmt::Write as _;

use super::definition;

const INTRO: &str = "\
# Command line

This page is generated from the command line's definition (`FLOODWALL_BLESS=1 cargo test -p filter-user cli_md`).

Results go to stdout, errors and remarks to stderr. `--json` makes both one JSON object each. `NO_COLOR` is
honoured.

| exit code | `kind` in JSON | meaning |
|---|---|---|
| 0 | | done |
| 1 | `failed` | no, not found, or an error without a code of its own |
| 2 | `usage` | the command line |
| 3 | `daemon_unreachable` | nobody answers on the control socket |
| 4 | `permission` | the system refuses |
| 5 | `config_invalid` | the configuration; nothing was changed |
| 6 | `guard_rail` | refused because it would do harm |
| 7 | `rolled_back` | done, and taken back: nobody confirmed it in time, or a probe failed |
| 8 | `partial` | some of it was done, some refused |

An error in JSON: `{\"schema\":1,\"error\":{\"code\":6,\"kind\":\"guard_rail\",\"message\":\"..\",\"hint\":\"..\"}}`; for code 5 with
`diagnostics`, a list of `{severity, message, file, line, column, hint}`.

";

fn section(text: &mut String, command: &mut clap::Command, path: &str) {
    let help = command.clone().bin_name(path).term_width(100).render_help();
    let _ = writeln!(text, "## `{path}`\n\n```text\n{}\n```\n", help.to_string().trim_end());
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        if let Some(sub) = command.find_subcommand_mut(name) {
            section(text, sub, &format!("{path} {name}"));
        }
    }
}

#[test]
fn cli_md_is_current() {
    let mut command = definition();
    let mut text = INTRO.to_owned();
    section(&mut text, &mut command, "floodwall");
    let trimmed: Vec<_> = text.lines().map(str::trim_end).collect();
    crate::testing::is_current("cli.md", &(trimmed.join("\n") + "\n"));
}

#[test]
fn the_command_line_is_sound() {
    definition().debug_assert();
}
