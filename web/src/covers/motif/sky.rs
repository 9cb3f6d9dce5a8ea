//! Fantasy and romance: stars, moons and what grows under them.
//!
//! Where two moons meet they have a third colour.

use std::fmt::Write;

use super::Canvas;

/// Gates within gates under a star.
pub(super) fn portal(canvas: &mut Canvas<'_>) {
    canvas.stars(14);
    let x = canvas.dice.range(86.0, 114.0);
    let top = canvas.dice.range(56.0, 74.0);
    let widest = canvas.dice.range(64.0, 82.0);
    for step in 0..5_u8 {
        let part = f32::from(step) / 5.0;
        let (half, y) = (widest * (1.0 - part), top + 70.0 * part);
        let fill = if step == 4 {
            canvas.light.clone()
        } else {
            canvas.shade(0.3 + 0.2 * f32::from(step))
        };
        let (left, right, floor) = (x - half, x + half, canvas.floor);
        canvas.path(
            format_args!("M{left:.1} {floor:.1}V{:.1}A{half:.1} {half:.1} 0 0 1 {right:.1} {:.1}V{floor:.1}Z", y + half * 0.6, y + half * 0.6),
            &fill,
        );
    }
    let (light, reach) = (canvas.light.clone(), canvas.dice.range(13.0, 20.0));
    star(canvas, (x, 30.0), reach, &light);
}

/// A star of four points.
fn star(canvas: &mut Canvas<'_>, (x, y): (f32, f32), reach: f32, fill: &str) {
    let (up, down, left, right) = (y - reach, y + reach, x - reach, x + reach);
    canvas.path(
        format_args!("M{x:.1} {up:.1}Q{x:.1} {y:.1} {right:.1} {y:.1}Q{x:.1} {y:.1} {x:.1} {down:.1}Q{x:.1} {y:.1} {left:.1} {y:.1}Q{x:.1} {y:.1} {x:.1} {up:.1}Z"),
        fill,
    );
}

/// A castle under the moon, one window lit.
pub(super) fn castle(canvas: &mut Canvas<'_>) {
    canvas.stars(10);
    let [mid, light, ground] = canvas.colours();
    let moon = (
        canvas.dice.range(40.0, 160.0),
        canvas.dice.range(30.0, 46.0),
    );
    let halo = canvas.shade(0.5);
    canvas.circle(moon, 24.0, &halo);
    let floor = canvas.floor;
    let lit = canvas.dice.below(3);
    let shift = canvas.dice.range(-14.0, 14.0);
    let back = canvas.shade(0.6);
    canvas.rect((40.0 + shift, floor * 0.68), (120.0, floor), &back);
    for (number, (x, width, tall)) in [(52.0, 28.0, 0.5), (146.0, 30.0, 0.58), (98.0, 36.0, 0.34)]
        .into_iter()
        .enumerate()
    {
        let x = x + shift;
        let top = floor * (tall + canvas.dice.range(-0.05, 0.05));
        let half = width / 2.0;
        let roof = width * canvas.dice.range(1.0, 1.5);
        canvas.rect((x - half, top), (width, floor - top), &mid);
        canvas.polygon(
            &[
                (x - half - 5.0, top),
                (x, (top - roof).max(6.0)),
                (x + half + 5.0, top),
            ],
            &back,
        );
        let fill = if number == lit { &light } else { &ground };
        let (left, y) = (x - 5.0, top + 22.0);
        canvas.path(format_args!("M{left:.1} {y:.1}v-6a5 5 0 0 1 10 0v6z"), fill);
    }
}

/// A flower, one petal of another colour.
pub(super) fn flower(canvas: &mut Canvas<'_>) {
    let (x, y) = (
        canvas.dice.range(76.0, 124.0),
        canvas.floor * canvas.dice.range(0.4, 0.48),
    );
    let length = canvas.dice.range(58.0, 76.0).min(canvas.floor * 0.42);
    let count = 5 + canvas.dice.below(4);
    let (mid, light) = (canvas.mid.clone(), canvas.light.clone());
    let lit = canvas.dice.below(count);
    let turn = canvas.dice.range(0.0, 60.0);
    for petal in 0..count {
        let angle = turn + petal as f32 * 360.0 / count as f32;
        let fill = if petal == lit { &light } else { &mid };
        let _ = write!(
            canvas.svg,
            r#"<ellipse cx="{x:.1}" cy="{:.1}" rx="{:.1}" ry="{:.1}" fill="{fill}" opacity=".82" transform="rotate({angle:.0} {x:.1} {y:.1})"/>"#,
            y - length * 0.56,
            length * 0.26,
            length * 0.46
        );
    }
    canvas.circle((x, y), length * 0.13, &light);
}

/// Two moons that meet.
pub(super) fn two_moons(canvas: &mut Canvas<'_>) {
    let y = canvas.floor * canvas.dice.range(0.42, 0.5);
    let radius = canvas.dice.range(46.0, 58.0).min(canvas.floor * 0.34);
    let lean = canvas.dice.range(-16.0, 16.0);
    let apart = radius * canvas.dice.range(0.5, 0.68);
    let [one, other] = [(100.0 - apart, y - lean), (100.0 + apart, y + lean)];
    let [mid, light, ink] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.palette.ink.hex(),
    ];
    if canvas.dice.below(4) == 0 {
        for step in 0..4_u8 {
            let inner = radius * (1.0 - 0.24 * f32::from(step));
            canvas.ring(one, inner, 4.0, &mid);
            canvas.ring(other, inner, 4.0, &light);
        }
        return;
    }
    canvas.circle(one, radius, &mid);
    canvas.circle(other, radius, &light);
    let _ = write!(
        canvas.svg,
        r#"<clipPath id="one"><circle cx="{:.1}" cy="{:.1}" r="{radius:.1}"/></clipPath><circle cx="{:.1}" cy="{:.1}" r="{radius:.1}" fill="{ink}" opacity=".82" clip-path="url(#one)"/>"#,
        one.0, one.1, other.0, other.1
    );
}
