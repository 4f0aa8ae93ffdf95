//! A dashboard, as its JSON says and with real values, as SVG: for people who read about it. Not what Grafana draws to the pixel, but
//! the same panels at the same places with the same names, units, thresholds and series.

#![expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "pixels and places in lists")]

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result};
use filter_user::bench::plot::{COLOURS, step, text};
use serde_json::Value;

use crate::prometheus::Series;

/// Pixels of a column and a row of the grid.
const COLUMN: f64 = 50.0;
const ROW: f64 = 32.0;
/// Pixels of a series in a legend, at least, and of a letter.
const ENTRY: f64 = 95.0;
const LETTER: f64 = 6.4;

/// What a panel shows.
struct Shown {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A place on the picture.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws a dashboard's JSON; `ask` answers its queries over the time that is drawn, `from` to `to`.
pub fn dashboard(
    model: &Value,
    (from, to): (f64, f64),
    ask: impl Fn(&str) -> Result<Vec<Series>>,
) -> Result<String> {
    let panels = model["panels"].as_array().context("panels")?;
    let bottom = panels.iter().map(|panel| place(panel).y + place(panel).height).fold(0.0, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#f4f5f5\"/>\n",
        24.0 * COLUMN,
        bottom + 8.0
    );
    text(&mut svg, 8.0, 22.0, "start", model["title"].as_str().unwrap_or_default());
    for panel in panels {
        let place = place(panel);
        let title = panel["title"].as_str().unwrap_or_default();
        if panel["type"] == "row" {
            text(&mut svg, 8.0, place.y + ROW * 0.65, "start", &format!("▾ {title}"));
            continue;
        }
        let Place { x, y, width, height } = place;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" fill=\"white\" stroke=\"#ddd\"/>",
            x + 3.0,
            y + 3.0,
            width - 6.0,
            height - 6.0
        );
        text(&mut svg, x + 10.0, y + 18.0, "start", title);
        let shown = shown(panel, &ask)?;
        let inner = Place { x: x + 10.0, y: y + 26.0, width: width - 20.0, height: height - 36.0 };
        match panel["type"].as_str() {
            Some("stat") => stat(&mut svg, panel, &shown, inner),
            Some("state-timeline") => states(&mut svg, panel, &shown, inner, (from, to)),
            _ => lines(&mut svg, panel, &shown, inner, (from, to)),
        }
    }
    Ok(svg + "</svg>\n")
}

/// Of a panel; below the title.
fn place(panel: &Value) -> Place {
    let at = |key: &str| panel["gridPos"][key].as_f64().unwrap_or_default();
    Place { x: at("x") * COLUMN, y: 30.0 + at("y") * ROW, width: at("w") * COLUMN, height: at("h") * ROW }
}

fn shown(panel: &Value, ask: impl Fn(&str) -> Result<Vec<Series>>) -> Result<Vec<Shown>> {
    let mut all = Vec::new();
    for target in panel["targets"].as_array().context("targets")? {
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        for series in ask(target["expr"].as_str().context("an expression")?)? {
            all.push(Shown { name: named(legend, &series.labels), points: series.points });
        }
    }
    Ok(all)
}

/// `{{label}}` by the label's value.
fn named(legend: &str, labels: &BTreeMap<String, String>) -> String {
    let mut name = legend.to_owned();
    for (label, value) in labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    // The value in the place of nothing has no labels.
    if name.contains("{{") { "none".to_owned() } else { name }
}

fn last(shown: &Shown) -> f64 {
    shown.points.iter().rev().map(|(_, value)| *value).find(|value| value.is_finite()).unwrap_or_default()
}

/// With the panel's unit.
fn written(panel: &Value, value: f64) -> String {
    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
    if let Some(name) = mapping(panel, value).and_then(|mapping| mapping["text"].as_str()) {
        return name.to_owned();
    }
    let scaled = |unit: &str| {
        let steps = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
        let found = steps.into_iter().find(|(size, _)| value.abs() >= *size);
        let (size, prefix) = found.unwrap_or((1.0, ""));
        let digits = usize::from(value / size < 10.0 && (value / size).fract().abs() > 0.05);
        format!("{:.digits$} {prefix}{unit}", value / size).trim_end().to_owned()
    };
    match unit {
        "pps" => scaled("p/s"),
        "bps" => scaled("b/s"),
        "bytes" | "decbytes" => scaled("B"),
        "percentunit" if value > 0.0 && value < 0.01 => format!("{:.2} %", value * 100.0),
        "percentunit" => format!("{:.0} %", value * 100.0),
        "s" if value > 0.0 && value < 1e-3 => format!("{:.0} µs", value * 1e6),
        "s" if value > 0.0 && value < 1.0 => format!("{:.1} ms", value * 1e3),
        "s" => format!("{value:.0} s"),
        _ => scaled(""),
    }
}

fn mapping(panel: &Value, value: f64) -> Option<&Value> {
    let mappings = panel["fieldConfig"]["defaults"]["mappings"].as_array()?;
    mappings.iter().find_map(|mapping| mapping["options"].get(format!("{value}")))
}

/// Grafana's names.
fn colour(name: &str) -> &'static str {
    match name {
        "green" => "#56a64b",
        "orange" => "#ff780a",
        "red" => "#e02f44",
        "blue" => "#3274d9",
        _ => "#c7d0d9",
    }
}

fn colour_of(panel: &Value, value: f64) -> &'static str {
    if let Some(name) = mapping(panel, value).and_then(|mapping| mapping["color"].as_str()) {
        return colour(name);
    }
    let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array();
    let mut steps = steps.into_iter().flatten().rev();
    let found = steps.find(|step| step["value"].as_f64().is_none_or(|from| value >= from));
    colour(found.and_then(|step| step["color"].as_str()).unwrap_or_default())
}

fn stat(svg: &mut String, panel: &Value, shown: &[Shown], place: Place) {
    let value = shown.first().map_or(0.0, last);
    let Place { x, y, width, height } = place;
    let fill = colour_of(panel, value);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" fill=\"{fill}\"/>\n\
         <g fill=\"white\" font-size=\"26\">"
    );
    text(svg, x + width / 2.0, y + height / 2.0 + 9.0, "middle", &written(panel, value));
    svg.push_str("</g>\n");
}

fn states(svg: &mut String, panel: &Value, shown: &[Shown], place: Place, (from, to): (f64, f64)) {
    let longest = shown.iter().map(|shown| shown.name.chars().count()).max().unwrap_or(0);
    let left = place.x + (longest as f64 * LETTER + 12.0).clamp(60.0, place.width / 2.0);
    let width = place.x + place.width - left;
    let each = (place.height / shown.len().max(1) as f64).min(24.0);
    for (index, shown) in shown.iter().enumerate() {
        let y = place.y + index as f64 * each;
        text(svg, left - 6.0, y + each * 0.7, "end", &shown.name);
        for (index, (time, value)) in shown.points.iter().enumerate() {
            let until = shown.points.get(index + 1).map_or(to, |(next, _)| *next);
            let at = |time: f64| left + width * ((time - from) / (to - from)).clamp(0.0, 1.0);
            // A pause is drawn as one.
            let until = until.min(time + (to - from) / 30.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                at(*time),
                y + 1.0,
                (at(until) - at(*time)).max(0.5),
                each - 2.0,
                colour_of(panel, *value)
            );
        }
    }
}

fn lines(svg: &mut String, panel: &Value, shown: &[Shown], place: Place, (from, to): (f64, f64)) {
    let stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal";
    let mut shown: Vec<_> = shown.iter().collect();
    shown.sort_by(|a, b| most(b).total_cmp(&most(a)));
    let top = if stacked {
        sums(&shown).into_iter().fold(0.0, f64::max)
    } else {
        shown.first().map_or(0.0, |s| most(s))
    };
    let top = 1.05 * if top > 0.0 { top } else { 1.0 };
    let left = place.x + 66.0;
    let (width, height) = (place.x + place.width - left, place.height - 30.0);
    let at = |time: f64, value: f64| {
        let x = left + width * ((time - from) / (to - from)).clamp(0.0, 1.0);
        (x, place.y + height * (1.0 - (value / top).clamp(0.0, 1.0)))
    };
    let mut tick = 0.0;
    while tick <= top {
        let (_, y) = at(from, tick);
        let _ = writeln!(svg, "<path d=\"M{left:.1} {y:.1}h{width:.1}\" stroke=\"#eee\"/>");
        text(svg, left - 5.0, y + 4.0, "end", &written(panel, tick));
        tick += step(top * 2.0);
    }
    let mut below: BTreeMap<u64, f64> = BTreeMap::new();
    for (index, shown) in shown.iter().enumerate() {
        let stroke = COLOURS[index % COLOURS.len()];
        let (mut path, mut back) = (String::new(), Vec::new());
        for (time, value) in shown.points.iter().filter(|(_, value)| value.is_finite()) {
            let base = below.entry(time.to_bits()).or_default();
            let ((x, y), floor) = (at(*time, if stacked { *base + value } else { *value }), at(*time, *base));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            back.push(floor);
            if stacked {
                *base += value;
            }
        }
        if stacked && !path.is_empty() {
            let mut area = path.clone();
            for (x, y) in back.iter().rev() {
                let _ = write!(area, "L{x:.1} {y:.1}");
            }
            let _ = writeln!(svg, "<path d=\"{area}Z\" fill=\"{stroke}\" fill-opacity=\"0.4\"/>");
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\"/>");
    }
    legend(svg, panel, &shown, Place { y: place.y + place.height - 14.0, x: left, width, height: 14.0 });
}

fn most(shown: &Shown) -> f64 {
    shown.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max)
}

/// Of all series, by moment.
fn sums(shown: &[&Shown]) -> Vec<f64> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for (time, value) in shown.iter().flat_map(|shown| &shown.points) {
        *sums.entry(time.to_bits()).or_default() += value;
    }
    sums.into_values().collect()
}

fn legend(svg: &mut String, panel: &Value, shown: &[&Shown], place: Place) {
    let fit = ((place.width / ENTRY) as usize).clamp(1, shown.len().max(1));
    let each = place.width / fit as f64;
    for (index, shown) in shown.iter().take(fit).enumerate() {
        let x = place.x + index as f64 * each;
        let stroke = COLOURS[index % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"9\" height=\"9\" fill=\"{stroke}\"/>",
            place.y
        );
        let width = ((each - 16.0) / LETTER) as usize;
        let line = format!("{} {}", shown.name, written(panel, most(shown)));
        text(svg, x + 12.0, place.y + 9.0, "start", &line.chars().take(width).collect::<String>());
    }
}
