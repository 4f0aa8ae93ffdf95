//! Several files as one: tables are joined, arrays go on, and nothing is set twice.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostic, Problems},
    rule::type_of,
};

/// The key that every file may have: the version of its form.
const VERSION: &str = "schema";

/// Adds a whole file's table.
pub(super) fn file<'a>(all: &mut DeTable<'a>, mut more: DeTable<'a>, problems: &mut Problems) {
    let number = |table: &DeTable<'_>| {
        let value = table.get(VERSION)?.as_ref().as_integer()?;
        Some((value.radix(), value.as_str().to_owned()))
    };
    if number(&more).is_some_and(|theirs| number(all) == Some(theirs)) {
        more.remove(VERSION);
    }
    table(all, more, "", problems);
}

fn table<'a>(all: &mut DeTable<'a>, more: DeTable<'a>, path: &str, problems: &mut Problems) {
    for (key, value) in more {
        match all.get_mut(key.get_ref().as_ref()) {
            None => _ = all.insert(key, value),
            Some(first) => {
                let dot = if path.is_empty() { "" } else { "." };
                join(first, value, &format!("{path}{dot}{}", key.get_ref()), problems);
            }
        }
    }
}

fn join<'a>(
    first: &mut Spanned<DeValue<'a>>,
    more: Spanned<DeValue<'a>>,
    path: &str,
    problems: &mut Problems,
) {
    let (place, again) = (first.span(), more.span());
    match (first.get_mut(), more.into_inner()) {
        (DeValue::Table(all), DeValue::Table(more)) => table(all, more, path, problems),
        (DeValue::Array(all), DeValue::Array(more)) => more.into_iter().for_each(|item| all.push(item)),
        (first, more) => {
            let (first, more) = (type_of(first), type_of(&more));
            let error = Diagnostic::error(again, format!("{path:?} is set in two files"));
            let error = if first == more {
                error.label("again here").other(place, "first here")
            } else {
                error.label(format!("{more} here")).other(place, format!("{first} here"))
            };
            problems.push(error.hint("remove one; only tables and arrays go on from file to file"));
        }
    }
}

/// `table` with all places `by` bytes further on.
pub(super) fn moved(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    table
        .into_iter()
        .map(|(key, value)| {
            let span = key.span();
            (Spanned::new(span.start + by..span.end + by, key.into_inner()), moved_value(value, by))
        })
        .collect()
}

fn moved_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved(table, by)),
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| moved_value(item, by)).collect())
        }
        other => other,
    };
    Spanned::new(span.start + by..span.end + by, inner)
}
