//! A report as a picture: bars by path, whiskers at the quartiles.

use std::fmt::Write as _;

use super::report::{Report, Row, Run};

const LEFT: f64 = 280.0;
const WIDTH: f64 = 900.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 64.0;
const BAR: f64 = 11.0;
const BETWEEN: f64 = 8.0;
/// One colour for each number of sources; told apart by people who see no colours, too (Okabe and Ito 2008).
pub const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];

/// As SVG.
#[must_use]
pub fn svg(report: &Report) -> String {
    let numbers = numbers(report);
    let most = report.paths.iter().flat_map(|row| &row.runs).map(|run| run.net_ns.q3).fold(1.0, f64::max);
    let step = step(most);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let group = numbers.len() as f64 * BAR + BETWEEN;
    let height = TOP + report.paths.len() as f64 * group + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, 10.0, 20.0, "start", "Nanoseconds per packet above an empty XDP program, one core");
    legend(&mut svg, &numbers);
    let mut tick = 0.0;
    while tick <= most {
        let x = LEFT + tick * scale;
        let bottom = height - 26.0;
        let _ = writeln!(svg, "<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#ddd\"/>", TOP - 6.0);
        text(&mut svg, x, height - 10.0, "middle", &format!("{tick:.0}"));
        tick += step;
    }
    for (index, row) in report.paths.iter().enumerate() {
        bars(&mut svg, row, &numbers, TOP + index as f64 * group, scale);
    }
    svg + "</svg>\n"
}

/// One source first, new ones last.
fn numbers(report: &Report) -> Vec<u32> {
    let mut numbers: Vec<_> = report.paths.iter().flat_map(|row| &row.runs).map(|run| run.sources).collect();
    numbers.sort_unstable_by_key(|sources| sources.wrapping_sub(1));
    numbers.dedup();
    numbers
}

/// Between two lines: 1, 2 or 5 times a power of ten, for five to twelve lines.
#[must_use]
pub fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| most / step <= 12.0)
        .unwrap_or(most)
}

fn legend(svg: &mut String, numbers: &[u32]) {
    for (index, sources) in numbers.iter().enumerate() {
        let x = 10.0 + index as f64 * 150.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"30\" width=\"12\" height=\"12\" fill=\"{}\"/>",
            COLOURS[index % COLOURS.len()]
        );
        let label = match sources {
            0 => "new sources".to_owned(),
            1 => "one source".to_owned(),
            many => format!("{many} sources"),
        };
        text(svg, x + 18.0, 41.0, "start", &label);
    }
}

fn bars(svg: &mut String, row: &Row, numbers: &[u32], top: f64, scale: f64) {
    let middle = top + numbers.len() as f64 * BAR / 2.0 + 4.0;
    text(svg, LEFT - 8.0, middle, "end", &row.title);
    for run in &row.runs {
        let Some(index) = numbers.iter().position(|sources| *sources == run.sources) else { continue };
        bar(svg, run, COLOURS[index % COLOURS.len()], top + index as f64 * BAR, scale);
    }
}

fn bar(svg: &mut String, run: &Run, colour: &str, y: f64, scale: f64) {
    let at = |ns: f64| LEFT + ns.max(0.0) * scale;
    let (end, middle) = (at(run.net_ns.median), y + BAR / 2.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
        end - LEFT,
        BAR - 1.0
    );
    let (q1, q3) = (at(run.net_ns.q1), at(run.net_ns.q3));
    let _ = writeln!(svg, "<path d=\"M{q1:.1} {middle:.1}H{q3:.1}\" stroke=\"black\"/>");
    text(svg, q3.max(end) + 4.0, y + BAR - 2.0, "start", &format!("{:.0}", run.net_ns.median));
}

/// A line of text; `anchor` as SVG has it: start, middle, end.
pub fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Harness, Machine, SCHEMA, Subject};

    #[test]
    fn every_run_has_a_bar_and_the_longest_fits() {
        let row = |title: &str, runs: Vec<Run>| Row {
            name: "name".to_owned(),
            title: title.to_owned(),
            bytes: 74,
            expects: Vec::new(),
            ok: true,
            runs,
        };
        let run = |sources, ns| Run::new(sources, 74, &[ns], Vec::new(), &[]);
        let report = Report {
            schema: SCHEMA,
            version: String::new(),
            machine: Machine::default(),
            subject: Subject::default(),
            harness: Harness::default(),
            paths: vec![
                row("a < b & c", vec![run(1, 100.0), run(0, 200.0)]),
                row("none", vec![run(1, -1.0)]),
            ],
            comparison: None,
        };
        let svg = svg(&report);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("a &lt; b &amp; c"));
        let bar = |width: f64| format!("width=\"{width:.1}\" height=\"10.0\"");
        let whole = WIDTH - LEFT - RIGHT;
        assert!([whole, whole / 2.0, 0.0].iter().all(|width| svg.contains(&bar(*width))), "{svg}");
    }

    #[test]
    fn lines_are_round_numbers() {
        assert!(
            [(7.0, 1.0), (95.0, 10.0), (200.0, 20.0), (1.0, 0.1)]
                .iter()
                .all(|(most, s)| (step(*most) - s).abs() < 1e-9)
        );
    }
}
