//! An explanation for people.

use std::fmt::Write as _;

use super::{Explanation, Found, Subject};

impl Explanation {
    /// The verdict, the way to it and the way out.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        let (bold, off) = if color { (self.color(), "\x1b[0m") } else { ("", "") };
        let verdict = self.verdict.to_uppercase().replace('_', " ");
        let mut text = format!("{bold}{verdict}{off}  reason={}", self.reason);
        let _ = match self.stage {
            Some(number) => {
                let name = self.stages.get(number - 1).map_or("", |step| step.stage);
                write!(text, "  stage {number} of {} ({name})", self.stages.len())
            }
            None => write!(text, "  none of {} stages objects", self.stages.len()),
        };
        for (what, name) in [("service", &self.service), ("rule", &self.rule)] {
            if let Some(name) = name {
                let _ = write!(text, "  {what} {name}");
            }
        }
        let _ = writeln!(text, "\n{}", self.program.text());
        if self.observed {
            text += "observed: it is counted, and passes\n";
        }
        if let Some(next) = self.program.next.as_ref().filter(|_| self.observed || self.verdict == "pass") {
            let _ = writeln!(text, "then {next} goes on with it");
        }
        let _ = writeln!(text, "{}", self.packet);
        if let Some(was) = &self.was {
            let _ = writeln!(text, "{}", was.text());
        }
        text.push('\n');
        for (number, step) in (1..).zip(&self.stages) {
            let found = match step.found {
                Found::No => "no",
                Found::Match => "MATCH",
                Found::NotConcerned => "-",
                Found::NotReached => continue,
            };
            let detail = if step.detail.is_empty() { step.about } else { &step.detail };
            let _ = writeln!(text, "  {number:>2} {:<16} {found:<6} {detail}", step.stage);
        }
        let _ = writeln!(text, "\nwhy: {}", self.help);
        for remedy in &self.remedies {
            let _ = writeln!(text, "try: {remedy}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn color(&self) -> &'static str {
        match self.verdict {
            "pass" => "\x1b[1;32m",
            "drop" => "\x1b[1;31m",
            _ => "\x1b[1;33m",
        }
    }
}

impl Subject {
    /// Which program it is.
    #[must_use]
    pub fn text(&self) -> String {
        let program = match &self.fingerprint {
            Some(fingerprint) => format!("program {fingerprint}"),
            None => "the candidate".to_owned(),
        };
        format!("on {}, {program}, {}", self.interface, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use filter_common::reason::Reason;

    use super::*;
    use crate::explain::{SCHEMA, Step};

    fn explanation() -> Explanation {
        let step = |stage, found| Step { stage, about: "lists", found, detail: String::new() };
        Explanation {
            schema: SCHEMA,
            packet: "TCP 9.9.9.9:1 > 192.31.196.2:80 SYN, TTL 64, 60 bytes".to_owned(),
            was: None,
            verdict: "would_drop",
            reason: Reason::Banned.label(),
            help: Reason::Banned.help(),
            observed: true,
            stage: Some(2),
            service: Some("web".to_owned()),
            rule: None,
            program: Subject {
                interface: "eth0".to_owned(),
                fingerprint: Some("1f3a90c2".to_owned()),
                mode: "observe",
                next: None,
            },
            stages: vec![
                step("parse", Found::No),
                step("bans", Found::Match),
                step("limits", Found::NotReached),
            ],
            reply: None,
            remedies: vec!["floodwall ban test 9.9.9.9".to_owned()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn people_read_the_verdict_first() {
        let text = explanation().text(false);
        let expected = "\
WOULD DROP  reason=banned  stage 2 of 3 (bans)  service web
on eth0, program 1f3a90c2, observe
observed: it is counted, and passes
TCP 9.9.9.9:1 > 192.31.196.2:80 SYN, TTL 64, 60 bytes

   1 parse            no     lists
   2 bans             MATCH  lists

why: The source is banned, and the ban has not ended.
try: floodwall ban test 9.9.9.9
";
        assert_eq!(text, expected);
        let mut onward = explanation();
        onward.program.next = Some("the XDP program 41 (balance)".to_owned());
        assert!(
            onward.text(false).contains("passes\nthen the XDP program 41 (balance) goes on with it\nTCP")
        );
        (onward.observed, onward.verdict) = (false, "drop");
        assert!(!onward.text(false).contains("balance"));
        assert!(explanation().text(true).starts_with("\x1b[1;33mWOULD DROP\x1b[0m"));
    }

    #[test]
    fn programs_read_json() {
        let json = serde_json::to_value(explanation()).unwrap();
        assert_eq!(
            (&json["schema"], &json["verdict"], &json["stages"][1]["found"]),
            (&1.into(), &"would_drop".into(), &"match".into())
        );
        assert!(json["try"][0].is_string() && json["stages"][0].get("detail").is_none());
    }
}
