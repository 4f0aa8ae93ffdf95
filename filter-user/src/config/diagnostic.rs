//! What is wrong with a configuration, where, and what to write instead.

use std::{fmt::Write as _, ops::Range};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::{Deserialize, Serialize};

use super::{Source, place::Place};

/// More than this many say nothing new, and a hostile file could ask for millions.
const MOST: usize = 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; somebody should look.
    Warning,
}

/// One complaint about one place in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Bytes of the sources that it is about (see [`super::place`]); `None` for all of them.
    pub span: Option<Range<usize>>,
    /// What is wrong, in one line.
    pub message: String,
    /// A few words under the caret.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
    /// A second place that belongs to it, with its words.
    pub other: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span: span.into(),
            message: message.into(),
            label: String::new(),
            hint: None,
            other: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Puts words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a second place.
    #[must_use]
    pub fn other(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.other = Some((span, label.into()));
        self
    }

    /// The same, `by` bytes further on.
    #[must_use]
    pub(super) fn moved(mut self, by: usize) -> Self {
        let moved = |span: Range<usize>| span.start + by..span.end + by;
        self.span = self.span.map(moved);
        self.other = self.other.map(|(span, label)| (moved(span), label));
        self
    }

    fn group<'a>(&'a self, sources: &'a [Source]) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message);
        let find = |span: &Range<usize>| Place::find(sources, span);
        let mut group = match self.span.as_ref().and_then(find) {
            None => Group::with_title(title),
            Some(place) if place.is_whole() => title.element(Origin::path(&place.source.path)),
            Some(place) => {
                let other = self.other.as_ref().and_then(|(span, label)| Some((find(span)?, label.as_str())));
                self.snippets(Group::with_title(title), &place, other)
            }
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        group
    }

    /// One snippet, or two if the other place is in another file.
    fn snippets<'a>(
        &'a self,
        group: Group<'a>,
        place: &Place<'a>,
        other: Option<(Place<'a>, &'a str)>,
    ) -> Group<'a> {
        let primary = labelled(AnnotationKind::Primary, place, &self.label);
        let snippet = snippet(place.source).annotation(primary);
        let Some((other, label)) = other else { return group.element(snippet) };
        let context = labelled(AnnotationKind::Context, &other, label);
        if std::ptr::eq(place.source, other.source) {
            return group.element(snippet.annotation(context));
        }
        group.element(snippet).element(self::snippet(other.source).annotation(context))
    }
}

fn snippet(source: &Source) -> Snippet<'_, Annotation<'_>> {
    Snippet::source(&source.text).path(&source.path)
}

fn labelled<'a>(kind: AnnotationKind, place: &Place<'a>, label: &'a str) -> Annotation<'a> {
    let annotation = kind.span(place.span.clone());
    if label.is_empty() { annotation } else { annotation.label(label) }
}

/// The complaints as a compiler would print them.
#[must_use]
pub fn render(sources: &[Source], diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let groups: Vec<_> = diagnostics.iter().take(MOST).map(|d| d.group(sources)).collect();
    let mut text = groups.into_iter().map(|group| renderer.render(&[group])).collect::<Vec<_>>().join("\n\n");
    if diagnostics.len() > MOST {
        let _ = write!(text, "\n\n... and {} more", diagnostics.len() - MOST);
    }
    text
}

/// The same for programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file; the main one when it is about all of them.
    pub file: String,
    /// Line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// What to do.
    pub hint: Option<String>,
}

impl Record {
    /// `diagnostic` with its place in `sources` counted out.
    #[must_use]
    pub fn new(diagnostic: &Diagnostic, sources: &[Source]) -> Self {
        let place = diagnostic.span.as_ref().and_then(|span| Place::find(sources, span));
        let (line, column) = place.as_ref().map_or((0, 0), Place::line_and_column);
        let source = place.map(|place| place.source).or(sources.first());
        let file = source.map_or_else(String::new, |source| source.path.clone());
        let Diagnostic { severity, message, hint, .. } = diagnostic.clone();
        Self { severity, message, file, line, column, hint }
    }
}

/// Collects complaints while a file is read, so that all are told at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<Diagnostic>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // Errors count even past the limit of what is shown; warnings of a hostile file do not.
        if diagnostic.severity == Severity::Error || self.0.len() < MOST {
            self.0.push(diagnostic);
        }
    }

    /// Adds all of them.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }

    /// Whether the file must be refused.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// All of them, errors first, then by place.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.0
            .sort_by_key(|d| (d.severity == Severity::Warning, d.span.as_ref().map_or(0, |span| span.start)));
        self.0
    }
}
