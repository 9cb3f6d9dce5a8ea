//! Crimes, mysteries and thrillers: rooms, streets and doors.
//!
//! Windows and slats are drawn one by one, so these are the largest pictures.

use std::fmt::Write;

use super::Canvas;

/// Light through blinds.
pub(super) fn blinds(canvas: &mut Canvas<'_>) {
    let angle = canvas.dice.range(-24.0, -12.0);
    let count = 6 + canvas.dice.below(4);
    let gap = (canvas.floor + 50.0) / count as f32;
    let thickness = gap * canvas.dice.range(0.36, 0.56);
    let lit = canvas.dice.below(count - 2) + 1;
    canvas.open_group(format_args!("rotate({angle:.0} 100 100)"));
    for number in 0..count {
        let distance = number.abs_diff(lit) as f32;
        let fill = if distance < 0.5 {
            canvas.light.clone()
        } else {
            canvas.shade((1.05 - distance * 0.15).max(0.2))
        };
        canvas.rect(
            (-70.0, -20.0 + number as f32 * gap),
            (340.0, thickness),
            &fill,
        );
    }
    canvas.close_group();
}

/// A street at night.
pub(super) fn skyline(canvas: &mut Canvas<'_>) {
    let [light, ground] = [canvas.light.clone(), canvas.ground.clone()];
    let moon = (
        canvas.dice.range(40.0, 160.0),
        canvas.dice.range(36.0, 56.0),
    );
    let radius = canvas.dice.range(14.0, 24.0);
    canvas.circle(moon, radius, &light);
    for (row, part) in [(0_u8, 0.35), (1, 0.7)] {
        let fill = canvas.shade(part);
        let mut x = canvas.dice.range(-20.0, 0.0);
        while x < 200.0 {
            let width = canvas.dice.range(22.0, 40.0);
            let rise = canvas.dice.range(0.34, 0.62) + 0.14 * f32::from(row);
            let top = canvas.floor * rise.min(0.74);
            canvas.rect((x, top), (width - 2.0, canvas.floor - top), &fill);
            if row == 1 {
                windows(
                    canvas,
                    (x + 5.0, top + 7.0),
                    width - 12.0,
                    [&light, &ground],
                );
            }
            x += width;
        }
    }
}

/// Rows of windows, most of them dark.
fn windows(canvas: &mut Canvas<'_>, (left, top): (f32, f32), width: f32, [lit, dark]: [&str; 2]) {
    let mut y = top;
    while y < canvas.floor - 12.0 {
        let mut x = left;
        while x < left + width {
            let fill = if canvas.dice.below(5) == 0 { lit } else { dark };
            canvas.rect((x, y), (4.0, 6.0), fill);
            x += 8.0;
        }
        y += 12.0;
    }
}

/// A man in a spotlight.
pub(super) fn spotlight(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    let lamp = canvas.dice.range(20.0, 180.0);
    let (x, y) = (canvas.dice.range(80.0, 120.0), canvas.floor - 42.0);
    let (rx, ry) = (canvas.dice.range(58.0, 74.0), canvas.dice.range(15.0, 21.0));
    let haze = canvas.shade(0.5);
    canvas.polygon(
        &[
            (lamp - 5.0, -4.0),
            (lamp + 5.0, -4.0),
            (x + rx, y),
            (x - rx, y),
        ],
        &haze,
    );
    for (fill, size) in [(&mid, 1.0), (&light, 0.8)] {
        canvas.ellipse((x, y), (rx * size, ry * size), fill);
    }
    // A person stands in it.
    let head = y - 62.0;
    canvas.circle((x, head), 7.5, &ground);
    canvas.path(
        format_args!(
            "M{:.1} {y:.1}L{:.1} {:.1}Q{x:.1} {:.1} {:.1} {:.1}L{:.1} {y:.1}Z",
            x - 9.0,
            x - 12.0,
            head + 16.0,
            head + 6.0,
            x + 12.0,
            head + 16.0,
            x + 9.0
        ),
        &ground,
    );
    canvas.rect((x - 13.0, head - 7.0), (26.0, 3.0), &ground);
    canvas.rect((x - 7.0, head - 14.0), (14.0, 8.0), &ground);
}

/// A keyhole with light behind it.
pub(super) fn keyhole(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(84.0, 116.0),
        canvas.floor * canvas.dice.range(0.38, 0.44),
    );
    let light = canvas.light.clone();
    for step in 0..5_u8 {
        let (shade, radius) = (
            canvas.shade(0.25 + 0.19 * f32::from(step)),
            92.0 - 15.0 * f32::from(step),
        );
        canvas.circle((x, y), radius, &shade);
    }
    let ground = canvas.ground.clone();
    canvas.circle((x, y), 30.0, &ground);
    canvas.circle((x, y - 6.0), 11.0, &light);
    canvas.polygon(
        &[
            (x - 5.0, y),
            (x + 5.0, y),
            (x + 11.0, y + 22.0),
            (x - 11.0, y + 22.0),
        ],
        &light,
    );
}

/// A stair that winds down.
pub(super) fn spiral(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(84.0, 116.0),
        canvas.floor * canvas.dice.range(0.38, 0.44),
    );
    let light = canvas.light.clone();
    let turn = canvas.dice.range(0.0, 6.0);
    let mut spiral = format!("M{x:.1} {y:.1}");
    for step in 1..=110_u8 {
        let angle = f32::from(step) * 0.22 + turn;
        let radius = 3.0 + f32::from(step) * 0.82;
        let _ = write!(
            spiral,
            "L{:.1} {:.1}",
            x + radius * angle.cos(),
            y + radius * angle.sin()
        );
    }
    let mid = canvas.mid.clone();
    canvas.line(spiral, 9.0, &mid);
    canvas.circle((x, y), 9.0, &light);
}

/// Walls that rush to a point.
pub(super) fn corridor(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(60.0, 140.0),
        canvas.floor * canvas.dice.range(0.34, 0.5),
    );
    let light = canvas.light.clone();
    for step in 0..7_u8 {
        let part = 1.0 - f32::from(step) / 7.0;
        let fill = if step == 6 {
            light.clone()
        } else {
            canvas.shade(if step % 2 == 0 {
                0.2
            } else {
                0.5 + 0.08 * f32::from(step)
            })
        };
        let (left, top) = (
            x * (1.0 - part) - 10.0 * part,
            y * (1.0 - part) - 10.0 * part,
        );
        let (width, height) = (220.0 * part, (canvas.floor + 40.0) * part);
        canvas.rect((left, top), (width, height), &fill);
    }
}

/// Splinters of glass.
pub(super) fn splinters(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(60.0, 140.0),
        canvas.floor * canvas.dice.range(0.34, 0.5),
    );
    let light = canvas.light.clone();
    let count = 11 + canvas.dice.below(5);
    let lit = canvas.dice.below(count);
    for number in 0..count {
        let from =
            (number as f32 + canvas.dice.range(0.0, 0.5)) / count as f32 * std::f32::consts::TAU;
        let to = from + canvas.dice.range(0.12, 0.4);
        let fill = if number == lit {
            light.clone()
        } else {
            canvas.shade(0.4 + 0.6 * (number % 3) as f32 / 2.0)
        };
        let near = canvas.dice.range(6.0, 22.0);
        let edge = |angle: f32| (x + 260.0 * angle.cos(), y + 260.0 * angle.sin());
        canvas.polygon(
            &[
                (x + near * from.cos(), y + near * from.sin()),
                edge(from),
                edge(to),
            ],
            &fill,
        );
    }
}
