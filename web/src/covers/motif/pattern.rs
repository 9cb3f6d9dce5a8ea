//! Pictures that are a rhythm rather than a place.

use std::fmt::Write;

use super::Canvas;

/// Horror: teeth over something that looks back, or claw marks.
pub(super) fn teeth(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    if canvas.dice.below(3) == 0 {
        let lean = canvas.dice.range(20.0, 46.0);
        for number in 0..4_u8 {
            let x = 40.0 + f32::from(number) * 36.0 + canvas.dice.range(-5.0, 5.0);
            let (top, bottom) = (
                canvas.dice.range(8.0, 30.0),
                canvas.floor - canvas.dice.range(8.0, 40.0),
            );
            let fill = if number == 2 { &light } else { &mid };
            canvas.path(
                format_args!(
                    "M{:.1} {top:.1}Q{:.1} {:.1} {:.1} {bottom:.1}Q{:.1} {:.1} {:.1} {top:.1}Z",
                    x + lean,
                    x + 6.0,
                    (top + bottom) / 2.0,
                    x - lean * 0.4,
                    x - 8.0,
                    (top + bottom) / 2.0,
                    x + lean
                ),
                fill,
            );
        }
        return;
    }
    let count = 7 + canvas.dice.below(4);
    let mut edge = vec![(0.0, 0.0)];
    for number in 0..=count {
        let reach = if number % 2 == 1 {
            canvas.dice.range(64.0, 118.0)
        } else {
            canvas.dice.range(18.0, 44.0)
        };
        edge.push((
            number as f32 * 200.0 / count as f32,
            reach.min(canvas.floor * 0.62),
        ));
    }
    edge.push((200.0, 0.0));
    canvas.polygon(&edge, &mid);
    let at = (canvas.dice.range(56.0, 144.0), canvas.floor - 34.0);
    let size = canvas.dice.range(11.0, 18.0);
    canvas.circle(at, size, &light);
    let _ = write!(
        canvas.svg,
        r#"<ellipse cx="{:.1}" cy="{:.1}" rx="{:.1}" ry="{:.1}" fill="{ground}"/>"#,
        at.0,
        at.1,
        size * 0.2,
        size * 0.78
    );
}

/// Musicals: waves, or a record.
pub(super) fn sound(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    if canvas.dice.below(3) == 0 {
        let centre = (canvas.dice.range(70.0, 130.0), canvas.floor * 0.45);
        let radius = canvas.dice.range(74.0, 92.0).min(canvas.floor * 0.45);
        canvas.circle(centre, radius, &mid);
        for groove in 1..6_u8 {
            canvas.ring(
                centre,
                radius * (1.0 - 0.11 * f32::from(groove)),
                1.2,
                &ground,
            );
        }
        canvas.circle(centre, radius * 0.32, &light);
        canvas.circle(centre, radius * 0.06, &ground);
        return;
    }
    let count = 9_u8;
    let gap = (canvas.floor - 10.0) / f32::from(count);
    let bright = canvas.dice.below(3);
    let length = canvas.dice.range(26.0, 40.0);
    for number in 0..count {
        let y = 18.0 + f32::from(number) * gap;
        let height = canvas.dice.range(5.0, 15.0);
        let mut wave = format!(
            "M-12 {y:.1}q{:.1} {:.1} {length:.1} 0",
            length / 2.0,
            -height
        );
        for _ in 0..8 {
            let _ = write!(wave, "t{length:.1} 0");
        }
        let is_bright = usize::from(number) % 3 == bright;
        canvas.line(
            wave,
            2.0 + f32::from(number % 3) * 2.0,
            if is_bright { &light } else { &mid },
        );
    }
}

/// War films: chevrons, one of them lit, or searchlights that cross.
pub(super) fn war(canvas: &mut Canvas<'_>) {
    if canvas.dice.below(2) == 0 {
        chevrons(canvas);
    } else {
        searchlights(canvas);
    }
}

fn searchlights(canvas: &mut Canvas<'_>) {
    let lit = canvas.dice.below(4);
    let base = canvas.floor + 10.0;
    canvas.svg.push_str(r#"<g opacity=".85">"#);
    for number in 0..4_u8 {
        let from = 20.0 + f32::from(number) * 54.0 + canvas.dice.range(-12.0, 12.0);
        let to = canvas.dice.range(-10.0, 210.0);
        let spread = canvas.dice.range(11.0, 22.0);
        let fill = if usize::from(number) == lit {
            canvas.light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.polygon(
            &[
                (from - 2.0, base),
                (from + 2.0, base),
                (to + spread, -6.0),
                (to - spread, -6.0),
            ],
            &fill,
        );
    }
    canvas.svg.push_str("</g>");
    let (at, light) = (
        (
            canvas.dice.range(50.0, 150.0),
            canvas.dice.range(30.0, 70.0),
        ),
        canvas.light.clone(),
    );
    canvas.circle(at, 6.0, &light);
}

fn chevrons(canvas: &mut Canvas<'_>) {
    let (tip, width) = (
        canvas.dice.range(84.0, 116.0),
        canvas.dice.range(14.0, 20.0),
    );
    let (rise, lit) = (canvas.dice.range(52.0, 78.0), canvas.dice.below(5));
    for number in 0..5_u8 {
        let y = 14.0 + f32::from(number) * 36.0;
        let fill = if usize::from(number) == lit {
            canvas.light.clone()
        } else {
            canvas.shade(1.0 - 0.12 * f32::from(number))
        };
        let sides = y + rise;
        canvas.line(
            format_args!("M-10 {sides:.1}L{tip:.1} {y:.1}L210 {sides:.1}"),
            width * (1.0 - 0.12 * f32::from(number)),
            &fill,
        );
    }
}

/// Action: a burst, or stripes at full speed.
pub(super) fn burst(canvas: &mut Canvas<'_>) {
    let [mid, light] = [canvas.mid.clone(), canvas.light.clone()];
    let (x, y) = (
        canvas.dice.range(60.0, 140.0),
        canvas.floor * canvas.dice.range(0.4, 0.52),
    );
    if canvas.dice.below(2) == 0 {
        let count = 12 + canvas.dice.below(3) * 2;
        let turn = canvas.dice.range(0.0, 0.5);
        for number in 0..count {
            let from = (number as f32 + turn) / count as f32 * std::f32::consts::TAU;
            let to = from + std::f32::consts::PI / count as f32;
            let edge = |angle: f32| (x + 300.0 * angle.cos(), y + 300.0 * angle.sin());
            canvas.polygon(&[(x, y), edge(from), edge(to)], &mid);
        }
        let points = 11;
        let size = canvas.dice.range(36.0, 48.0);
        let blast: Vec<(f32, f32)> = (0..points * 2)
            .map(|corner| {
                let reach = if corner % 2 == 0 { size } else { size * 0.6 };
                let angle = corner as f32 / points as f32 * std::f32::consts::PI;
                (x + reach * angle.cos(), y + reach * angle.sin())
            })
            .collect();
        canvas.polygon(&blast, &light);
        return;
    }
    let angle = canvas.dice.range(-32.0, -18.0);
    let _ = write!(canvas.svg, r#"<g transform="rotate({angle:.0} 100 100)">"#);
    for number in 0..11_u8 {
        let (from, length) = (
            canvas.dice.range(-60.0, 110.0),
            canvas.dice.range(60.0, 190.0),
        );
        let height = canvas.dice.range(5.0, 14.0);
        let fill = if number % 4 == 1 {
            light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.rect(
            (from, -30.0 + f32::from(number) * 24.0),
            (length, height),
            &fill,
        );
    }
    canvas.svg.push_str("</g>");
}

/// Documentaries: a contact sheet, one frame marked.
pub(super) fn frames(canvas: &mut Canvas<'_>) {
    let columns = 3 + canvas.dice.below(2);
    let width = (168.0 - 6.0 * (columns - 1) as f32) / columns as f32;
    let height = width * canvas.dice.range(0.8, 1.3);
    let rows = (((canvas.floor - 30.0) / (height + 6.0)) as usize).max(1);
    let lit = canvas.dice.below(columns * rows);
    let top = (canvas.floor - rows as f32 * (height + 6.0)) / 2.0;
    for number in 0..columns * rows {
        let (column, row) = ((number % columns) as f32, (number / columns) as f32);
        let fill = if number == lit {
            canvas.light.clone()
        } else {
            canvas.some_shade()
        };
        canvas.rect(
            (16.0 + column * (width + 6.0), top + row * (height + 6.0)),
            (width, height),
            &fill,
        );
    }
}

/// Comedies: confetti, cut large.
pub(super) fn confetti(canvas: &mut Canvas<'_>) {
    let colours = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.palette.ink.hex(),
    ];
    let rows = ((canvas.floor / 58.0) as usize).clamp(2, 4);
    let top = (canvas.floor - rows as f32 * 58.0) / 2.0 + 2.0;
    for number in 0..rows * 3 {
        let (x, y) = (
            16.0 + (number % 3) as f32 * 59.0,
            top + (number / 3) as f32 * 58.0,
        );
        let fill = canvas.dice.pick(&[0_usize, 0, 1, 1, 2]);
        let fill = colours.get(fill).cloned().unwrap_or_default();
        match canvas.dice.below(6) {
            0 => canvas.circle((x + 25.0, y + 25.0), 25.0, &fill),
            1 => canvas.path(format_args!("M{x:.1} {y:.1}h50a50 50 0 0 1 -50 50z"), &fill),
            2 => canvas.path(
                format_args!("M{x:.1} {:.1}a25 25 0 0 1 50 0z", y + 38.0),
                &fill,
            ),
            3 => canvas.polygon(
                &[
                    (x + 25.0, y),
                    (x + 50.0, y + 25.0),
                    (x + 25.0, y + 50.0),
                    (x, y + 25.0),
                ],
                &fill,
            ),
            4 => canvas.ring((x + 25.0, y + 25.0), 19.0, 11.0, &fill),
            _ => canvas.path(
                format_args!("M{:.1} {:.1}v-50a50 50 0 0 0 -50 50z", x + 50.0, y + 50.0),
                &fill,
            ),
        }
    }
}

/// Drama, and what has no picture of its own: ripples, sails, or light from a window.
pub(super) fn ripples(canvas: &mut Canvas<'_>) {
    let light = canvas.light.clone();
    match canvas.dice.below(3) {
        0 => {
            let centre = (
                canvas.dice.pick(&[-6.0, 206.0, 100.0]),
                canvas.floor - canvas.dice.range(0.0, 20.0),
            );
            let gap = canvas.dice.range(28.0, 36.0);
            let (width, lit) = (canvas.dice.range(9.0, 15.0), 1 + canvas.dice.below(5));
            for number in 1..=6_u8 {
                let fill = if usize::from(number) == lit {
                    light.clone()
                } else {
                    canvas.shade(1.1 - 0.13 * f32::from(number))
                };
                canvas.ring(centre, gap * f32::from(number), width, &fill);
            }
        }
        1 => {
            let lit = canvas.dice.below(6);
            let rows = ((canvas.floor - 14.0) / 2.0).min(92.0);
            for number in 0..6_u8 {
                let (x, y) = (
                    f32::from(number % 3) * 60.0 + 12.0,
                    14.0 + f32::from(number / 3) * rows,
                );
                let fill = if usize::from(number) == lit {
                    light.clone()
                } else {
                    canvas.some_shade()
                };
                let (bottom, right) = (y + rows - 6.0, x + 56.0);
                canvas.path(
                    format_args!(
                        "M{x:.1} {bottom:.1}V{y:.1}Q{right:.1} {y:.1} {right:.1} {bottom:.1}Z"
                    ),
                    &fill,
                );
            }
        }
        _ => {
            let (x, y) = (canvas.dice.range(34.0, 62.0), canvas.dice.range(26.0, 44.0));
            let skew = canvas.dice.range(-20.0, 20.0);
            let [wall, mid] = [canvas.shade(0.35), canvas.mid.clone()];
            canvas.rect((0.0, 0.0), (200.0, canvas.floor), &wall);
            let _ = write!(
                canvas.svg,
                r#"<g transform="skewY({skew:.0}) translate(0 {:.0})">"#,
                -skew * 1.7
            );
            let height = (canvas.floor - 70.0).min(120.0) / 2.0;
            for number in 0..4_u8 {
                let at = (
                    x + f32::from(number % 2) * 50.0,
                    y + f32::from(number / 2) * (height + 4.0),
                );
                canvas.rect(at, (46.0, height), if number == 1 { &light } else { &mid });
            }
            canvas.svg.push_str("</g>");
        }
    }
}
