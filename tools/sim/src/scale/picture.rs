//! The curve as a picture: three panels side by side, one line for each loss.

use super::{Curve, Point};
use core::fmt::Write as _;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
/// Room around a panel for numbers and words.
const MARGIN: f64 = 56.0;
/// One for each loss of the curve; distinct for the colour-blind too (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#009e73", "#e69f00", "#d55e00"];

/// One panel: its title, and what of a point it shows.
type Panel = (&'static str, fn(&Point) -> f64);

const PANELS: [Panel; 3] = [
    ("slowest death, ms", |point| point.max_ms),
    ("bytes per node and second", |point| point.bytes_per_s),
    ("accusations per node and hour", |point| point.accusations_per_h),
];

/// The picture as a document of its own.
#[must_use]
pub fn svg(curve: &Curve) -> String {
    let panel_width = WIDTH + 2.0 * MARGIN;
    let (width, height) = (3.0 * panel_width, HEIGHT + 2.5 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, panel) in (0..).zip(PANELS) {
        draw(&mut out, f64::from(at) * panel_width + MARGIN, curve, panel);
    }
    for (at, (loss, colour)) in (0..).zip(Curve::LOSSES.iter().zip(COLOURS)) {
        let (x, y) = (MARGIN + f64::from(at) * 90.0, height - 14.0);
        line(&mut out, [x, y - 4.0, x + 20.0, y - 4.0], colour, 2.0);
        text(&mut out, (x + 26.0, y), "start", &format!("{loss} % loss"));
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, left: f64, curve: &Curve, (title, value): Panel) {
    let most = curve.points.iter().map(value).fold(1.0, f64::max) * 1.1;
    let sizes: Vec<f64> = Curve::NODES.iter().map(|nodes| decimal(*nodes)).collect();
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    let x = |nodes: usize| left + (decimal(nodes) - first) / (last - first) * WIDTH;
    let y = |value: f64| MARGIN + HEIGHT * (1.0 - value / most);
    text(out, (left, MARGIN - 18.0), "start", title);
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        line(out, [left, y(value), left + WIDTH, y(value)], "#dddddd", 1.0);
        text(out, (left - 6.0, y(value) + 4.0), "end", &format!("{value:.0}"));
    }
    for nodes in Curve::NODES {
        text(out, (x(nodes), MARGIN + HEIGHT + 18.0), "middle", &nodes.to_string());
    }
    text(out, (left + WIDTH / 2.0, MARGIN + HEIGHT + 36.0), "middle", "nodes");
    for (loss, colour) in Curve::LOSSES.iter().zip(COLOURS) {
        let of_loss = curve.points.iter().filter(|point| point.loss == *loss);
        let places: Vec<(f64, f64)> =
            of_loss.map(|point| (x(point.nodes), y(value(point)))).collect();
        for pair in places.windows(2) {
            line(out, [pair[0].0, pair[0].1, pair[1].0, pair[1].1], colour, 2.0);
        }
        for (x, y) in places {
            let _ =
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

fn decimal(nodes: usize) -> f64 {
    super::figures::count(nodes).log10()
}

fn line(out: &mut String, [x1, y1, x2, y2]: [f64; 4], colour: &str, width: f64) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>"
    );
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}
