//! Lines over one horizontal axis, in panels one above the other, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 860;
const PANEL_HEIGHT: u32 = 230;
const LEGEND_HEIGHT: u32 = 56;
const FONT: &str = "sans-serif"; // the reader's own

/// Colours that people tell apart who see fewer of them (after Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(120, 120, 120),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 80, 160),
    RGBColor(0, 158, 115),
];

/// What is drawn of one strategy: a line in each panel.
pub(crate) struct Lines {
    pub(crate) name: &'static str,
    pub(crate) panels: Vec<Vec<(f64, f64)>>,
}

pub(crate) struct Picture<'a> {
    pub(crate) x: &'a str,
    /// What the vertical axis of each panel counts.
    pub(crate) panels: &'a [&'a str],
    pub(crate) lines: &'a [Lines],
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Picture<'_> {
    pub(crate) fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let count = u32::try_from(self.panels.len())?;
        let size = (WIDTH, LEGEND_HEIGHT + count * PANEL_HEIGHT);
        let root = SVGBackend::new(file, size).into_drawing_area();
        // A page may be dark.
        root.fill(&WHITE)?;
        let (legend, panels) = root.split_vertically(LEGEND_HEIGHT);
        self.draw_legend(&legend)?;
        for (index, area) in panels.split_evenly((self.panels.len(), 1)).iter().enumerate() {
            self.draw_panel(index, area)?;
        }
        root.present()?;
        Ok(())
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        for ((lines, colour), number) in self.lines.iter().zip(COLOURS).zip(0_i32..) {
            let (x, y) = (60 + number % 3 * 265, 18 + number / 3 * 22);
            area.draw(&PathElement::new([(x, y), (x + 26, y)], colour.stroke_width(3)))?;
            area.draw(&Text::new(lines.name, (x + 34, y - 7), (FONT, 17)))?;
        }
        Ok(())
    }

    fn draw_panel(&self, index: usize, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.iter().flat_map(|lines| &lines.panels[index]);
        let right = points().map(|(x, _)| *x).fold(0.0, f64::max);
        let top = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(if index + 1 == self.panels.len() { 38 } else { 22 })
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..right, 0.0..top * 1.05)?;
        let whole = |number: &f64| format!("{number:.0}");
        let mut mesh = chart.configure_mesh();
        mesh.label_style((FONT, 15)).axis_desc_style((FONT, 16)).y_desc(self.panels[index]);
        mesh.light_line_style(TRANSPARENT).x_labels(13).y_labels(6);
        mesh.x_label_formatter(&whole).y_label_formatter(&whole);
        if index + 1 == self.panels.len() {
            mesh.x_desc(self.x);
        }
        mesh.draw()?;
        for (lines, colour) in self.lines.iter().zip(COLOURS) {
            let line = lines.panels[index].iter().copied();
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        Ok(())
    }
}
