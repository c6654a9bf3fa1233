//! The library's share of the pause as a picture: for each scenario and contender a line from the least to
//! the most, and a bar up to the median, on a logarithmic scale.

use std::path::Path;

use plotters::prelude::*;

use super::{Contender, Figures, Report};

/// Pixels across.
const WIDTH: u32 = 860;
/// Pixels for a contender, and above a scenario.
const ROW: u32 = 26;
/// Milliseconds at the left edge, and at the right one.
const RANGE: (f64, f64) = (0.05, 1000.0);

/// Draws it into an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(report: &Report, file: &Path) -> anyhow::Result<()> {
    let rows: usize = report
        .scenarios
        .iter()
        .map(|scenario| scenario.figures.len() + 1)
        .sum();
    let rows = u32::try_from(rows)?;
    let area = SVGBackend::new(file, (WIDTH, rows * ROW + 110)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("The library's share of the write pause", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((RANGE.0..RANGE.1).log_scale(), 0.0..f64::from(rows))?;
    chart
        .configure_mesh()
        .disable_y_axis()
        .disable_y_mesh()
        .x_desc("milliseconds, logarithmic: bar to the median, line from the least to the most")
        .x_label_formatter(&|ms| format!("{ms}"))
        .draw()?;

    let label = ("sans-serif", 13).into_font();
    let mut at = f64::from(rows);
    for scenario in &report.scenarios {
        at -= 1.0;
        let place = (RANGE.0 * 1.05, at + 0.55);
        chart.draw_series([Text::new(scenario.name.clone(), place, label.clone())])?;
        for (contender, figures) in &scenario.figures {
            at -= 1.0;
            draw_row(&mut chart, *contender, figures, at)?;
        }
    }
    area.present()?;
    Ok(())
}

type Axes<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<
        plotters::coord::combinators::LogCoord<f64>,
        plotters::coord::types::RangedCoordf64,
    >,
>;

fn draw_row(
    chart: &mut Axes<'_, '_>,
    contender: Contender,
    figures: &Figures,
    at: f64,
) -> anyhow::Result<()> {
    let share = figures.own_share_ms;
    let colour = match contender {
        Contender::V1 => RGBColor(176, 90, 60),
        _ => RGBColor(40, 110, 150),
    };
    let (low, high) = (at + 0.2, at + 0.85);
    chart.draw_series([Rectangle::new(
        [(RANGE.0, low), (share.median.max(RANGE.0), high)],
        colour.mix(0.6).filled(),
    )])?;
    let middle = f64::midpoint(low, high);
    let ends = [(share.min.max(RANGE.0), middle), (share.max, middle)];
    chart.draw_series([PathElement::new(ends, colour.stroke_width(2))])?;
    let text = format!("{} {:.2}", contender.name(), share.median);
    let place = (share.max.max(RANGE.0) * 1.1, at + 0.72);
    chart.draw_series([Text::new(text, place, ("sans-serif", 12).into_font())])?;
    Ok(())
}
