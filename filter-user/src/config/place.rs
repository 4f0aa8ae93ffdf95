//! Places in several files: an offset into their texts, one behind the other with a byte between them.

use std::ops::Range;

use super::Source;

/// Each file with the offset of its beginning.
pub fn bases(sources: &[Source]) -> impl Iterator<Item = (usize, &Source)> {
    sources.iter().scan(0, |next, source| {
        let base = *next;
        *next += source.text.len() + 1;
        Some((base, source))
    })
}

/// A place in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file.
    pub source: &'a Source,
    /// Bytes of its text, on character boundaries.
    pub span: Range<usize>,
}

impl<'a> Place<'a> {
    /// Where `span` is, whatever its maker thought; `None` without files.
    #[must_use]
    pub fn find(sources: &'a [Source], span: &Range<usize>) -> Option<Self> {
        let (base, source) = bases(sources).take_while(|(base, _)| *base <= span.start).last()?;
        let text = &source.text;
        let end = text.floor_char_boundary(span.end.saturating_sub(base));
        let start = text.floor_char_boundary(span.start - base).min(end);
        Some(Self { source, span: start..end })
    }

    /// Whether it is about the file as a whole: one without text.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.source.text.is_empty()
    }

    /// Line and column in characters, from 1; 0 for the file as a whole.
    #[must_use]
    pub fn line_and_column(&self) -> (usize, usize) {
        if self.is_whole() {
            return (0, 0);
        }
        let before = &self.source.text[..self.span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Lines of files, for many questions.
#[derive(Debug)]
pub struct Lines<'a>(Vec<(usize, &'a str, usize)>);

impl<'a> Lines<'a> {
    /// Of all of them.
    #[must_use]
    pub fn of(sources: &'a [Source]) -> Self {
        let starts = bases(sources).flat_map(|(base, source)| {
            let ends = source.text.match_indices('\n').map(move |(at, _)| base + at + 1);
            let starts = [base].into_iter().chain(ends).zip(1..);
            starts.map(|(start, line)| (start, source.path.as_str(), line))
        });
        Self(starts.collect())
    }

    /// File and line of an offset.
    #[must_use]
    pub fn find(&self, offset: usize) -> Option<(&'a str, usize)> {
        let after = self.0.partition_point(|(start, ..)| *start <= offset);
        let (_, file, line) = self.0.get(after.checked_sub(1)?)?;
        Some((file, *line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_has_a_file() {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let files = [source("a", "x\nyz"), source("b", ""), source("c", "\u{e4}b")];
        let find = |span: Range<usize>| {
            let place = Place::find(&files, &span).unwrap();
            (place.source.path.as_str(), place.line_and_column(), place.span.clone())
        };
        let lines = Lines::of(&files);
        let line = |offset| lines.find(offset).unwrap();
        assert_eq!([line(0), line(3), line(5), line(8)], [("a", 1), ("a", 2), ("b", 1), ("c", 1)]);
        assert_eq!(find(0..1), ("a", (1, 1), 0..1));
        assert_eq!(find(3..99), ("a", (2, 2), 3..4));
        assert_eq!(find(5..5), ("b", (0, 0), 0..0));
        assert_eq!(find(8..9), ("c", (1, 2), 2..3));
        assert_eq!(find(7..8), ("c", (1, 1), 0..2), "in the middle of a character");
        assert_eq!(Place::find(&[], &(0..1)), None);
    }
}
