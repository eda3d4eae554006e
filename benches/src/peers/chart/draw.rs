//! Grouped bars on a logarithmic scale, drawn twice: as shapes and as dots.
//!
//! The font comes with a crate, so that a machine without fonts writes on its pictures too.

use super::super::systems::SYSTEMS;
use super::{Bar, Chart};
use plotters::backend::BitMapBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::{IntoLogRange as _, LogCoord};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color as _, FontStyle, IntoFont as _, RGBColor, TextStyle, WHITE, register_font,
};
use std::path::Path;

/// Of a picture, in pixels.
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 640;
const FONT: &str = "sans-serif";
/// Distinct for all who see, in the order of [`SYSTEMS`] (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(0, 158, 115),
    RGBColor(120, 120, 120),
    RGBColor(213, 94, 0),
];
/// Of the room for a group, how much its bars fill.
const FILL: f64 = 0.86;

type Area<B> = DrawingArea<B, Shift>;
type Plane<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, LogCoord<f64>>>;
type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Draws into a file of shapes.
///
/// # Errors
/// When it cannot be written.
pub(super) fn svg(chart: &Chart, path: &Path) -> Result<(), String> {
    bring_font()?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    draw(&area, chart).map_err(|error| error.to_string())
}

/// Draws dots; the bytes of a PNG.
///
/// # Errors
/// When the drawing fails, which only a bug can cause.
pub(super) fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    bring_font()?;
    let mut dots = vec![0; WIDTH as usize * HEIGHT as usize * 3];
    let area = BitMapBackend::with_buffer(&mut dots, (WIDTH, HEIGHT)).into_drawing_area();
    draw(&area, chart).map_err(|error| error.to_string())?;
    drop(area);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&dots).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(file)
}

fn bring_font() -> Result<(), String> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "its font is broken".into())
}

fn draw<B: DrawingBackend>(area: &Area<B>, chart: &Chart) -> Drawn<B> {
    area.fill(&WHITE)?;
    area.draw(&Text::new(chart.title.as_str(), (70, 14), text(24, HPos::Left)))?;
    area.draw(&Text::new(chart.subtitle.as_str(), (70, 44), text(14, HPos::Left)))?;
    legend(area, chart)?;
    let [bottom, top] = range(chart);
    let mut plane = ChartBuilder::on(area)
        .margin_top(96)
        .margin_right(20)
        .margin_bottom(44)
        .margin_left(12)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..chart.groups.len() as f64, (bottom..top).log_scale())?;
    plane
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .y_desc(chart.unit)
        .y_label_formatter(&|value| decade(*value))
        .axis_desc_style(text(15, HPos::Center))
        .y_label_style(text(14, HPos::Right))
        .draw()?;
    for (at, group) in chart.groups.iter().enumerate() {
        let width = FILL / group.bars.len().max(1) as f64;
        let left = at as f64 + (1.0 - FILL) / 2.0;
        for (nth, one) in group.bars.iter().enumerate() {
            bar(area, &mut plane, one, [left + nth as f64 * width, width], bottom)?;
        }
        let (x, y) = plane.backend_coord(&(at as f64 + 0.5, bottom));
        area.draw(&Text::new(group.label.as_str(), (x, y + 10), text(16, HPos::Center)))?;
    }
    area.present()
}

/// A bar with its spread and its number. `left` is where its room begins.
fn bar<B: DrawingBackend>(
    area: &Area<B>,
    plane: &mut Plane<'_, B>,
    bar: &Bar,
    [left, width]: [f64; 2],
    bottom: f64,
) -> Drawn<B> {
    let [least, median, most] = bar.values.map(|value| value.max(bottom));
    let colour = COLOURS[bar.system % COLOURS.len()];
    let (from, to, middle) = (left + width * 0.06, left + width * 0.94, left + width / 2.0);
    let cap = width * 0.12;
    plane.draw_series([Rectangle::new([(from, bottom), (to, median)], colour.filled())])?;
    plane.draw_series(
        [
            vec![(middle, least), (middle, most)],
            vec![(middle - cap, least), (middle + cap, least)],
            vec![(middle - cap, most), (middle + cap, most)],
        ]
        .map(|line| PathElement::new(line, BLACK)),
    )?;
    let (x, y) = plane.backend_coord(&(middle, median.max(most)));
    let number = short(bar.values[1]);
    area.draw(&Text::new(number, (x, y - 15), text(13, HPos::Center)))
}

/// Names of the systems that are in the picture.
fn legend<B: DrawingBackend>(area: &Area<B>, chart: &Chart) -> Drawn<B> {
    let mut left = 70;
    for (at, system) in SYSTEMS.iter().enumerate() {
        if !chart.groups.iter().flat_map(|group| &group.bars).any(|bar| bar.system == at) {
            continue;
        }
        let colour = COLOURS[at % COLOURS.len()];
        area.draw(&Rectangle::new([(left, 68), (left + 12, 80)], colour.filled()))?;
        area.draw(&Text::new(system.name, (left + 18, 66), text(15, HPos::Left)))?;
        left += 120;
    }
    Ok(())
}

/// From below the least to above the most, in whole decades below.
fn range(chart: &Chart) -> [f64; 2] {
    let bars = || chart.groups.iter().flat_map(|group| &group.bars);
    let positive = |value: &f64| *value > 0.0;
    let least = bars().map(|bar| bar.values[0]).filter(positive).fold(f64::MAX, f64::min);
    let most = bars().map(|bar| bar.values[2]).fold(0.0, f64::max);
    if least > most {
        return [0.1, 1.0];
    }
    [10_f64.powf((least / 1.5).log10().floor()), most * 1.8]
}

fn text(size: i32, at: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&BLACK).pos(Pos::new(at, VPos::Top))
}

/// A power of ten.
fn decade(number: f64) -> String {
    if number >= 1.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// Three digits.
fn short(number: f64) -> String {
    let digits = match number {
        n if n >= 99.5 => 0,
        n if n >= 9.95 => 1,
        _ => 2,
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_a_colour_of_its_own() {
        assert!(SYSTEMS.len() <= COLOURS.len());
    }

    #[test]
    fn numbers_on_bars_have_three_digits() {
        assert_eq!(
            [0.339, 4.4, 40.43, 99.96, 123.4].map(short),
            ["0.34", "4.40", "40.4", "100", "123"]
        );
    }
}
