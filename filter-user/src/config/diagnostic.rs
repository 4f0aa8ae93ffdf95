//! What is wrong with a configuration, where, and what to write instead.

use std::{fmt::Write as _, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// More than this many say nothing new, and a hostile file could ask for millions.
const MOST: usize = 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; somebody should look.
    Warning,
}

/// One complaint about one place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Bytes of the source that it is about; `None` for the file as a whole.
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

    fn group<'a>(&'a self, path: &'a str, source: &'a str) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message);
        let mut group = match &self.span {
            None => Group::with_title(title),
            Some(span) => {
                let primary = AnnotationKind::Primary.span(clamp(span, source));
                let mut snippet = Snippet::source(source).path(path).annotation(if self.label.is_empty() {
                    primary
                } else {
                    primary.label(&self.label)
                });
                if let Some((span, label)) = &self.other {
                    snippet = snippet
                        .annotation(AnnotationKind::Context.span(clamp(span, source)).label(label.as_str()));
                }
                title.element(snippet)
            }
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        group
    }
}

/// A span that lies in `source` and ends on character boundaries, whatever its maker thought.
fn clamp(span: &Range<usize>, source: &str) -> Range<usize> {
    let end = source.floor_char_boundary(span.end);
    let start = source.floor_char_boundary(span.start).min(end);
    start..end
}

/// The complaints as a compiler would print them.
#[must_use]
pub fn render(path: &str, source: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let groups: Vec<_> = diagnostics.iter().take(MOST).map(|d| d.group(path, source)).collect();
    let mut text = groups.into_iter().map(|group| renderer.render(&[group])).collect::<Vec<_>>().join("\n\n");
    if diagnostics.len() > MOST {
        let _ = write!(text, "\n\n... and {} more", diagnostics.len() - MOST);
    }
    text
}

/// The same for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// What to do.
    pub hint: Option<String>,
}

impl Record {
    /// `diagnostic` with its place in `source` counted out.
    #[must_use]
    pub fn new(diagnostic: &Diagnostic, source: &str) -> Self {
        let (line, column) = diagnostic.span.as_ref().map_or((0, 0), |span| {
            let before = &source[..clamp(span, source).start];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        let Diagnostic { severity, message, hint, .. } = diagnostic.clone();
        Self { severity, message, line, column, hint }
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
