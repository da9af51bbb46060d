//! A plot with logarithmic axes, as SVG.

use std::fmt::Write as _;

/// A line of the plot.
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// Nodes and microseconds.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn new(name: &'static str) -> Self {
        Self { name, points: Vec::new() }
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 3] = ["#1f5fa8", "#c2571a", "#3a8a4d"];

/// Draws microseconds over nodes.
pub fn svg(series: &[Series]) -> String {
    let all = || series.iter().flat_map(|line| &line.points);
    let low = all().map(|(_, y)| y.log10().floor()).fold(f64::INFINITY, f64::min);
    let high = all().map(|(_, y)| y.log10().ceil()).fold(f64::NEG_INFINITY, f64::max);
    let x = |nodes: f64| LEFT + (nodes.log10() - 1.0) / 4.0 * (WIDTH - LEFT - RIGHT);
    let y = |micros: f64| TOP + (high - micros.log10()) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for power in 1..=5 {
        let at = x(10f64.powi(power));
        let label = 10u64.pow(power as u32);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        );
    }
    for power in low as i32..=high as i32 {
        let micros = 10f64.powi(power);
        let at = y(micros);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{micros} µs</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (line, colour) in series.iter().zip(COLOURS) {
        let points: Vec<String> =
            line.points.iter().map(|(n, t)| format!("{:.1},{:.1}", x(*n), y(*t))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        if let Some((nodes, micros)) = line.points.last() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                x(*nodes) + 8.0,
                y(*micros) + 4.0,
                line.name
            );
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">nodes</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    out
}
