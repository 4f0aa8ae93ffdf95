//! As TOML that says the same when it is read.

use std::fmt::Write as _;

use serde_json::Value;

use super::Effective;
use crate::config::{
    rule::{Absent, Knob, Section as _, Shape},
    schema::Settings,
};

/// Columns of a line.
const WIDTH: usize = 80;
/// Where remarks about origins begin, at the earliest.
const REMARK: usize = 32;

impl Effective {
    /// As TOML; with the origin of each value, if it has any.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut printer = Printer { effective: self, text: String::new() };
        printer.table(&self.config, &Settings::knobs(), "", "");
        printer.text
    }
}

struct Printer<'a> {
    effective: &'a Effective,
    text: String,
}

impl Printer<'_> {
    /// `heading` is the path in TOML's headings, `path` that in origins.
    fn table(&mut self, table: &Value, knobs: &[Knob], heading: &str, path: &str) {
        let dot = if path.is_empty() { "" } else { "." };
        let (tables, leaves): (Vec<_>, Vec<_>) = knobs.iter().partition(|knob| knob.children().is_some());
        for knob in leaves {
            self.leaf(knob, &table[knob.name], &format!("{path}{dot}{}", knob.name));
        }
        for knob in tables {
            let (heading, path) =
                (format!("{heading}{dot}{}", knob.name), format!("{path}{dot}{}", knob.name));
            let (value, children) = (&table[knob.name], knob.children().unwrap_or_default());
            if matches!(knob.shape, Shape::Table(_)) {
                let _ = writeln!(self.text, "\n[{heading}]");
                self.table(value, children, &heading, &path);
                continue;
            }
            for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                let _ = writeln!(self.text, "\n[[{heading}]]");
                self.table(item, children, &heading, &format!("{path}[{number}]"));
            }
        }
    }

    fn leaf(&mut self, knob: &Knob, value: &Value, path: &str) {
        let name = knob.name;
        let line = match value {
            Value::Null => match &knob.absent {
                Absent::Means(meaning) => format!("# {name}: {}", meaning.replace('`', "")),
                _ => format!("# {name}"),
            },
            Value::Array(items) if !items.is_empty() => return self.list(name, items, path),
            value => format!("{name} = {}", literal(value)),
        };
        self.line(&line, path);
    }

    fn list(&mut self, name: &str, items: &[Value], path: &str) {
        let line = format!("{name} = [{}]", items.iter().map(literal).collect::<Vec<_>>().join(", "));
        let of = |number: usize| self.effective.origins.get(&format!("{path}[{number}]"));
        let same = (1..items.len()).all(|number| of(number) == of(0));
        if line.len() <= WIDTH && same {
            return self.line(&line, &format!("{path}[0]"));
        }
        let _ = writeln!(self.text, "{name} = [");
        for (number, item) in items.iter().enumerate() {
            self.line(&format!("    {},", literal(item)), &format!("{path}[{number}]"));
        }
        self.text += "]\n";
    }

    fn line(&mut self, line: &str, path: &str) {
        let _ = match self.effective.origins.get(path) {
            Some(origin) => writeln!(self.text, "{line:<REMARK$} # {origin}"),
            None => writeln!(self.text, "{line}"),
        };
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    }
}
