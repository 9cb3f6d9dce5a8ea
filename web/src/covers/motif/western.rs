//! Westerns: the desert, the star and the wheel.
//!
//! Everything stands on the ground colour, so that the pictures work by day and by night.

use std::f32::consts::{PI, TAU};

use super::Canvas;

/// The sun goes down behind table mountains.
pub(super) fn mesa(canvas: &mut Canvas<'_>) {
    let horizon = canvas.floor - canvas.dice.range(34.0, 52.0);
    let sun = (
        canvas.dice.range(58.0, 142.0),
        horizon - canvas.dice.range(4.0, 34.0),
    );
    let radius = canvas.dice.range(40.0, 54.0);
    let [mid, light, ground] = [
        canvas.mid.clone(),
        canvas.light.clone(),
        canvas.ground.clone(),
    ];
    canvas.circle(sun, radius, &light);
    // Bands of haze cut the sun.
    for band in 0..3_u8 {
        let y = horizon - 6.0 - f32::from(band) * 11.0;
        canvas.rect((0.0, y), (200.0, 3.2 - f32::from(band)), &ground);
    }
    let far = canvas.shade(0.7);
    let left = canvas.dice.range(-30.0, 20.0);
    let right = canvas.dice.range(120.0, 150.0);
    for (x, width, height) in [
        (left, 66.0, canvas.dice.range(18.0, 40.0)),
        (right, 80.0, canvas.dice.range(14.0, 30.0)),
    ] {
        let top = horizon - height;
        canvas.polygon(
            &[
                (x, horizon),
                (x + 8.0, top),
                (x + width - 10.0, top),
                (x + width, horizon),
            ],
            &far,
        );
    }
    canvas.rect((0.0, horizon), (200.0, 60.0), &mid);
    for stripe in 0..4_u8 {
        let y = horizon + 7.0 + f32::from(stripe) * 11.0;
        canvas.rect((0.0, y), (200.0, 2.5 + 2.2 * f32::from(stripe)), &ground);
    }
}

/// A cactus before a large sun.
pub(super) fn cactus(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let horizon = canvas.floor - canvas.dice.range(26.0, 36.0);
    let x = canvas.dice.range(70.0, 130.0);
    let radius = canvas.dice.range(46.0, 62.0).min(horizon * 0.5);
    let sun = (
        x + canvas.dice.range(-34.0, 34.0),
        horizon - radius * canvas.dice.range(0.5, 0.9),
    );
    canvas.circle(sun, radius, &light);
    let height = canvas.dice.range(92.0, 124.0).min(horizon - 16.0);
    let top = horizon - height;
    let low = horizon - height * canvas.dice.range(0.34, 0.42);
    let high = horizon - height * canvas.dice.range(0.5, 0.6);
    let side = canvas.dice.pick(&[-1.0, 1.0]);
    let foot = horizon + 8.0;
    canvas.round_line(format_args!("M{x:.1} {foot:.1}V{top:.1}"), 17.0, &mid);
    for (from, side, rise) in [(low, side, 26.0), (high, -side, 20.0)] {
        canvas.round_line(
            format_args!(
                "M{x:.1} {from:.1}h{:.1}q{:.1} 0 {:.1} -10v-{rise:.1}",
                side * 16.0,
                side * 10.0,
                side * 10.0
            ),
            12.0,
            &mid,
        );
    }
    canvas.rect((0.0, horizon), (200.0, 60.0), &mid);
    for stripe in 0..3_u8 {
        let y = horizon + 9.0 + f32::from(stripe) * 10.0;
        canvas.rect((0.0, y), (200.0, 2.0 + 2.0 * f32::from(stripe)), &ground);
    }
}

/// The star of a sheriff.
pub(super) fn badge(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let (x, y) = (
        canvas.dice.range(88.0, 112.0),
        canvas.floor * canvas.dice.range(0.42, 0.47),
    );
    let radius = canvas.dice.range(56.0, 72.0).min(canvas.floor * 0.37);
    let points = canvas.dice.pick(&[5_u8, 6, 6]);
    let turn = canvas.dice.range(-0.14, 0.14);
    let corner = |number: u8, reach: f32| {
        let angle = turn + f32::from(number) * PI / f32::from(points);
        (x + reach * angle.sin(), y - reach * angle.cos())
    };
    canvas.ring((x, y), radius * 1.16, 5.0, &mid);
    let star: Vec<(f32, f32)> = (0..points * 2)
        .map(|number| {
            let reach = if number % 2 == 0 { 1.0 } else { 0.52 };
            corner(number, radius * reach)
        })
        .collect();
    canvas.polygon(&star, &light);
    for point in 0..points {
        canvas.circle(corner(point * 2, radius), radius * 0.11, &light);
    }
    canvas.ring((x, y), radius * 0.36, 2.5, &ground);
    canvas.circle((x, y), radius * 0.22, &mid);
}

/// The wheel of a wagon, one spoke lit.
pub(super) fn wheel(canvas: &mut Canvas<'_>) {
    let [mid, light, ground] = canvas.colours();
    let radius = canvas.dice.range(76.0, 104.0).min(canvas.floor * 0.58);
    let (x, y) = (
        canvas.dice.pick(&[28.0, 100.0, 172.0]) + canvas.dice.range(-12.0, 12.0),
        canvas.floor * canvas.dice.range(0.46, 0.56),
    );
    let count = 10 + 2 * canvas.dice.below(3);
    let (turn, lit) = (canvas.dice.range(0.0, 1.0), canvas.dice.below(count));
    let dim = canvas.shade(0.7);
    canvas.ring((x, y), radius, 13.0, &mid);
    canvas.ring((x, y), radius, 2.0, &ground);
    for spoke in 0..count {
        let angle = (spoke as f32 + turn) / count as f32 * TAU;
        let reach = radius - 6.0;
        let fill = if spoke == lit { &light } else { &dim };
        canvas.line(
            format_args!(
                "M{x:.1} {y:.1}L{:.1} {:.1}",
                x + reach * angle.cos(),
                y + reach * angle.sin()
            ),
            6.0,
            fill,
        );
    }
    canvas.circle((x, y), radius * 0.2, &mid);
    canvas.circle((x, y), radius * 0.09, &light);
}
