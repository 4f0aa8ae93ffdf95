//! Prometheus text (exposition format 0.0.4), read back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// A scrape: series, as written (`name{label="value",..}`), to values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses a scrape.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value: {line}"))?;
            Ok((series.to_owned(), value.parse().with_context(|| format!("no number: {line}"))?))
        });
        Ok(Self(series.collect::<Result<_>>()?))
    }

    /// The sum of all series of `name` that carry all of `labels` (`reason="bogon"`).
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.of(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, v)| v)
            .sum()
    }

    /// The series of one metric.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(series, value)| {
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then_some((rest, *value))
        })
    }

    /// What rose since `earlier`: packets by `label`'s value, zeros left out.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole")]
    pub fn risen(&self, earlier: &Self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut risen = BTreeMap::new();
        for (series, value) in self.of(name) {
            let before = earlier.0.get(&format!("{name}{series}")).copied().unwrap_or(0.0);
            if let (Some(key), true) = (value_of(series, label), value > before) {
                *risen.entry(key.to_owned()).or_default() += (value - before) as u64;
            }
        }
        risen
    }
}

/// The value of one label in `{a="b",c="d"}`.
fn value_of<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let at = series.find(&format!("{label}=\""))? + label.len() + 2;
    series[at..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "# HELP a_total Things.\n# TYPE a_total counter\n\
        a_total{reason=\"x\",verdict=\"drop\"} 5\na_total{reason=\"y\",verdict=\"drop\"} 7\na_total_more 9\n";

    #[test]
    fn sums_by_labels() -> Result<()> {
        let metrics = Metrics::parse(SCRAPE)?;
        assert!((metrics.sum("a_total", &[]) - 12.0).abs() < 1e-9);
        assert!((metrics.sum("a_total", &["reason=\"y\"", "verdict=\"drop\""]) - 7.0).abs() < 1e-9);
        assert!(metrics.sum("a", &[]).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn tells_what_rose() -> Result<()> {
        let (before, after) = (Metrics::parse(SCRAPE)?, Metrics::parse(&SCRAPE.replace(" 5", " 8"))?);
        assert_eq!(after.risen(&before, "a_total", "reason"), BTreeMap::from([("x".to_owned(), 3)]));
        Ok(())
    }
}
