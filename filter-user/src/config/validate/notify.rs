//! Who is told of attacks.

use std::ops::Range;

use toml::Spanned;

use super::unique;
use crate::config::{
    diagnostic::{Diagnostic, Problems},
    schema::{Notify, Via},
    value::Origin,
};

/// Most targets.
const MOST: usize = 16;
/// Most arguments of a command.
const ARGUMENTS: usize = 32;

pub(super) fn targets(targets: &[Notify], problems: &mut Problems) {
    unique("notify", targets.iter().map(|target| &target.name), problems);
    if let Some(extra) = targets.get(MOST) {
        let error = Diagnostic::error(extra.name.span(), format!("more than {MOST} targets"));
        problems.push(error.hint("Alertmanager, or a command, may tell any number"));
    }
    for target in targets {
        place(target, problems);
        belongings(target, problems);
    }
}

/// Whether it says where, and only once.
fn place(target: &Notify, problems: &mut Problems) {
    let Notify { name, to, to_file, .. } = target;
    let kind = *target.kind.as_ref();
    let label = kind.label();
    let mut error = |span: Range<usize>, what: String, hint: &str| {
        problems.push(Diagnostic::error(span, what).hint(hint.to_owned()));
    };
    let is_web = matches!(kind, Via::Webhook | Via::Alertmanager);
    match (to, to_file) {
        (Some(to), Some(_)) => {
            error(to.span(), "two places to send it to".to_owned(), "keep `to` or `to_file`");
        }
        (None, None) if is_web => {
            error(name.span(), format!("{label} needs `to`"), "write to = \"https://host/path\"");
        }
        (None, None) if kind == Via::Command => {
            error(name.span(), "command needs `to`".to_owned(), "write to = \"/path/to/program\"");
        }
        (None, Some(file)) if !is_web => {
            error(file.span(), format!("{label} has no URL"), "to_file is for webhook and alertmanager");
        }
        (Some(to), None) => match (to.as_ref(), is_web) {
            (Origin::File(_), true) => {
                error(to.span(), format!("{label} is told by HTTP"), "write \"https://host/path\"");
            }
            (Origin::Url(_), false) => {
                error(to.span(), format!("{label} is no web server"), "write an absolute path");
            }
            (origin, true) if !origin.is_safe() => {
                let warning =
                    Diagnostic::warning(to.span(), "what is told can be read and changed on the way");
                problems.push(warning.hint("use https://"));
            }
            _ => {}
        },
        _ => {}
    }
}

/// Whether it has nothing that its kind knows nothing of.
fn belongings(target: &Notify, problems: &mut Problems) {
    let kind = *target.kind.as_ref();
    let is_web = matches!(kind, Via::Webhook | Via::Alertmanager);
    let file = |file: &Option<Spanned<_>>| file.as_ref().map(Spanned::span);
    let first_event = target.events.first().map(Spanned::span);
    for (span, fits, what, whose) in [
        (target.args.first().map(Spanned::span), kind == Via::Command, "args", "command"),
        (file(&target.sign_key_file), kind == Via::Webhook, "sign_key_file", "webhook"),
        (file(&target.key_file), is_web, "key_file", "webhook and alertmanager"),
        (file(&target.ca_file), is_web, "ca_file", "webhook and alertmanager"),
        (first_event, kind != Via::Alertmanager, "events", "all others: Alertmanager gets what is so"),
    ] {
        if let Some(span) = span.filter(|_| !fits) {
            let error = Diagnostic::error(span, format!("{} knows no {what}", kind.label()));
            problems.push(error.hint(format!("{what} is for {whose}")));
        }
    }
    if let Some(extra) = target.args.get(ARGUMENTS) {
        let error = Diagnostic::error(extra.span(), format!("more than {ARGUMENTS} arguments"));
        problems.push(error.hint("put them into a script"));
    }
}
