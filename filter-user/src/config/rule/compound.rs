//! What single values are put together to: optional ones, arrays, tables.

use std::{marker::PhantomData, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Absent, Knob, Rule, Section, Shape, wrong_type};
use crate::config::diagnostic::Problems;

/// A value that may be absent.
pub(in crate::config) struct Optional<R> {
    inner: R,
    meaning: &'static str,
}

impl<R> Optional<R> {
    pub(super) fn new(inner: R, meaning: &'static str) -> Self {
        Self { inner, meaning }
    }
}

impl<R: Rule> Rule for Optional<R> {
    type Out = Option<R::Out>;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out> {
        self.inner.read(value, problems).map(Some)
    }

    fn absent(&self, _: &str, _: Range<usize>, _: &mut Problems) -> Option<Self::Out> {
        Some(None)
    }

    fn knob(&self) -> Knob {
        Knob { absent: Absent::Means(self.meaning), ..self.inner.knob() }
    }
}

/// An array.
pub(in crate::config) struct List<R>(R);

impl<R> List<R> {
    pub(super) fn new(inner: R) -> Self {
        Self(inner)
    }
}

impl<R: Rule> Rule for List<R> {
    type Out = Vec<R::Out>;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out> {
        let DeValue::Array(items) = value.as_ref() else {
            let knob = self.knob();
            let wrong = wrong_type(value, "an array", &knob.accepts);
            let is_lone = matches!(knob.shape, Shape::List(inner) if matches!(*inner, Shape::Table(_)));
            let is_lone = is_lone && matches!(value.as_ref(), DeValue::Table(_));
            problems.push(if is_lone {
                wrong.hint("write its name in double brackets: [[..]]")
            } else {
                wrong
            });
            return None;
        };
        // Not short-circuited: every bad entry is told.
        let read: Vec<_> = items.iter().map(|item| self.0.read(item, problems)).collect();
        read.into_iter().collect()
    }

    fn absent(&self, _: &str, _: Range<usize>, _: &mut Problems) -> Option<Self::Out> {
        Some(Vec::new())
    }

    fn knob(&self) -> Knob {
        let inner = self.0.knob();
        Knob {
            accepts: format!("array of: {}", inner.accepts),
            shape: Shape::List(Box::new(inner.shape)),
            absent: Absent::Empty,
            ..inner
        }
    }
}

/// One value, or an array of them.
pub(in crate::config) struct OneOrMore<R>(List<R>);

impl<R> OneOrMore<R> {
    pub(super) fn new(inner: R) -> Self {
        Self(List(inner))
    }
}

impl<R: Rule> Rule for OneOrMore<R> {
    type Out = Vec<R::Out>;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out> {
        if matches!(value.as_ref(), DeValue::Array(_)) {
            return self.0.read(value, problems);
        }
        self.0.0.read(value, problems).map(|value| vec![value])
    }

    fn absent(&self, _: &str, _: Range<usize>, _: &mut Problems) -> Option<Self::Out> {
        Some(Vec::new())
    }

    fn knob(&self) -> Knob {
        let inner = self.0.0.knob();
        Knob {
            accepts: format!("{}; or an array of such", inner.accepts),
            shape: Shape::OneOrMore(Box::new(inner.shape)),
            absent: Absent::Means("any"),
            ..inner
        }
    }
}

/// A table; an absent one is read as an empty one, so that its knobs' defaults hold.
pub(in crate::config) struct Table<S>(PhantomData<S>);

/// A rule for a table.
pub(in crate::config) fn table<S: Section>() -> Table<S> {
    Table(PhantomData)
}

/// A rule for an array of tables.
pub(in crate::config) fn tables<S: Section>() -> List<Table<S>> {
    List(table())
}

impl<S: Section> Rule for Table<S> {
    type Out = S;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<S> {
        if let DeValue::Table(table) = value.as_ref() {
            return S::read(table, value.span(), problems);
        }
        problems.push(wrong_type(value, "a table", "see docs/config.md"));
        None
    }

    fn absent(&self, _: &str, span: Range<usize>, problems: &mut Problems) -> Option<S> {
        S::read(&DeTable::new(), span, problems)
    }

    fn knob(&self) -> Knob {
        Knob {
            name: "",
            help: String::new(),
            accepts: "table".to_owned(),
            shape: Shape::Table(S::knobs()),
            absent: Absent::Inner,
        }
    }
}
